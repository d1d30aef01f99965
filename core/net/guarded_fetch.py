"""Downloads from addresses that other people chose: bounded, host by host, never into a private network (SSRF).

The guard stands at the connection, not at the text of the address: the resolver hands aiohttp only addresses that
were checked, and aiohttp connects to exactly those, so a name that answers differently the second time (DNS
rebinding) gains nothing. Redirects are followed by hand, and every hop passes the same checks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from core.domain.errors import TooLarge, Unfetchable

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 * 1024
_CONNECT_S = 10.0
_LOOK_UP_S = 2.0
_SILENCE_S = 20.0
"""A peer that sends nothing for so long is given up before the policy's deadline."""


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
    """Opens one connection pool on entry and closes it on exit; may be entered again afterwards.

    With a *proxy* the proxy resolves names. Private addresses and names are refused here all the same, and a name that
    can be looked up here is refused where all it leads to is private; for the rest the proxy's own rules have to hold.
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
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S),
            headers={"User-Agent": "tern", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def fetch(self, url: str, policy: FetchPolicy, *, headers: Mapping[str, str] | None = None) -> Fetched:
        """Download *url* whole. Raises as `open` and `Download.chunks`."""
        async with self.open(url, policy, headers=headers) as download:
            content = b"".join([chunk async for chunk in download.chunks()])
            return Fetched(content, download.mime, download.charset, download.url)

    @asynccontextmanager
    async def open(
        self, url: str, policy: FetchPolicy, *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Download]:
        """Ask for *url*, following redirects; the body comes as it is read. Leaving the context closes the connection.

        Raises:
            Unfetchable: The address is not allowed, does not answer, or answers with an error.
            TooLarge: The server announced more than `max_bytes`.
        """
        session, target = self._session, _parse(url)
        if session is None:
            raise Unfetchable(target.host or "?", "the connection here is closed", passing=True)
        give_up_at = asyncio.get_running_loop().time() + policy.deadline_s
        for _ in range(policy.max_redirects + 1):
            host = _check(target, policy)
            if self._proxy and str(target.origin()) not in policy.trusted_origins:
                await self._refuse_if_private_here(host)
            _trusting.set(str(target.origin()) in policy.trusted_origins)
            sent = headers if headers and _matches(host, policy.secret_hosts) else {}
            with _translated(host, policy):
                async with asyncio.timeout_at(give_up_at):
                    response = await session.get(target, headers=sent, allow_redirects=False, proxy=self._proxy)
            async with response:
                if response.status not in _REDIRECTS:
                    _refuse_bad(response, host, policy)
                    yield Download(response, policy, host, give_up_at)
                    return
                location = response.headers.get("Location")
                if not location:
                    raise Unfetchable(host, "it redirects to nowhere")
                target = target.join(_parse(location))
        raise Unfetchable(target.host or "?", "it redirects too often")

    async def _refuse_if_private_here(self, host: str) -> None:
        """Names that only the house's own DNS knows lead into the house: the proxy would follow them."""
        if _is_literal(host):
            return
        names = self._resolver or ThreadedResolver()
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                found = await names.resolve(host, 443, socket.AF_UNSPEC)
        except (OSError, TimeoutError):  # behind a proxy there is often no DNS at all
            return
        if found and not any(is_public(entry["host"]) for entry in found):
            raise Unfetchable(host, "it is a private address")


