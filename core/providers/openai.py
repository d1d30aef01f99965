"""OpenAI as the backup, through its SDK: chat, its list of models, recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.domain.events import Send
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply, TranscribeRequest, Transcript
from core.ports.gateway import RemoteModel
from core.providers.callers import OnHeaders, ignore_headers, usable_key
from core.providers.completions import Completions
from core.providers.connections import USER_AGENT, Connections
from core.providers.sdk import Opened, SdkCaller
from core.providers.speech import transcribed
from core.providers.timeouts import OPENAI, Timeouts
from core.providers.transport import http_client

DEFAULT_URL: Final = "https://api.openai.com/v1"


class OpenAIProvider:
    """Implements Provider, Catalogue and SpeechToText. Whoever made it closes it. Arguments as GroqProvider's."""

    name = "openai"

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        proxy: str | None = None,
        connections: Connections | None = None,
        on_headers: OnHeaders = ignore_headers,
        timeouts: Timeouts = OPENAI,
    ) -> None:
        self._api_key = api_key
        self._base_url = (base_url or DEFAULT_URL).rstrip("/")
        self._proxy = proxy
        self._connections = connections or Connections()
        self._sdk = SdkCaller(self.name, self._open, on_headers, self._connections)
        self._completions = Completions(self.name, "openai", self._sdk, timeouts)

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        return await self._completions(request, model, send)

    async def models(self) -> Sequence[RemoteModel]:
        """Raises ProviderError."""
        return await self._sdk.models()

    async def ready(self) -> None:
        """Load the SDK, so that the first request does not wait for it. Raises KeyRejected."""
        await self._sdk.ready()

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript:
        return await transcribed(self._sdk, self.name, request, model)

    async def close(self) -> None:
        await self._sdk.close()

    def _open(self) -> Opened:
        import httpx2  # 0.8 s and 50 MB together
        import openai

        client = openai.AsyncOpenAI(
            api_key=usable_key(self._api_key, self.name),
            base_url=self._base_url,
            max_retries=0,
            timeout=None,
            default_headers={"User-Agent": USER_AGENT},
            http_client=http_client(httpx2, self._connections, self._proxy),
        )
        return Opened(openai, httpx2, client)
