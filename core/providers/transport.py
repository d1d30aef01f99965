"""The SDKs' HTTP clients over our own connections: one trust, one proxy and one parser for all ways.

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

import certifi

from core.providers.http_client import Body, CannotConnect, Connections, Origin, ProxyFailed

_BODY: Final = "tern.body"


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
    """Return a `lib.AsyncClient` over our own connections; the SDK's own close closes it.

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
            self._connections = Connections(tls, proxy)

        async def handle_async_request(self, request: Any) -> Any:
            url = request.url
            secure = url.scheme == "https"
            origin = Origin(secure, url.raw_host.decode("ascii"), url.port or (443 if secure else 80))
            content = await request.aread()
            with _translated(lib):
                head, body = await self._connections.request(
                    origin, request.method, url.raw_path.decode("ascii"), request.headers.raw, content
                )
            return lib.Response(
                head.status,
                # The body has been unpacked already, so what is said about its coding no longer holds.
                headers=[pair for pair in head.headers if pair[0].lower() != b"content-encoding"],
                stream=Stream(body),
                extensions={"http_version": b"HTTP/1.1", _BODY: body},
            )

        async def aclose(self) -> None:
            await self._connections.close()

    return lib.AsyncClient(
        transport=Transport(), trust_env=False, follow_redirects=True, headers={"accept-encoding": "identity"}
    )


@contextmanager
def _translated(lib: ModuleType) -> Iterator[None]:
    """Our client's exceptions in the words of *lib*, so that the SDK puts them into its own tree."""
    try:
        yield
    except ProxyFailed as error:
        raise lib.ProxyError(str(error)) from error
    except CannotConnect as error:
        raise lib.ConnectError(str(error)) from error
    except ConnectionError as error:
        raise lib.ReadError(str(error)) from error
    except TimeoutError as error:
        raise lib.ConnectTimeout(str(error)) from error
