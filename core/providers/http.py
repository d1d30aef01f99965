"""How chat requests and lists of models travel: over aiohttp, with nothing in between.

The SDKs keep what is rare and intricate: recordings, speech, files, batches (sdk.py). A chat request is one POST with a
bearer token, and its stream is decoded here anyway, beneath their objects. Measured with groq 1.7.0 (2026-11-27): an
answer costs the SDK 1.7 ms of processor time and this 0.5; importing groq costs a bot 13 MB, and openai its reader two
seconds at the moment that Groq fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from core.errors import ConnectionFailed, KeyRejected, Stalled
from core.models import ModelSpec
from core.ports import RemoteModel
from core.providers.catalogue import read_models
from core.providers.failures import broken, error_for
from core.providers.transport import CONNECT_TIMEOUT_S, KEEPALIVE_S, Body, tls_context

LIST_TIMEOUT_S: Final = 15.0
"""For GET /models; start-up goes on without it."""

USER_AGENT: Final = "Tern"
"""A name of our own: what stands before Groq's API answers 403 to agents that it finds odd (facts/groq.md 7.8)."""

OnHeaders = Callable[[ModelSpec, Mapping[str, str]], None]
"""Hears the headers of every answer, refusals included; names are in lower case."""


def ignore_headers(model: ModelSpec, headers: Mapping[str, str]) -> None:
    """For whoever does not count limits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with status 200 whose body is still coming. Whoever opened it closes it."""

    headers: Mapping[str, str]
    body: Body


class Caller(Protocol):
    """How a chat request gets to a provider. Raises ProviderError; leaving the context closes the connection."""

    async def ready(self) -> None:
        """Return when `chat` will not have to load anything first."""
        ...

    def chat(self, body: Mapping[str, Any], model: ModelSpec) -> AbstractAsyncContextManager[Answer]: ...


class HttpCaller:
    """Implements Caller for any OpenAI-compatible address. Whoever made it closes it.

    Args:
        base_url: What stands before /chat/completions.
        api_key: Sent as a bearer token; "" sends none. KeyRejected at the first call where no header can carry it.
        proxy: HTTP proxy for https addresses; the environment is not consulted.
        keep: Whether connections are kept between requests.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        api_key: str,
        on_headers: OnHeaders,
        *,
        proxy: str | None = None,
        keep: bool = True,
    ) -> None:
        self._provider = provider
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._on_headers = on_headers
        self._secure = base_url.startswith("https:")
        self._proxy = proxy if self._secure else None
        self._keep = keep
        self._session: aiohttp.ClientSession | None = None

    async def ready(self) -> None:
        """Read the trusted certificates, once and in a thread. Raises KeyRejected."""
        await self._opened()

    @asynccontextmanager
    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> AsyncIterator[Answer]:
        async with self._request("POST", "/chat/completions", model, msgspec.json.encode(body)) as response:
            headers = lower(response.headers)
            self._on_headers(model, headers)
            answer = Body(response)
            try:
                yield Answer(headers, answer)
            finally:
                answer.close()

    async def models(self) -> Sequence[RemoteModel]:
        """What GET /models lists. Raises ProviderError."""
        await self.ready()
        try:
            async with (
                asyncio.timeout(LIST_TIMEOUT_S) as deadline,
                self._request("GET", "/models", None, None) as response,
            ):
                return read_models(await Body(response).read_all())
        except ConnectionError as error:
            raise broken("closed", provider=self._provider, model="", detail=str(error)) from error
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise Stalled("no list of models", provider=self._provider) from error

    async def close(self) -> None:
        """Close the connections; the caller is not usable afterwards."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, model: ModelSpec | None, body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        session = await self._opened()
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            response = await session.request(
                method, self._base_url + path, data=body, headers=headers, proxy=self._proxy
            )
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(error, model) from error
        async with response:
            if response.status >= 400:
                raise await self._refusal(response, model)
            yield response

    async def _refusal(self, response: aiohttp.ClientResponse, model: ModelSpec | None) -> Exception:
        headers = lower(response.headers)
        if model is not None:
            self._on_headers(model, headers)
        try:
            said = await Body(response).read_all()
        except ConnectionError as error:
            return self._failed(error, model)
        return error_for(response.status, said, headers, provider=self._provider, model=model.id if model else "")

    def _failed(self, error: Exception, model: ModelSpec | None) -> ConnectionFailed:
        detail = f"{type(error).__name__}: {error}".removesuffix(": ")
        return ConnectionFailed(detail, provider=self._provider, model=model.id if model else "")

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Compressed streams would arrive in the compressor's portions instead of the model's.
            headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
            if self._api_key:
                headers["Authorization"] = f"Bearer {usable_key(self._api_key, self._provider)}"
            tls = await asyncio.to_thread(tls_context) if self._secure else True
            self._session = self._session or aiohttp.ClientSession(  # another call may have been quicker
                connector=_connector(keep=self._keep, tls=tls),
                headers=headers,
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _connector(*, keep: bool, tls: Any) -> aiohttp.TCPConnector:
    if not keep:
        return aiohttp.TCPConnector(ssl=tls, limit=0, force_close=True)
    return aiohttp.TCPConnector(ssl=tls, limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=60)


def usable_key(key: str, provider: str) -> str:
    """Return *key* without the blanks that copying adds. Raises KeyRejected for what no HTTP header can carry."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise KeyRejected("the key is empty or has characters that no key has", provider=provider)
    return key


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
