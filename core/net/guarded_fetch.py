"""Downloads from addresses that other people chose: bounded, host by host, never into a private network.

The guard stands at the connection, not at the text of the address: the resolver hands aiohttp only addresses that
were checked, and aiohttp connects to exactly those, so a name that answers differently the second time (DNS
rebinding) gains nothing. Redirects are followed by hand, and every hop passes the same checks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from core.errors import TooLarge, Unfetchable

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What one download may do.

    `hosts` allows exact names and, with a leading dot, all names below ("." + "slack.com" allows files.slack.com but
    not slack.com itself). None allows every public host. `secret_hosts` alone receive `headers`. `trusted_origins`
    ("http://127.0.0.1:8123") skip the address check: only what an operator configured belongs there.
    """

    max_bytes: int
    deadline_s: float
    hosts: frozenset[str] | None = None
    secret_hosts: frozenset[str] = frozenset()
    trusted_origins: frozenset[str] = frozenset()
    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] = frozenset({80, 443})
    max_redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    content: bytes
    mime: str
    """As the server named it, without parameters, lower case; "" when it named none."""
    charset: str
    url: str
    """Where the content finally came from."""


class GuardedFetcher:
    """Opens one connection pool on entry and closes it on exit.

    With a *proxy* the proxy resolves names, so only literal private addresses can be refused here; the proxy's own
    rules have to hold for the rest.
    """

    def __init__(self, *, proxy: str | None = None, resolver: AbstractResolver | None = None) -> None:
        self._proxy = proxy
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        names = self._resolver or ThreadedResolver()
        # A proxy is the operator's own and may well have a private address; it alone is looked up then.
        guard = names if self._proxy else _GuardedResolver(names)
        # force_close: a kept-alive connection would outlive the check that allowed it.
        connector = aiohttp.TCPConnector(resolver=guard, use_dns_cache=False, force_close=True, limit=16)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "tern", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, url: str, policy: FetchPolicy, *, headers: Mapping[str, str] | None = None) -> Fetched:
        """Download *url*, following redirects.

        Raises:
            Unfetchable: The address is not allowed, does not answer, or answers with an error.
            TooLarge: The server announced, or sent, more than `max_bytes`.
        """
        if self._session is None:
            raise RuntimeError("GuardedFetcher is used outside its `async with`")
        target = _parse(url)
        try:
            async with asyncio.timeout(policy.deadline_s):
                for _ in range(policy.max_redirects + 1):
                    outcome = await self._hop(self._session, target, policy, headers or {})
                    if isinstance(outcome, Fetched):
                        return outcome
                    target = outcome
                raise Unfetchable(target.host or "?", "it redirects too often")
        except TimeoutError as error:
            raise Unfetchable(target.host or "?", f"it took longer than {policy.deadline_s:g} seconds") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The library's text may quote the whole address, token included, so it goes no further than here.
            raise Unfetchable(target.host or "?", "the connection failed") from error

    async def _hop(
        self, session: aiohttp.ClientSession, target: URL, policy: FetchPolicy, headers: Mapping[str, str]
    ) -> Fetched | URL:
        host = _check(target, policy)
        _trusting.set(str(target.origin()) in policy.trusted_origins)
        sent = dict(headers) if _matches(host, policy.secret_hosts) else {}
        async with session.get(target, headers=sent, allow_redirects=False, proxy=self._proxy) as response:
            if response.status in _REDIRECTS:
                location = response.headers.get("Location")
                if not location:
                    raise Unfetchable(host, "it redirects to nowhere")
                return target.join(_parse(location))
            if response.status != 200:
                raise Unfetchable(host, f"it answered with status {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                # We asked for plain bytes; unpacking what was sent against that wish is how archives become bombs.
                raise Unfetchable(host, "it insists on compressing its answer")
            if (response.content_length or 0) > policy.max_bytes:
                raise TooLarge("the file", limit=policy.max_bytes, unit="bytes")
            content = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                content += chunk
                if len(content) > policy.max_bytes:
                    raise TooLarge("the file", limit=policy.max_bytes, unit="bytes")
            mime = response.content_type if "Content-Type" in response.headers else ""
            return Fetched(bytes(content), mime.lower(), response.charset or "", str(target))


def guarded_connector(*, trusted: bool = False) -> aiohttp.TCPConnector:
    """A connector for a session that follows no redirect: it connects to public addresses only, whatever a name says.

    For downloads that must stream, which `GuardedFetcher` does not. The caller checks scheme and host before each
    request, and the session closes the connector. *trusted* leaves the addresses unchecked: only for an origin that an
    operator configured.
    """
    if trusted:
        return aiohttp.TCPConnector(force_close=True)
    return aiohttp.TCPConnector(resolver=_GuardedResolver(ThreadedResolver()), use_dns_cache=False, force_close=True)


def is_public(address: str) -> bool:
    """Whether an IP address literal belongs to the public internet; mapped and tunnelled forms are unwrapped."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: an IPv4 address in an IPv6 coat; behind a translator it reaches the private IPv4 network."""


def _parse(url: str) -> URL:
    try:
        return URL(url)
    except ValueError as error:
        raise Unfetchable("?", "the address is malformed") from error


def _check(target: URL, policy: FetchPolicy) -> str:
    """Return the target's host, or raise Unfetchable when the policy does not allow this hop."""
    host = (target.host or "").rstrip(".").lower()
    if not host:
        raise Unfetchable("?", "the address names no host")
    if target.user or target.password:
        raise Unfetchable(host, "addresses with a user name are not followed")
    if str(target.origin()) in policy.trusted_origins:
        return host
    if target.scheme not in policy.schemes:
        raise Unfetchable(host, f"{target.scheme or 'this kind of'} addresses are not followed")
    if target.port not in policy.ports:
        raise Unfetchable(host, f"port {target.port} is not a web port")
    if policy.hosts is not None and not _matches(host, policy.hosts):
        raise Unfetchable(host, "it is not one of the platform's own hosts")
    if _is_literal(host) and not is_public(host):
        raise Unfetchable(host, "it is a private address")
    return host


def _matches(host: str, allowed: frozenset[str]) -> bool:
    return any(host.endswith(entry) if entry.startswith(".") else host == entry for entry in allowed)


def _is_literal(host: str) -> bool:
    # inet_aton also reads 2130706433, 0x7f.1 and 127.1, which the system's resolver would turn into 127.0.0.1.
    try:
        socket.inet_aton(host)
    except OSError:
        return ":" in host
    return True


_trusting: ContextVar[bool] = ContextVar("trusting", default=False)
"""Whether the hop under way goes to an origin the operator configured; seen by the resolver, which aiohttp calls
within the request's own context, and by nothing else that runs at the same time."""


class _GuardedResolver(AbstractResolver):
    """Hands on only public addresses, except to an origin that the policy of this very hop trusts."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if _trusting.get():
            return found
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise OSError(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()
