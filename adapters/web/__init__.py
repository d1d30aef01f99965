"""The chat page at `/`, the OpenAI-compatible API under `/v1`, health and metrics: one aiohttp application.

The page         page_routes, adapter, hub (who watches), surface, growing, turns, markdown, highlight, assets, page/
The API          api/
Who may          auth, keys, guessing, concurrency, idle_connections
Beneath          app (puts it together), server, sse, health, errors, settings

Wiring, for bot/app.py:

    settings = WebSettings(host=..., port=..., api_keys=...)
    adapter = WebAdapter(clock=clock, conversations=storage.conversations, blobs=storage.blobs)
    app = build_web_app(
        settings,
        adapter=adapter,                       # the supervisor runs it: await adapter.run(intake, commands)
        handler=stack,                         # core.ports.gateway.Handler; the API goes straight to it
        models=registry.all,                   # -> Sequence[ModelSpec]
        readiness=Readiness(
            intake_open=lambda: ...,           # -> bool
            database_writable=...,             # async -> bool; tries a small write
            adapters=lambda: {"slack": slack.health(), ...},
            sunsets=lambda: registry.sunsets(clock.now()),
        ),
        metrics=prometheus_registry,
        clock=clock,
        banner=lambda: core.wording.LOCAL_MODEL if no_key else "",
        extra_routes=slack.routes(),           # mounted without keys
    )
    async with WebServer(app, settings, clock) as server:
        print(server.url)

The path of a message from the page:

    page_routes.py  POST a message -> Incoming -> Intake.accept
    surface.py      LiveReply's posts and edits -> growing.py (Markdown -> HTML blocks) -> hub.py (what stands now)
    hub.py          what stands now -> the difference for each open page -> sse.py -> page/stream.js
    adapter.py      when a reply has ended, its stored figures are added to what stands

The path of an API request: auth.py (may it enter) -> api/parse.py -> the stack -> api/stream.py -> api/wire.py.
/v1/responses takes the same path: responses_parse.py makes a chat body, responses_wire.py writes the answer.
"""

from adapters.web.adapter import WebAdapter
from adapters.web.app import build_web_app
from adapters.web.health import Readiness
from adapters.web.server import WebServer
from adapters.web.settings import WebSettings

__all__ = ["Readiness", "WebAdapter", "WebServer", "WebSettings", "build_web_app"]
