"""Any OpenAI-compatible server by its address: the embedded model, llama.cpp, Ollama, vLLM. No SDK is loaded for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from core.errors import ConnectionFailed, Stalled
from core.events import Send
from core.models import ModelSpec
from core.ports import RemoteModel
from core.providers.catalogue import read_models
from core.providers.completions import Completions
from core.providers.failures import error_for
from core.providers.sdk import Answer, OnHeaders, ignore_headers, lower, usable_key
from core.providers.timeouts import LOCAL, Timeouts
from core.providers.transport import CONNECT_TIMEOUT_S, Body
from core.requests import ChatRequest, Reply

LIST_TIMEOUT_S = 15.0
"""For GET /models; start-up goes on without it."""


class LocalProvider:
    """Implements Provider and Catalogue. Whoever made it closes it.

    Args:
        base_url: What stands before /chat/completions, usually ending in /v1.
        api_key: Sent as a bearer token; "" sends none. KeyRejected where no header can carry it.
    """

    name = "local"

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        on_headers: OnHeaders = ignore_headers,
        timeouts: Timeouts = LOCAL,
    ) -> None:
        self._caller = _HttpCaller(self.name, base_url.rstrip("/"), api_key, on_headers)
        self._completions = Completions(self.name, "local", self._caller, timeouts)

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        return await self._completions(request, model, send)

    async def models(self) -> Sequence[RemoteModel]:
        """Raises ProviderError."""
        return await self._caller.models()

    async def ready(self) -> None:
        """Nothing is loaded."""

    async def close(self) -> None:
        await self._caller.close()


class _HttpCaller:
    """Implements Caller with nothing in between."""

    def __init__(self, provider: str, base_url: str, api_key: str, on_headers: OnHeaders) -> None:
        self._provider = provider
        self._base_url = base_url
        self._authorization = {"Authorization": f"Bearer {usable_key(api_key, provider)}"} if api_key else {}
        self._on_headers = on_headers
        self._session: aiohttp.ClientSession | None = None

    async def ready(self) -> None: ...

    @asynccontextmanager
    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> AsyncIterator[Answer]:
        headers = {**self._authorization, "Content-Type": "application/json"}
        async with self._request("POST", "/chat/completions", model.id, headers, msgspec.json.encode(body)) as response:
            received = lower(response.headers)
            self._on_headers(model, received)
            answer = Body(response)
            try:
                yield Answer(received, answer)
            finally:
                answer.close()

    async def models(self) -> Sequence[RemoteModel]:
        try:
            async with (
                asyncio.timeout(LIST_TIMEOUT_S) as deadline,
                self._request("GET", "/models", "", self._authorization, None) as response,
            ):
                return read_models(await Body(response).read_all())
        except ConnectionError as error:
            raise ConnectionFailed(str(error), provider=self._provider) from error
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise Stalled("no list of models", provider=self._provider) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, model: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # llama.cpp closes a connection right after a stream, and a request that meets the closing fails
                # (facts/local.md); a new connection costs nothing on this machine.
                connector=aiohttp.TCPConnector(force_close=True),
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            response = await self._session.request(method, self._base_url + path, data=body, headers=headers)
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(error, model) from error
        async with response:
            if response.status >= 400:
                try:
                    refusal = await Body(response).read_all()
                except ConnectionError as error:
                    raise self._failed(error, model) from error
                raise error_for(response.status, refusal, lower(response.headers), provider=self._provider, model=model)
            yield response

    def _failed(self, error: Exception, model: str) -> ConnectionFailed:
        return ConnectionFailed(f"{type(error).__name__}: {error}", provider=self._provider, model=model)
