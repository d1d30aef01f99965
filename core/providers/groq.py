"""Groq: chat and its list of models over plain HTTP, recordings, speech and batches through its SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.domain.events import Send
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply, TranscribeRequest, Transcript
from core.ports.gateway import RemoteModel
from core.providers.batches import GroqBatches
from core.providers.completions import Completions
from core.providers.http import HttpCaller, OnHeaders, ignore_headers, usable_key
from core.providers.sdk import Opened, SdkCaller
from core.providers.speech import spoken, transcribed
from core.providers.timeouts import GROQ, Timeouts
from core.providers.transport import http_client, tls_context

DEFAULT_URL: Final = "https://api.groq.com"
"""Without /openai/v1, which the SDK puts before every path by itself (facts/local.md, "What each SDK calls")."""


class GroqProvider:
    """Implements Provider, Catalogue, SpeechToText and TextToSpeech. Whoever made it closes it.

    Args:
        base_url: With or without /openai/v1 at its end; people copy Groq's documented address.
        proxy: HTTP proxy for https addresses; the environment is not consulted.
        on_headers: Hears the headers of every answer, refusals included.
    """

    name = "groq"

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        proxy: str | None = None,
        on_headers: OnHeaders = ignore_headers,
        timeouts: Timeouts = GROQ,
    ) -> None:
        self._api_key = api_key
        self._base_url = _root(base_url or DEFAULT_URL)
        self._proxy = proxy
        self._http = HttpCaller(self.name, f"{self._base_url}/openai/v1", api_key, on_headers, proxy=proxy)
        self._sdk = SdkCaller(self.name, self._open, on_headers)
        self._completions = Completions(self.name, "groq", self._http, timeouts)

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

    async def speak(self, text: str, model: ModelSpec, voice: str) -> bytes:
        return await spoken(self._sdk, text, model, voice)

    def batches(self) -> GroqBatches:
        """Its Batch API, over the same connections."""
        return GroqBatches(self._sdk, self.name)

    async def close(self) -> None:
        await self._http.close()
        await self._sdk.close()

    def _open(self) -> Opened:
        import groq  # 0.8 s and 13 MB, with the first recording
        import httpx

        client = groq.AsyncGroq(
            api_key=usable_key(self._api_key, self.name),
            base_url=self._base_url,
            max_retries=0,
            timeout=None,
            http_client=http_client(httpx, tls_context(), self._proxy),
        )
        return Opened(groq, httpx, client)


def _root(base_url: str) -> str:
    return base_url.rstrip("/").removesuffix("/v1").removesuffix("/openai")
