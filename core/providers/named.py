"""Providers by name: any OpenAI-compatible server, as often as an operator likes, `[providers.NAME]` in tern.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.domain.events import Send
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply
from core.ports.gateway import RemoteModel
from core.providers.callers import Answer, OnHeaders, ignore_headers, usable_key
from core.providers.completions import Completions
from core.providers.connections import Connections
from core.providers.direct import DirectCaller
from core.providers.flavours import Flavour, shaped
from core.providers.timeouts import OPENAI, Timeouts


class NamedProvider:
    """Implements Provider and Catalogue. Whoever made it closes it.

    Args:
        name: What tern.toml calls it; a model says it in `provider`.
        base_url: What stands before /chat/completions; "" is the flavour's own.
        key: "" sends none.
    """

    def __init__(
        self,
        name: str,
        flavour: Flavour,
        *,
        base_url: str = "",
        key: str = "",
        proxy: str | None = None,
        connections: Connections | None = None,
        on_headers: OnHeaders = ignore_headers,
        timeouts: Timeouts = OPENAI,
    ) -> None:
        self.name = name
        self._flavour = flavour
        bearer = flavour.key_header == "Authorization"
        self._caller = DirectCaller(
            name,
            base_url or flavour.base_url,
            key if bearer else "",
            on_headers,
            connections=connections,
            proxy=proxy,
            headers={} if bearer or not key else {flavour.key_header: usable_key(key, name)},
        )
        self._completions = Completions(name, "other", _Shaping(self._caller, flavour), timeouts)

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        return await self._completions(request, model, send)

    async def models(self) -> Sequence[RemoteModel]:
        """Raises ProviderError. Empty, which teaches nothing, where the list says nothing about what may be asked."""
        return await self._caller.models() if self._flavour.lists else ()

    async def close(self) -> None:
        await self._caller.close()


class _Shaping:
    """A Caller that makes bodies fit for one flavour."""

    def __init__(self, caller: DirectCaller, flavour: Flavour) -> None:
        self._caller = caller
        self._flavour = flavour

    async def ready(self) -> None:
        await self._caller.ready()

    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> Answer:
        return await self._caller.chat(shaped(body, self._flavour), model)
