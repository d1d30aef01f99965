"""Chat with any OpenAI-compatible address, without an SDK: the local model, and servers by name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import msgspec

from core.base.clock import SystemClock
from core.domain.errors import ConnectionFailed, ProviderError, Stalled
from core.domain.model_spec import ModelSpec
from core.ports.gateway import RemoteModel
from core.providers import callers
from core.providers.callers import Answer, OnHeaders, moved, usable_key
from core.providers.catalogue import read_models
from core.providers.connections import MAX_REFUSAL_BYTES, Body, Connections, basic_authorization, told
from core.providers.failures import broken, error_for


class DirectCaller:
    """Implements Caller. Whoever made it closes it.

    Args:
        base_url: What stands before /chat/completions.
        api_key: Sent as a bearer token; "" sends none. KeyRejected at the first call where no header can carry it.
        proxy: HTTP proxy for https addresses; the environment is not consulted.
        keep: Whether connections are kept between requests.
        headers: Sent beside the others.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        api_key: str,
        on_headers: OnHeaders,
        *,
        connections: Connections | None = None,
        proxy: str | None = None,
        keep: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._provider = provider
        url = urlsplit(base_url.rstrip("/"))
        self._authorization = basic_authorization(url)
        self._base_url = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
        self._api_key = api_key
        self._on_headers = on_headers
        self._connections = (connections or Connections()).join()
        self._proxy = proxy
        self._keep = keep
        self._more = dict(headers or {})
        self._headers: tuple[tuple[bytes, bytes], ...] | None = None

    async def ready(self) -> None:
        """Open the pool. Raises KeyRejected."""
        self._said()
        await self._connections.open()

    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> Answer:
        return await self._request("POST", "/chat/completions", model, msgspec.json.encode(body))

    async def models(self) -> Sequence[RemoteModel]:
        """What GET /models lists. Raises ProviderError."""
        try:
            async with asyncio.timeout(callers.LIST_TIMEOUT_S) as deadline:
                answer = await self._request("GET", "/models", None, b"")
                with closing(answer.body) as body:
                    return read_models(await body.read_all())
        except ConnectionError as error:
            raise broken("closed", provider=self._provider, model="", detail=str(error)) from error
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise Stalled("no list of models", provider=self._provider) from error

    async def close(self) -> None:
        """Leave the connections; the caller is not usable afterwards."""
        await self._connections.leave()

    async def _request(self, method: str, path: str, model: ModelSpec | None, content: bytes) -> Answer:
        try:
            status, raw, body = await self._connections.request(
                method, self._base_url + path, self._said(typed=bool(content)), content, proxy=self._proxy
            )
        except OSError as error:
            raise self._failed(error, model) from error
        try:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}
            if model is not None:
                self._on_headers(model, headers)
            if not 200 <= status < 300:
                raise await self._refusal(status, headers, body, model)
        except BaseException:
            body.close()
            raise
        return Answer(headers.get("x-request-id", "")[:200], body)

    async def _refusal(self, status: int, headers: Mapping[str, str], body: Body, model: ModelSpec | None) -> Exception:
        name = model.id if model else ""
        if status < 400:
            return moved(status, headers, provider=self._provider, model=name)
        try:
            said = await body.read_all(MAX_REFUSAL_BYTES, cut=True)
        except ConnectionError as error:
            return self._failed(error, model)
        return error_for(status, said, headers, provider=self._provider, model=name, now=SystemClock().now())

    def _failed(self, error: Exception, model: ModelSpec | None) -> ProviderError:
        return ConnectionFailed(told(error), provider=self._provider, model=model.id if model else "")

    def _said(self, *, typed: bool = False) -> tuple[tuple[bytes, bytes], ...]:
        if self._headers is None:
            authorization = self._authorization
            if self._api_key:
                authorization = f"Bearer {usable_key(self._api_key, self._provider)}"
            named = {
                "Accept": "application/json",
                **({"Authorization": authorization} if authorization else {}),
                **({} if self._keep else {"Connection": "close"}),
                **self._more,
            }
            self._headers = tuple((name.encode(), value.encode()) for name, value in named.items())
        return (*self._headers, (b"Content-Type", b"application/json")) if typed else self._headers
