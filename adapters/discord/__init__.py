"""Discord, on discord.py 2.7.1. The library's types end here.

client.py        the library's client: intents, addresses, what it forwards
adapter.py       connects, stays, leaves; opens surfaces           life.py  signs of life
messages.py      messages as they come, change and go              backfill.py  those that nobody heard
desk.py          slash and menu commands, buttons                  commands.py  what they are called  controls.py
message.py       one message as a value     parse.py  value -> Incoming    allow.py  who may ask    context.py
surface.py       a reply in a channel       interaction_surface.py  a reply through a token
calls.py         every write to its end     buckets.py  what headers say   failures.py  errors   connection.py
render.py        Markdown for Discord       tables.py   files.py  fetches attachments            settings.py
"""
