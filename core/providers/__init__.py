"""The models' APIs, and what is the same in all of them.

Who answers      groq, openai, local, local_speech
A chat           completions (one call), wire (request -> JSON), stream (a streamed answer), completion (a whole one),
                 chunks, sse, tool_calls, thinking, vocabulary
Everything else  speech (both ways), batches, catalogue, languages, sdk
Beneath          http, http_client, http_answer, transport, timeouts, idle_watchdog, failures (their errors -> ours)
"""
