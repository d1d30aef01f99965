"""Discord, on discord.py 2.7.1. The library's types end here.

What comes in    client (what the library forwards), messages, message and parse (as values), allow, context, backfill,
                 files
What people do   interactions (slash and menu commands, buttons), commands (what they are called), controls
What goes out    surface (in a channel), interaction_surface (through a token), render, tables
Beneath          adapter (its life), connection, connection_health, rest_calls (every write to its end), buckets (what
                 headers say), failures, settings; checkup (what doctor looks at)
"""
