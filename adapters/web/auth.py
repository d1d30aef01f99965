"""Who may come in: one check per request, before anything of its body is read.

Loopback is no wall by itself: any web page in this machine's browser can send requests to it. So the Host must be ours
(against DNS rebinding), a request that changes something must not come from another origin, and bodies must be JSON,
which another origin cannot send without asking first, and asking is answered with nothing (CORS is off).
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from adapters.web.errors import ApiError, TurnedAway
from adapters.web.keys import Gate
from adapters.web.settings import WebSettings, is_loopback

BODY_TIMEOUT_S = 30.0
"""A body that takes longer to arrive is a slow writer's."""

REQUEST_ID = web.RequestKey("request_id", str)
"""The id that a request's answer, its errors and its log lines share."""

_SAFE = frozenset({"GET", "HEAD"})


class Door:
    """Raises TurnedAway for whoever may not enter."""

    def __init__(self, settings: WebSettings) -> None:
        self._gate = Gate(settings)
        self._bound_to = settings.host
        self._guard_host = settings.loopback

    @property
    def needs_key(self) -> bool:
        return self._gate.needs_key

    @property
    def off_because(self) -> str:
        return self._gate.off_because

    def enter(self, request: web.Request, *, takes_json: bool = False) -> str:
        """Return the caller's user id. *takes_json*: the request must carry a JSON body."""
        self.look(request)
        if self._gate.off_because:
            raise _away(403, self._gate.off_because, "api_keys_not_set")
        if request.method not in _SAFE and not _same_origin(request):
            raise _away(403, "Requests from other origins are not taken.", "cross_origin")
        user = self._gate.user(request.headers)
        if user is None:
            raise _away(401, "A valid API key is needed: Authorization: Bearer KEY.", "invalid_api_key")
        if takes_json and request.content_type != "application/json":
            raise _away(415, "The body must be JSON, with Content-Type: application/json.", "unsupported_media_type")
        return user

    def look(self, request: web.Request) -> None:
        """Check only that the request was meant for this server: for what needs no key."""
        if self._guard_host and not self._is_ours(request.headers.get("Host", "")):
            raise _away(421, "This server answers to localhost only.", "wrong_host")

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and (is_loopback(name) or name == self._bound_to)


async def read_body(request: web.Request) -> bytes:
    """The whole body, within the application's size limit and `BODY_TIMEOUT_S`."""
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise _away(408, "The body took too long to arrive.", "timeout") from error


def _same_origin(request: web.Request) -> bool:
    """Whether no browser says that another site sent this. Programs send neither header."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    # the scheme is left out: behind a TLS proxy ours is http and the browser's https
    return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower() != ""


def _away(status: int, sentence: str, code: str) -> TurnedAway:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    return TurnedAway(ApiError(status, sentence, kind, code))
