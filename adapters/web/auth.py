"""Who may come in: one check per request, before anything of its body is read.

Loopback is no wall by itself: any web page in this machine's browser can send requests to it, and a proxy on this
machine brings the whole world. So the Host must be ours (against DNS rebinding), a request must not come from another
site, one that was passed on needs a key, and bodies must be JSON, which another origin cannot send without asking
first, and asking is answered with nothing (CORS is off).
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from aiohttp import web

from adapters.web.errors import ApiError, TurnedAway
from adapters.web.guessing import Brake
from adapters.web.keys import THIS_MACHINE, Gate, presented_key
from adapters.web.settings import WebSettings, is_loopback
from core.base.clock import Clock
from core.ports.storage import ApiKeyStore

BODY_TIMEOUT_S = 30.0
"""A body that takes longer to arrive is a slow writer's."""

REQUEST_ID = web.RequestKey("request_id", str)
"""The id that a request's answer, its errors and its log lines share."""

_PASSED_ON = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
"""What proxies add, beside everything that begins with X-Forwarded-: RFC 7239 and RFC 9110 7.6.3, nginx's and
Cloudflare's documents (read 2026-11-30)."""


class Auth:
    """Raises TurnedAway for whoever may not enter."""

    def __init__(self, settings: WebSettings, clock: Clock, keys: ApiKeyStore | None = None) -> None:
        """*keys*: those that have a name."""
        self._gate = Gate(settings, clock, keys)
        self._brake = Brake(clock)
        self._names = frozenset(name.lower() for name in settings.public_hosts)
        self._bound_to = settings.host
        self._guard_host = settings.loopback or bool(self._names)

    @property
    def needs_key(self) -> bool:
        return self._gate.needs_key

    @property
    def off_because(self) -> str:
        return self._gate.off_because

    async def enter(self, request: web.Request, *, takes_json: bool = False) -> str:
        """Return the caller's user id. *takes_json*: the request must carry a JSON body."""
        await self.look(request)
        if self._gate.off_because:
            raise _away(403, self._gate.off_because, "api_keys_not_set")
        user = self._user(request)
        if request.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise _away(415, "Bodies are taken as they are, without Content-Encoding.", "unsupported_media_type")
        if takes_json and request.content_type != "application/json":
            raise _away(415, "The body must be JSON, with Content-Type: application/json.", "unsupported_media_type")
        return user

    async def look(self, request: web.Request, *, linked: bool = False) -> None:
        """Check only that the request was meant for this server: for what needs no key.

        *linked*: other sites may link to it.
        """
        await self._gate.refresh()
        if self._guard_host and not self._is_ours(_name_of(request.headers.get("Host", ""))):
            known = f"This server answers to {', '.join(sorted(self._names)) or 'localhost only'}."
            raise _away(421, f"{known} PUBLIC_HOSTS names the hosts that may be asked for.", "wrong_host")
        if not linked:
            self.refuse_other_sites(request)
        if not self._gate.needs_key and (header := _passed_on(request)):
            raise _away(
                403,
                f"This request was passed on by a proxy ({header}), so others can reach this server, and no key is "
                "set. Set API_KEYS to one or more long random keys, separated by commas, or make one with "
                "`python -m bot keys add NAME`.",
                "api_keys_not_set",
            )

    def refuse_other_sites(self, request: web.Request) -> None:
        """Also a GET: it would be carried out although its sender cannot read the answer."""
        if not self._from_here(request):
            raise _away(403, "Requests from other origins are not taken.", "cross_origin")

    def _user(self, request: web.Request) -> str:
        if not self._gate.needs_key:
            return THIS_MACHINE
        presented = presented_key(request.headers)
        address = request.remote or ""
        if presented and (wait_s := self._brake.wait_s(address)) and not self._gate.is_in_use(presented):
            answer = ApiError(
                429, "Too many wrong keys came from your address.", "rate_limit_error", "too_many_keys", None, wait_s
            )
            raise TurnedAway(answer)
        user = self._gate.user(presented)
        if user is None:
            if presented:
                self._brake.wrong(address)
            # whoever reads this on the page has a field for the key in front of them, and no header to set
            on_page = "That is not one of this server's API keys." if presented else "An API key is needed."
            needed = "A valid API key is needed: Authorization: Bearer KEY."
            raise _away(401, on_page if request.path.startswith("/page/") else needed, "invalid_api_key")
        return user

    def _is_ours(self, name: str) -> bool:
        return is_loopback(name) or name in self._names or (not self._names and name == self._bound_to)

    def _from_here(self, request: web.Request) -> bool:
        """Whether no browser says that another site sent this. Programs send neither header."""
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return False
        origin = request.headers.get("Origin")
        if origin is None:
            return True
        # the scheme is left out: behind a TLS proxy ours is http and the browser's https
        place = urlsplit(origin).netloc.lower()
        return place == request.headers.get("Host", "").lower() != "" or _name_of(place) in self._names


async def read_body(request: web.Request) -> bytes:
    """The whole body, within the application's size limit and `BODY_TIMEOUT_S`."""
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise _away(408, "The body took too long to arrive.", "timeout") from error


def _name_of(host: str) -> str:
    """The host name of "name:port", in lower case; "" where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _passed_on(request: web.Request) -> str:
    """The header by which a proxy says that it stands between; "" where there is none."""
    for name in request.headers:
        if name.lower() in _PASSED_ON or name.lower().startswith("x-forwarded-"):
            return name
    return ""


def _away(status: int, sentence: str, code: str) -> TurnedAway:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    return TurnedAway(ApiError(status, sentence, kind, code))
