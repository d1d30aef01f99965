"""The connections to model servers: one pool for all of them, over aiohttp, that hands out the bytes of answers.

What aiohttp leaves open is settled here: how long a connection is kept, whom we trust, that nothing is unpacked that
was not asked for, and which kinds of failure there are.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from typing import Final, cast
from urllib.parse import SplitResult, unquote

import aiohttp
import certifi
from aiohttp.client_proto import ResponseHandler

CONNECT_TIMEOUT_S: Final = 5.0
"""As both SDKs have it (facts/groq.md 5); TLS and a proxy's consent included."""

KEEPALIVE_S: Final = 75.0
"""How long an idle connection is kept: a new TLS handshake costs the first word two round trips, and the SDKs' own
5 seconds would mean one before nearly every answer (facts/models-2.md 1.12)."""

ADDRESS_S: Final = 60
"""How long a host's addresses are believed."""

MAX_WHOLE_BYTES: Final = 64_000_000
"""Of an unstreamed answer: four times the longest spoken answer, and far less than the memory."""

MAX_REFUSAL_BYTES: Final = 64_000
"""Of a refusal; the rest is not read."""

USER_AGENT: Final = "Tern"
"""A name of our own: what stands before Groq's API answers 403 to agents it finds odd, and bare HTTP libraries are
among them (facts/groq.md 7.8)."""

_BUFFER_BYTES: Final = 65_536
_SENT_WHOLE_BYTES: Final = 2**20
"""aiohttp wants more than this as a file, which it sends in pieces."""

Headers = tuple[tuple[bytes, bytes], ...]


class CannotConnect(ConnectionError):
    """Nobody answers there, or not with a certificate we trust."""


class ProxyFailed(ConnectionError):
    """The proxy did not let us through."""


LOST: Final = (OSError, aiohttp.ClientError)
"""What `Body.read` raises where the connection broke before the end; `ConnectionError` among them."""


class Body:
    """One answer as it arrives. Whoever took it closes it.

    `read` returns everything that has arrived, waiting for at least one byte; b"" at the end. It is aiohttp's own: a
    frame in between would be paid for with every chunk. Raises LOST, also where the body was closed meanwhile.
    """

    __slots__ = ("_response", "read")

    def __init__(self, response: aiohttp.ClientResponse, *, readable: bool = True) -> None:
        self._response = response
        self.read: Callable[[], Awaitable[bytes]] = response.content.readany if readable else _nothing

    async def read_all(self, most: int = MAX_WHOLE_BYTES, *, cut: bool = False) -> bytes:
        """Return everything to the end.

        Args:
            cut: Of more than *most* bytes the first ones are enough.

        Raises:
            ConnectionError: The connection broke, or there is more than *most* bytes.
        """
        whole = bytearray()
        try:
            while piece := await self.read():
                whole += piece
                if len(whole) > most:
                    break
        except LOST as error:
            raise ConnectionError(told(error)) from error
        if len(whole) > most and not cut:
            raise ConnectionError(f"an answer of more than {most:,} bytes")
        return bytes(whole[:most])

    @property
    def ended(self) -> bool:
        """Whether the end of the body has arrived, read or not."""
        return self._response.content.is_eof()

    def close(self) -> None:
        """Let the connection go: back to the pool if everything arrived, closed otherwise. A second time is harmless.
        Whoever waits in `read` gets one of LOST."""
        self._response.close()

    def leave(self, within_s: float) -> None:
        """The answer is complete: nobody waits for the end of the body, which gives the connection back to the pool if
        it comes within so many seconds."""
        if self.ended:
            self.close()
        else:
            asyncio.get_running_loop().call_later(within_s, self.close)


class Connections:
    """One pool. Opened at the first request, closed when everybody who joined has left.

    Args:
        tls: Whom to trust; by default `tls_context`, read in a thread.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._users = 0

    def join(self) -> Connections:
        self._users += 1
        return self

    async def leave(self) -> None:
        self._users -= 1
        if self._users <= 0 and self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[bytes, bytes]],
        content: bytes,
        *,
        proxy: str | None = None,
    ) -> tuple[int, Headers, Body]:
        """Send a request and wait for the head of its answer: status, headers, body. The caller closes the body.

        Args:
            proxy: HTTP proxy for https addresses; the environment is not consulted.

        Raises:
            CannotConnect, ProxyFailed: Nothing was sent.
            ConnectionError: The connection broke before an answer, or what came is none.
            TimeoutError: Connecting took longer than CONNECT_TIMEOUT_S.
        """
        session = self._session or await self.open()
        sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        try:
            response = await session.request(
                method,
                url,
                headers=sent,
                data=(content if len(content) <= _SENT_WHOLE_BYTES else io.BytesIO(content)) or None,
                allow_redirects=False,
                proxy=proxy if url.startswith("https:") else None,
            )
        except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as error:
            raise ProxyFailed(told(error)) from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise CannotConnect(told(error)) from error
        except TimeoutError as error:
            raise TimeoutError(told(error)) from error
        except LOST as error:
            raise ConnectionError(told(error)) from error
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        plain = coding in ("", "identity")
        if not plain and response.status < 400:
            response.close()
            raise ConnectionError("a content coding that was not asked for")
        return response.status, response.raw_headers, Body(response, readable=plain)

    async def open(self) -> aiohttp.ClientSession:
        """Read the trusted certificates, once and in a thread."""
        async with self._opening:
            if self._session is None:
                tls = await asyncio.to_thread(tls_context) if self._tls is None else self._tls
                connector = aiohttp.TCPConnector(
                    ssl=tls, limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=ADDRESS_S
                )
                handlers = partial(_Handler, loop=asyncio.get_running_loop())
                connector._factory = cast("partial[ResponseHandler]", handlers)
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    # Compressed streams would arrive in the compressor's portions instead of the model's.
                    headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
                    auto_decompress=False,
                    trust_env=False,
                    read_bufsize=_BUFFER_BYTES,
                )
        return self._session


class _Handler(ResponseHandler):
    """aiohttp 3.14 resumes reading with every read, paused or not, and parses nothing once more: a quarter of what a
    chunk costs here. Where a later version makes its protocols otherwise, this is simply not used."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)


@cache
def tls_context() -> ssl.SSLContext:
    """Trust what the system trusts (a company proxy, say) and certifi, which slim images lack. Blocks about 30 ms."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def told(error: BaseException) -> str:
    """An HTTP library's error in a few words. None of them are anybody's: no body is in it."""
    return f"{type(error).__name__}: {str(error)[:200]}".removesuffix(": ")


def basic_authorization(url: SplitResult) -> str:
    """The header's value for the name and password in *url*, "" where there are none."""
    if url.username is None:
        return ""
    return aiohttp.BasicAuth(unquote(url.username), unquote(url.password or "")).encode()


async def _nothing() -> bytes:
    return b""
