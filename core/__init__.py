"""What the bot is, without any platform. The map of this package:

    Slack   Discord   web page / HTTP API   terminal            (adapters/, one folder each)
      \\        |          |                 /
       parse: platform event -> Incoming (domain/incoming.py)
                     |
                  Inbox (inbox/inbox.py)      durable: accepted once, one reply at a time per conversation, replayed after
                     |                  a crash; its rows live in storage/
               Answering (inbox/runner.py)   one run, from Incoming to a finished reply
                     |
               ChatService (chat/service.py)      history + attachments + persona -> ChatRequest (domain/requests.py)
                     |
      Observe > Cache > RateGuard > Fallback(Router, Admission) > Retry > Provider      (gateway/stack.py lists the order)
      middleware/  middleware/  middleware/  gateway/fallback.py gateway/router.py gateway/rate_limits.py  gateway/retry.py  providers/
                     |                                                                    |
                  Events (domain/events.py)  <---------------- send -----------------------------+
                     |
      Draft (what) -> Pages (split) -> Pacer (when) -> LiveReply -> Surface.post / edit     (streaming/)

Beside the fallback: gateway/error_policy.py (what follows from each error), gateway/circuit_breaker.py, continuation/ (an answer that broke
off in the middle), gateway/attempts.py (what every call cost). wording.py has all that the program itself says to a reader,
delivery/side_notices.py says what is no answer, and not again and again.

Values: domain/. Seams: ports/. Facts as data: models.toml.
Text that UTF-8 can carry: base/text.py.
"""