class Download:
    """An answer with status 200 whose body is still coming. Owned by the context that `GuardedFetcher.open` gives."""

    def __init__(self, response: aiohttp.ClientResponse, policy: FetchPolicy, host: str, give_up_at: float) -> None:
        self._response = response
        self._policy = policy
        self._host = host
        self._give_up_at = give_up_at
        self.mime = response.content_type.lower() if "Content-Type" in response.headers else ""
        self.charset = response.charset or ""
        self.url = str(response.url)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; it can be gone through once, also in two stretches.

        Raises:
            Unfetchable: The connection failed, or the policy's deadline passed.
            TooLarge: More than `max_bytes` came.
        """
        read_bytes = 0
        while chunk := await self._next():
            read_bytes += len(chunk)
            if read_bytes > self._policy.max_bytes:
                raise TooLarge("the file", limit=self._policy.max_bytes, unit="bytes")
            yield chunk

    async def _next(self) -> bytes:
        with _translated(self._host, self._policy):
            async with asyncio.timeout_at(self._give_up_at):
                return await self._response.content.read(_CHUNK_BYTES)


@contextmanager
def _translated(host: str, policy: FetchPolicy) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        why = f"it fell silent, or took longer than {policy.deadline_s:g} seconds"
        raise Unfetchable(host, why, passing=True) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The library's text may quote the whole address, token included, so it goes no further than here.
        raise Unfetchable(host, "the connection failed", passing=True) from error


def _refuse_bad(response: aiohttp.ClientResponse, host: str, policy: FetchPolicy) -> None:
    if response.status != 200:
        passing = response.status == 429 or response.status >= 500
        raise Unfetchable(host, f"it answered with status {response.status}", passing=passing)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        # We asked for plain bytes; unpacking what was sent against that wish is how archives become bombs.
        raise Unfetchable(host, "it insists on compressing its answer")
    if (response.content_length or 0) > policy.max_bytes:
        raise TooLarge("the file", limit=policy.max_bytes, unit="bytes")


def is_public(address: str) -> bool:
    """Whether an IP address literal belongs to the public internet; mapped and tunnelled forms are unwrapped."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (inner := _inner(ip)) is not None:
        return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOBODYS)


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that *ip* carries: behind a translator or tunnel it reaches the private IPv4 network."""
    inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if inner is None and (any(ip in network for network in _CARRIERS) or int(ip) >> 32 & 0xFDFF_FFFF == _ISATAP):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return inner


_CARRIERS = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""NAT64 (RFC 6052), IPv4-compatible (RFC 4291 2.5.5.1), IPv4-translated (RFC 2765)."""

_ISATAP = 0x0000_5EFE
"""The middle of an ISATAP interface identifier (RFC 5214 6.1), its universal bit aside."""

_NOBODYS = tuple(
    map(
        ipaddress.ip_network,
        (
            "64:ff9b:1::/48",  # NAT64 for local use, RFC 8215
            "fec0::/10",  # site-local, RFC 3879
            "3fff::/20",  # documentation, RFC 9637
            "5f00::/16",  # segment identifiers, RFC 9602
            "192.88.99.0/24",  # relays of 6to4, RFC 7526
            "168.63.129.16/32",  # Azure's host, which hands out a machine's certificates
        ),
    )
)
"""Not the public internet's, whatever Python's table of this version says."""

_PRIVATE_NAMES = ("localhost", "internal", "local", "localdomain", "lan", "home", "corp", "intranet", "home.arpa")
"""Last parts of names that the public DNS does not have (RFC 6761, 6762, 8375, 9476; ICANN 2024 for .internal)."""


def is_public_name(host: str) -> bool:
    """Whether *host* can be a name of the public DNS: more than one label, and none that is private by its ending."""
    return "." in host and not any(host == name or host.endswith(f".{name}") for name in _PRIVATE_NAMES)


def _parse(url: str) -> URL:
    try:
        if any(one < " " or one == "\x7f" for one in url):
            raise ValueError("a control character")
        return URL(url)
    except (ValueError, TypeError) as error:
        raise Unfetchable("?", "the address is malformed") from error


def _check(target: URL, policy: FetchPolicy) -> str:
    """Return the target's host, or raise Unfetchable when the policy does not allow this hop."""
    try:
        return _checked_host(target, policy)
    except ValueError as error:  # "//host/x", "http://xn--/": an address to one library, not to another
        raise Unfetchable("?", "the address is malformed") from error


def _checked_host(target: URL, policy: FetchPolicy) -> str:
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
    private = not is_public(host) if _is_literal(host) else not is_public_name(host)
    if private:
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
