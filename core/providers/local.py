"""Any OpenAI-compatible server by its address: the embedded model, llama.cpp, Ollama, vLLM. No SDK is loaded for it."""

from __future__ import annotations

from collections.abc import Sequence

from core.domain.events import Send
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply
from core.ports.gateway import RemoteModel
from core.providers.callers import OnHeaders, ignore_headers
from core.providers.completions import Completions
from core.providers.connections import Connections
from core.providers.direct import DirectCaller
from core.providers.timeouts import LOCAL, Timeouts


class LocalProvider:
    """Implements Provider and Catalogue. Whoever made it closes it.

    Args:
        base_url: What stands before /chat/completions, usually ending in /v1.
        api_key: Sent as a bearer token; "" sends none.
    """

    name = "local"

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        connections: Connections | None = None,
        on_headers: OnHeaders = ignore_headers,
        timeouts: Timeouts = LOCAL,
    ) -> None:
        # llama.cpp closes a connection right after a stream, and a request that meets the closing fails
        # (facts/local.md); a new connection costs nothing on this machine.
        self._caller = DirectCaller(self.name, base_url, api_key, on_headers, connections=connections, keep=False)
        self._completions = Completions(self.name, "local", self._caller, timeouts)

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        return await self._completions(request, model, send)

    async def models(self) -> Sequence[RemoteModel]:
        """Raises ProviderError."""
        return await self._caller.models()

    async def close(self) -> None:
        await self._caller.close()
