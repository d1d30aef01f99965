"""Requests over HTTP/1.1, made for streams: a packet costs one wake-up of whoever reads, and little more.

Measured on loopback with uvloop, a chunk per packet, microseconds of CPU: aiohttp's client 32, this one 21, of which
the loop itself takes 18; in bursts 5.6 and 3.2. Only what providers need is here: no redirects, no cookies, whole
request bodies. Connections are kept for the next request, addresses for a minute.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self, cast
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

from core.providers.http_answer import AnswerReader, Head

CONNECT_TIMEOUT_S: Final = 5.0
"""As both SDKs have it (facts/groq.md 5); TLS and a proxy's consent included."""

KEEPALIVE_S: Final = 75.0
"""How long an idle connection is kept: a new TLS handshake costs the first word two round trips."""

ADDRESS_S: Final = 60.0
"""How long a host's addresses are believed."""

MAX_WHOLE_BYTES: Final = 64_000_000
"""Of an unstreamed answer: four times the longest spoken answer, and far less than the memory."""

MAX_UNREAD_BYTES: Final = 262_144
"""What may wait for a slow reader before the other side is made to wait."""

_NEXT_ADDRESS_S: Final = 0.25
"""Head start of each address before the next one is tried beside it (RFC 8305 section 5)."""


class CannotConnect(ConnectionError):
    """Nobody answers there, or not with a certificate we trust."""


class ProxyFailed(ConnectionError):
    """The proxy did not let us through."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a connection leads to. `host` is in ASCII, without brackets."""

    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: SplitResult) -> Self:
        secure = url.scheme == "https"
        return cls(secure, url.hostname or "", url.port or (443 if secure else 80))


class Body:
    """One answer as it arrives. Whoever took it closes it."""

    __slots__ = ("_connection", "_loop", "_lost", "_pieces", "_reader", "_unread", "_waiter")

    def __init__(self, connection: Connection, method: str) -> None:
        self._connection: Connection | None = connection
        self._loop = asyncio.get_running_loop()
        self._reader = AnswerReader(method)
        self._pieces: list[bytes] = []
        self._unread = 0
        self._lost: ConnectionError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> Head:
        """Wait for status and headers, which are handed out once. Raises ConnectionError."""
        while (head := self._reader.head) is None:
            if self._lost is not None:
                raise self._lost
            await self._news()
        self._reader.forget_headers()
        return head

    async def read(self) -> bytes:
        """Return everything that has arrived, waiting for at least one byte; b"" at the end.

        Raises ConnectionError when the connection broke before the end.
        """
        pieces = self._pieces
        while not pieces:
            if self._reader.done:
                return b""
            if self._lost is not None:
                raise self._lost
            await self._news()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._unread > MAX_UNREAD_BYTES and self._connection is not None:
            self._connection.resume()
        self._unread = 0
        return data

    async def read_all(self) -> bytes:
        """Return everything to the end. Raises ConnectionError, also for more than MAX_WHOLE_BYTES."""
        whole = bytearray()
        while piece := await self.read():
            whole += piece
            if len(whole) > MAX_WHOLE_BYTES:
                raise ConnectionError(f"an answer of more than {MAX_WHOLE_BYTES} bytes")
        return bytes(whole)

    def close(self) -> None:
        """Let the connection go: back to the pool if everything was read, closed otherwise. A second time is harmless.

        Whoever waits in `read` gets a ConnectionError.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        reader = self._reader
        keeps_alive = reader.head is not None and reader.head.keeps_alive
        connection.leave(reusable=reader.done and keeps_alive and not reader.surplus)
        self.lose(ConnectionError("closed on our side"))

    # --- for the connection ---

    def take(self, data: bytes) -> None:
        try:
            body = self._reader.feed(data)
        except ConnectionError as error:
            self.lose(error)
            return
        if body:
            self._pieces.append(body)
            self._unread += len(body)
            if self._unread > MAX_UNREAD_BYTES and self._connection is not None:
                self._connection.pause()
        self._wake()

    def end(self) -> None:
        """The other side has said all that it wanted to say."""
        if self._reader.close():
            self._wake()
        else:
            self.lose(ConnectionError("closed by the other side"))

    def lose(self, error: ConnectionError) -> None:
        """Nothing more comes, and the answer is not whole unless it was already."""
        self._lost = self._lost or error
        self._wake()

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One connection, with one request on it at a time."""

    def __init__(self, pool: Connections, origin: Origin) -> None:
        self._pool = pool
        self._origin = origin
        self._body: Body | None = None
        self.transport: asyncio.Transport
        self.closed = False
        self._paused = False
        self.idle_since = 0.0

    def ask(self, method: str, request: bytes) -> Body:
        """Send a whole request; its answer belongs to the caller."""
        self._body = Body(self, method)
        self.transport.write(request)
        return self._body

    def leave(self, *, reusable: bool) -> None:
        """The answer is done with, or nobody wants the rest of it."""
        self._body = None
        # A server that answers before it has read everything (413) leaves us with half a request unsent.
        if reusable and not self.closed and not self.transport.get_write_buffer_size():
            self.resume()
            self.idle_since = time.monotonic()
            self._pool.keep(self._origin, self)
        else:
            self.abort()

    def release(self) -> None:
        """The answer had no body: what comes next is nobody's."""
        self._body = None

    def abort(self) -> None:
        self.closed = True
        self.transport.abort()

    def pause(self) -> None:
        # uvloop minds being told twice, or after the end.
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self.transport.is_closing():
            self.transport.resume_reading()
        self._paused = False

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self._body is not None:
            self._body.take(data)
        else:
            self.abort()  # nobody asked

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._pool.drop(self._origin, self)
        if self._body is None:
            return
        if error is None:
            self._body.end()
        else:
            self._body.lose(ConnectionError(str(error)))


