"""What the bot is, without any platform. The map of this package:

    Slack   Discord   web page / HTTP API   terminal       adapters/, a folder for each foreign world
       \\       |            |               /
        parse: platform event -> Incoming                   domain/incoming.py
                     |
        Inbox -> Scheduler -> Runner                        inbox/: accepted once, one reply at a time per conversation,
                     |                                        replayed after a crash; its rows live in storage/
        ChatService: history + attachments + persona        chat/; files/ and voice/ read what came along
                     |  -> ChatRequest (domain/requests.py)
        Observe > Cache > RateGuard > Fallback > Retry      gateway/: the middleware stack, in the order of stack.py;
                     |                                        the fallback asks router.py and rate_limits.py
        Provider: groq, openai, local, your own             providers/
                     |
        Events                                              domain/events.py, sent back up the same way
                     |
        Draft -> Pages -> Pacer -> LiveReply -> Surface     delivery/: what to show, where to cut, when to edit

The rooms, from the ground up; one imports from those above it in this list and never from those below (make lint):

    base/        the clock, waiting, foreign bytes, text, and the one Markdown parser (markdown/)
    domain/      values: what was asked, what happens to it, what a model can do, how it can fail
    ports/       what the core needs from outside: models, platforms, storage
    gateway/     rate limits, quotas, circuit breaker, cache, retry, fallback, continuation/ of answers that broke off
    delivery/    from growing text to platform messages: pages/ cut them, pacing/ times the edits
    storage/     everything durable, over SQLite or PostgreSQL
    observers/   logs, metrics, usage
    net/         other people's addresses, fetched behind an SSRF guard
    chat/        from a message to a request: prompts, digest, memory, approvals, commands, manners, reactions
    inbox/       deduplication, order, replay
    files/       attachments, read in a sandbox
    extraction/  tables out of texts and files, and batch over many
    schedules/   reminders and recurring questions, put into the inbox when they are due
    voice/       recordings heard, answers read aloud
    tools/       what a model may call on the way
    providers/   the models' APIs

wording.py has all that the program itself says to a reader. Facts as data: gateway/models.toml.
"""
