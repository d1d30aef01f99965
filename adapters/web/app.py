"""Everything that this server answers, as one aiohttp application."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from html import escape
from uuid import uuid4

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from adapters.web.adapter import WebAdapter
from adapters.web.api.audio import Audio, Listener
from adapters.web.api.parts import Parts
from adapters.web.api.pictures import Pictures, Reader
from adapters.web.api.routes import PREFIXES, Api
from adapters.web.assets import Assets, load_assets
from adapters.web.auth import REQUEST_ID, Auth
from adapters.web.concurrency import Concurrency
from adapters.web.errors import ApiError, TurnedAway, api_error
from adapters.web.health import HealthRoutes, Readiness
from adapters.web.page_routes import PageRoutes
from adapters.web.settings import WebSettings
from core.base.clock import Clock
from core.domain.errors import TernError
from core.domain.model_spec import ModelSpec
from core.ports.gateway import Handler
from core.ports.storage import ApiKeyStore, ResponseStore

log = logging.getLogger(__name__)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # one policy in the page's script makes HTML, of what this server rendered; everything else is text
        "trusted-types tern",
        "require-trusted-types-for 'script'",
    )
)

SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "X-Robots-Tag": "noindex",
}

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_web_app(
    settings: WebSettings,
    *,
    adapter: WebAdapter,
    handler: Handler,
    models: Callable[[], Sequence[ModelSpec]],
    readiness: Readiness,
    metrics: CollectorRegistry,
    clock: Clock,
    banner: Callable[[], str] = str,
    extra_routes: Sequence[web.AbstractRouteDef] = (),
    new_id: Callable[[], str] = lambda: uuid4().hex,
    listener: Listener | None = None,
    reader: Reader | None = None,
    local_stands_in: bool = True,
    keys: ApiKeyStore | None = None,
    responses: ResponseStore | None = None,
) -> web.Application:
    """Build the application; it holds no resources of its own.

    Args:
        adapter: The page's adapter; the supervisor runs it.
        handler: The whole stack, for the API.
        models: What GET /v1/models lists, asked each time.
        banner: A sentence for the top of the page, "" for none, asked each time.
        extra_routes: Mounted as they are, without keys and without our error form (Slack's events).
        new_id: Makes request ids, each different.
        listener: Hears recordings sent to the API; None leaves those routes out.
        reader: Opens pictures sent to the API; None passes them on as they are.
        responses: Keeps the API's responses that may be gone on from; None keeps none.
        keys: The API keys that have a name, beside those of *settings*.
        local_stands_in: Whether the local model answers the API's callers while nobody else does.
    """
    auth = Auth(settings, clock, keys)
    slots = Concurrency(total=settings.max_streams, per_user=settings.max_streams_per_key)
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[_name_requests(new_id), _shape_errors])
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(adapter.hub.close)
    app.add_routes(HealthRoutes(auth, readiness, metrics, clock).routes())
    audio = Audio(settings, auth, slots, listener, clock) if listener else None
    pictures = Pictures(reader) if reader else None
    parts = Parts(listener, reader) if listener or reader else None
    app.add_routes(
        Api(settings, auth, slots, handler, models, clock, audio, pictures, local_stands_in, parts, responses).routes()
    )
    app.add_routes(PageRoutes(settings, auth, slots, adapter, banner, clock).routes())
    app.add_routes(_Files(auth, load_assets()).routes())
    app.add_routes(extra_routes)
    return app


class _Files:
    """The page's own files: open to whoever reaches the server, as they hold nothing but code."""

    def __init__(self, auth: Auth, assets: Assets) -> None:
        self._auth = auth
        self._assets = assets

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/favicon.ico", self.icon),
            web.get("/assets/{version}/{name}", self.asset),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Also when another site links to it; whoever follows the link reads why the page is off, if it is."""
        try:
            await self._auth.look(request, linked=True)
        except TurnedAway as away:
            return _off(away.answer.status, away.answer.message)
        if self._auth.off_because:
            return _off(403, self._auth.off_because)
        return web.Response(
            body=self._assets.index, headers={"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"}
        )

    async def icon(self, request: web.Request) -> web.Response:
        await self._auth.look(request)
        return self._file("tern.svg", "no-cache")

    async def asset(self, request: web.Request) -> web.Response:
        await self._auth.look(request)
        current = request.match_info["version"] == self._assets.version
        return self._file(request.match_info["name"], "public, max-age=31536000, immutable" if current else "no-cache")

    def _file(self, name: str, caching: str) -> web.Response:
        found = self._assets.files.get(name)
        if found is None:
            raise web.HTTPNotFound
        content_type, content = found
        return web.Response(body=content, headers={"Content-Type": content_type, "Cache-Control": caching})


def _off(status: int, why: str) -> web.Response:
    page = f"<!doctype html><title>Tern</title><h1>This page is off</h1><p>{escape(why)}"
    return web.Response(status=status, content_type="text/html", text=page)


def _name_requests(new_id: Callable[[], str]) -> Middleware:
    @web.middleware
    async def name_request(request: web.Request, handler: Next) -> web.StreamResponse:
        request[REQUEST_ID] = new_id()
        return await handler(request)

    return name_request


@web.middleware
async def _shape_errors(request: web.Request, handler: Next) -> web.StreamResponse:
    """Give every error of the page and the API OpenAI's form; leave other routes to themselves."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if not request.path.startswith((*PREFIXES, "/page/")):
            raise
        return _refusal(_http_error(request, error), request)
    except (TurnedAway, TernError, TimeoutError) as error:
        return _refusal(api_error(error, request[REQUEST_ID]), request)
    except ConnectionError:  # the reader left; nobody reads this response
        return web.Response(status=499)
    except Exception as error:
        if not request.path.startswith((*PREFIXES, "/page/")):
            raise
        log.exception("request %s failed", request[REQUEST_ID])
        return _refusal(api_error(error, request[REQUEST_ID]), request)


def _refusal(error: ApiError, request: web.Request) -> web.Response:
    headers = error.headers | ({"WWW-Authenticate": "Bearer"} if error.status == 401 else {})
    if not request.content.is_eof() and request.body_exists:
        headers["Connection"] = "close"  # the rest of a refused body must not be read as the next request
    return web.Response(
        body=msgspec.json.encode(error.body), status=error.status, content_type="application/json", headers=headers
    )


def _http_error(request: web.Request, error: web.HTTPException) -> ApiError:
    match error.status:
        case 404:
            sentence = f"There is nothing at {request.method} {request.path}."
            return ApiError(404, sentence, "invalid_request_error", "unknown_url")
        case 405:
            sentence = f"{request.method} is not possible here."
            return ApiError(405, sentence, "invalid_request_error", "method_not_allowed")
        case 413:
            return ApiError(413, "The body is too large.", "invalid_request_error", "request_too_large")
        case status:
            return ApiError(status, error.reason, "invalid_request_error")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers.pop("Server", None)