class Connections:
    """Connections to any number of places; idle ones are used again, the latest first.

    Args:
        tls: For https addresses; None where none is asked for.
        proxy: URL of an HTTP proxy for https addresses, None for none. The environment is not consulted.
        keep: False closes each connection after its answer.
    """

    def __init__(self, tls: ssl.SSLContext | None, proxy: str | None = None, *, keep: bool = True) -> None:
        self._tls = tls
        self._proxy = proxy
        self._keep = keep
        self._idle: dict[Origin, list[Connection]] = {}
        self._addresses: dict[tuple[str, int], tuple[float, list[AddrInfoType]]] = {}
        """(host, port) -> (when they were looked up, addresses)."""

    async def request(
        self, origin: Origin, method: str, target: str, headers: Iterable[tuple[bytes, bytes]], content: bytes
    ) -> tuple[Head, Body]:
        """Send a request and wait for the head of its answer. The caller closes the body.

        Args:
            headers: With the host; what belongs to the connection itself (length, framing) is added here.

        Raises:
            CannotConnect, ProxyFailed: Nothing was sent.
            ConnectionError: The connection broke before an answer, or what came is none.
            TimeoutError: Connecting took longer than CONNECT_TIMEOUT_S.
        """
        request = _request(method, target, headers, content)
        connection = self._reused(origin) or await self._connected(origin)
        body = connection.ask(method, request)
        try:
            return await body.head(), body
        except BaseException:
            body.close()
            raise

    def keep(self, origin: Origin, connection: Connection) -> None:
        if self._keep:
            self._idle.setdefault(origin, []).append(connection)
        else:
            connection.abort()

    def drop(self, origin: Origin, connection: Connection) -> None:
        idle = self._idle.get(origin, [])
        if connection in idle:
            idle.remove(connection)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return sum(len(idle) for idle in self._idle.values())

    async def close(self) -> None:
        """Close what is idle; answers under way are closed by their readers."""
        for connection in [one for idle in self._idle.values() for one in idle]:
            connection.abort()
        self._idle.clear()

    def _reused(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            gone = connection.closed or connection.transport.is_closing()
            if not gone and time.monotonic() - connection.idle_since < KEEPALIVE_S:
                return connection
            connection.abort()
        return None

    async def _connected(self, origin: Origin) -> Connection:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if origin.tls and self._proxy is not None:
                return await self._through(self._proxy, origin)
            try:
                return await self._open(origin, origin)
            except OSError as error:
                raise CannotConnect(f"{origin.host}:{origin.port}: {error}") from error

    async def _through(self, proxy: str, origin: Origin) -> Connection:
        """Ask *proxy* for a tunnel and speak TLS in it."""
        url = urlsplit(proxy)
        there = Origin.of(url)
        try:
            connection = await self._open(there, origin)
        except OSError as error:
            raise ProxyFailed(f"{there.host}:{there.port}: {error}") from error
        try:
            await _tunnel(connection, origin, basic_authorization(url))
            secured = await asyncio.get_running_loop().start_tls(
                connection.transport, connection, self._context(), server_hostname=origin.host
            )
            connection.transport = cast(asyncio.Transport, secured)
        except ssl.SSLError as error:
            connection.abort()
            raise CannotConnect(f"{origin.host}:{origin.port}: {error}") from error
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _open(self, there: Origin, origin: Origin) -> Connection:
        """A connection that leads *there*, for answers from *origin*."""
        addresses = await self._look_up(there.host, there.port)
        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1
            )
        except OSError:
            self._addresses.pop((there.host, there.port), None)  # it may have moved
            raise
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self, origin),
            sock=sock,
            ssl=self._context() if there.tls else None,
            server_hostname=there.host if there.tls else None,
        )
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            raise ValueError("an https address, and nothing to speak TLS with")
        return self._tls

    async def _look_up(self, host: str, port: int) -> list[AddrInfoType]:
        at, addresses = self._addresses.get((host, port), (0.0, []))
        if not addresses or time.monotonic() - at > ADDRESS_S:
            addresses = [*await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)]
            self._addresses[host, port] = (time.monotonic(), addresses)
        return addresses


async def _tunnel(connection: Connection, origin: Origin, authorization: str) -> None:
    """Raises ProxyFailed where the proxy will not lead to *origin*."""
    name = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{name}:{origin.port}"
    headers = [(b"Host", target.encode())]
    if authorization:
        headers.append((b"Proxy-Authorization", authorization.encode()))
    body = connection.ask("CONNECT", _request("CONNECT", target, headers, b""))
    try:
        head = await body.head()
    except ConnectionError as error:
        raise ProxyFailed(f"no answer: {error}") from error
    if head.status != 200:
        raise ProxyFailed(f"it answered {head.status}")
    connection.release()


def basic_authorization(url: SplitResult) -> str:
    """The header's value for the name and password in *url*, "" where there are none."""
    if url.username is None:
        return ""
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _request(method: str, target: str, headers: Iterable[tuple[bytes, bytes]], content: bytes) -> bytes:
    """Raises ValueError for a header that would end before its value does."""
    lines = [f"{method} {target} HTTP/1.1".encode("ascii")]
    lines += [b"%b: %b" % pair for pair in headers if pair[0].lower() not in _FRAMING]
    if content or method not in ("GET", "HEAD", "CONNECT"):
        lines.append(b"Content-Length: %d" % len(content))
    if any(b"\r" in line or b"\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return b"\r\n".join([*lines, b"", content])


_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})
