"""The models' APIs, and what is the same in all of them.

Who answers      groq, openai, named (whoever tern.toml names; flavours: how they differ), local, local_speech
A chat           completions (one call), wire (request -> JSON), stream (a streamed answer), completion (a whole one)
What comes in    sse (events), chunks (their JSON), tool_calls, thinking, vocabulary (of words), failures (errors),
                 executed (what Groq ran by itself), citations
Everything else  speech (both ways), batches, catalogue, languages
Beneath          callers (how a request travels), sdk and transport (over groq and openai), direct (without them),
                 connections (the pool under all), timeouts, idle_watchdog
"""
