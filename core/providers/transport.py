"""The SDKs' HTTP clients over our own connections: one trust, one proxy and one pool for all ways.

groq brings httpx and openai httpx2: two libraries with one interface, so one transport serves both. The SDKs keep
authentication, URLs, parameters and errors; only bytes travel here. `body_of` hands them out beneath the SDK's response
objects, so that a chunk crosses neither httpx nor the SDK.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from core.providers.connections import MAX_REFUSAL_BYTES, Body, CannotConnect, Connections, ProxyFailed

_BODY: Final = "tern.body"
_UNSAID: Final = (b"x-stainless-", b"accept-encoding", b"host", b"content-length", b"transfer-encoding", b"connection")
"""Headers that stay here: the SDKs' telemetry, which strict gateways refuse, and what belongs to the connection."""


def body_of(response: Any) -> Body:
    """Return the bytes beneath a response that a client of `http_client` gave."""
    body: Body = response.extensions[_BODY]
    return body


def http_client(lib: ModuleType, connections: Connections, proxy: str | None) -> Any:
    """Return a `lib.AsyncClient` over *connections*, which its close leaves open. Redirects are not followed: neither
    the key nor people's words go to an address that nobody configured.

    Args:
        lib: httpx or httpx2.
        proxy: URL of an HTTP proxy for https addresses, None for none. The environment is not consulted.
    """

    class Refusal(lib.AsyncByteStream):  # type: ignore[misc, name-defined] # the base class is chosen at run time
        """What the SDK itself reads: the body of a refusal, and no more of it than an error may be long."""

        def __init__(self, body: Body) -> None:
            self._body = body

        async def __aiter__(self) -> AsyncIterator[bytes]:
            with _translated(lib):
                yield await self._body.read_all(MAX_REFUSAL_BYTES, cut=True)

        async def aclose(self) -> None:
            self._body.close()

    class Transport(lib.AsyncBaseTransport):  # type: ignore[misc, name-defined] # likewise
        async def handle_async_request(self, request: Any) -> Any:
            url = request.url
            address = f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"
            headers = [pair for pair in request.headers.raw if not pair[0].lower().startswith(_UNSAID)]
            content = await request.aread()
            with _translated(lib):
                status, told, body = await connections.request(request.method, address, headers, content, proxy=proxy)
            return lib.Response(
                status,
                headers=[pair for pair in told if pair[0].lower() != b"content-encoding"],  # none is left in the body
                stream=Refusal(body),
                extensions={"http_version": b"HTTP/1.1", _BODY: body},
            )

    return lib.AsyncClient(transport=Transport(), trust_env=False, follow_redirects=False)


@contextmanager
def _translated(lib: ModuleType) -> Iterator[None]:
    """Our connections' exceptions in the words of *lib*, so that the SDK puts them into its own tree."""
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
