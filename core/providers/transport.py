"""Bytes from a provider, and the SDKs' HTTP clients over aiohttp: one trust, one proxy and one parser for all ways.

groq brings httpx and openai httpx2: two libraries with one interface, so one transport serves both. The SDKs keep
authentication, URLs and errors; only bytes travel here. `body_of` hands them out beneath the SDK's response objects.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, Final

import aiohttp
import certifi

CONNECT_TIMEOUT_S: Final = 5.0
"""As both SDKs have it (facts/groq.md 5)."""

KEEPALIVE_S: Final = 75.0
"""How long an idle connection is kept: a new TLS handshake costs the first word two round trips."""

MAX_WHOLE_BYTES: Final = 64_000_000
"""Of an unstreamed answer: four times the longest spoken answer, and far less than the memory."""

_BODY: Final = "tern.body"


class Body:
    """The bytes of one response as they arrive. Whoever took it closes it."""

    __slots__ = ("_response",)

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self) -> bytes:
        """Return everything that has arrived, waiting for at least one byte; b"" at the end.

        Raises ConnectionError when the connection broke before the end.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    async def read_all(self) -> bytes:
        """Return everything to the end. Raises ConnectionError, also for more than MAX_WHOLE_BYTES."""
        whole = bytearray()
        while piece := await self.read():
            whole += piece
            if len(whole) > MAX_WHOLE_BYTES:
                raise ConnectionError(f"an answer of more than {MAX_WHOLE_BYTES} bytes")
        return bytes(whole)

    def close(self) -> None:
        """Let the connection go: back to the pool if everything was read, closed otherwise."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def body_of(response: Any) -> Body:
    """Return the bytes beneath a response that a client of `http_client` gave."""
    body: Body = response.extensions[_BODY]
    return body


@cache
def tls_context() -> ssl.SSLContext:
    """Trust what the system trusts (a company proxy, say) and certifi, which slim images lack. Blocks about 30 ms."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def http_client(lib: ModuleType, tls: ssl.SSLContext, proxy: str | None) -> Any:
    """Return a `lib.AsyncClient` over aiohttp; the SDK's own close closes it.

    Args:
        lib: httpx or httpx2.
        proxy: URL of an HTTP proxy for https addresses, None for none. The environment is not consulted.
    """

    class Stream(lib.AsyncByteStream):  # type: ignore[misc, name-defined] # the base class is chosen at run time
        def __init__(self, body: Body) -> None:
            self._body = body

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while piece := await self._read():
                yield piece

        async def _read(self) -> bytes:
            with _translated(lib):
                return await self._body.read()

        async def aclose(self) -> None:
            self._body.close()

    class Transport(lib.AsyncBaseTransport):  # type: ignore[misc, name-defined] # likewise
        def __init__(self) -> None:
            self._session: aiohttp.ClientSession | None = None

        async def handle_async_request(self, request: Any) -> Any:
            if self._session is None:
                connector = aiohttp.TCPConnector(ssl=tls, limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=60)
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            with _translated(lib):
                response = await self._session.request(
                    request.method,
                    str(request.url),
                    headers=request.headers.multi_items(),
                    data=await request.aread() or None,
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Content-Type"),
                    proxy=proxy if request.url.scheme == "https" else None,
                )
            body = Body(response)
            return lib.Response(
                response.status,
                # aiohttp has decoded the body already, so what is said about its coding no longer holds.
                headers=[pair for pair in response.raw_headers if pair[0].lower() != b"content-encoding"],
                stream=Stream(body),
                extensions={"http_version": b"HTTP/1.1", _BODY: body},
            )

        async def aclose(self) -> None:
            if self._session is not None:
                await self._session.close()

    return lib.AsyncClient(
        transport=Transport(), trust_env=False, follow_redirects=True, headers={"accept-encoding": "identity"}
    )


@contextmanager
def _translated(lib: ModuleType) -> Iterator[None]:
    """aiohttp's exceptions in the words of *lib*, so that the SDK puts them into its own tree."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise lib.ConnectTimeout(str(error)) from error
    except TimeoutError as error:
        raise lib.ReadTimeout(str(error)) from error
    except (aiohttp.ClientHttpProxyError, aiohttp.ClientProxyConnectionError) as error:
        raise lib.ProxyError(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise lib.ConnectError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise lib.ReadError(str(error) or type(error).__name__) from error
