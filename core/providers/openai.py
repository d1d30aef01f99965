"""OpenAI as the backup: chat and its list of models over plain HTTP, recordings through its SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.domain.events import Send
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply, TranscribeRequest, Transcript
from core.ports.gateway import RemoteModel
from core.providers.completions import Completions
from core.providers.http import HttpCaller, OnHeaders, ignore_headers, usable_key
from core.providers.sdk import Opened, SdkCaller
from core.providers.speech import transcribed
from core.providers.timeouts import OPENAI, Timeouts
from core.providers.transport import http_client, tls_context

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
        on_headers: OnHeaders = ignore_headers,
        timeouts: Timeouts = OPENAI,
    ) -> None:
        self._api_key = api_key
        self._base_url = (base_url or DEFAULT_URL).rstrip("/")
        self._proxy = proxy
        self._http = HttpCaller(self.name, self._base_url, api_key, on_headers, proxy=proxy)
        self._sdk = SdkCaller(self.name, self._open, on_headers)
        self._completions = Completions(self.name, "openai", self._http, timeouts)

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        return await self._completions(request, model, send)

    async def models(self) -> Sequence[RemoteModel]:
        """Raises ProviderError."""
        return await self._http.models()

    async def ready(self) -> None:
        """Load the SDK, which hears and speaks; chat needs none. Raises KeyRejected."""
        await self._sdk.ready()

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript:
        return await transcribed(self._sdk, self.name, request, model)

    async def close(self) -> None:
        await self._http.close()
        await self._sdk.close()

    def _open(self) -> Opened:
        import httpx  # noqa: F401 (openai looks into it, also while the groq package's thread has half of it imported)
        import httpx2  # 2.3 s together, with the first recording that Groq cannot hear
        import openai

        client = openai.AsyncOpenAI(
            api_key=usable_key(self._api_key, self.name),
            base_url=self._base_url,
            max_retries=0,
            timeout=None,
            http_client=http_client(httpx2, tls_context(), self._proxy),
        )
        return Opened(openai, httpx2, client)
