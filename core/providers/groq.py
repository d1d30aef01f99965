"""Groq, through its SDK: chat, its list of models, recordings, speech and batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.domain.events import Send
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply, TranscribeRequest, Transcript
from core.ports.gateway import RemoteModel
from core.providers.batches import GroqBatches
from core.providers.callers import OnHeaders, ignore_headers, usable_key
from core.providers.completions import Completions
from core.providers.connections import USER_AGENT, Connections
from core.providers.sdk import Opened, SdkCaller
from core.providers.speech import spoken, transcribed
from core.providers.timeouts import GROQ, Timeouts
from core.providers.transport import http_client

DEFAULT_URL: Final = "https://api.groq.com"
"""Without /openai/v1, which the SDK puts before every path by itself (facts/local.md, "What each SDK calls")."""


class GroqProvider:
    """Implements Provider, Catalogue, SpeechToText and TextToSpeech. Whoever made it closes it.

    Args:
        name: Another one for a second key: what a model says in `provider`.
        base_url: With or without /openai/v1 at its end; people copy Groq's documented address.
        proxy: HTTP proxy for https addresses; the environment is not consulted.
        connections: A pool that others use too; one of its own by default.
        on_headers: Hears the headers of every answer, refusals included.
    """

    def __init__(
        self,
        api_key: str,
        *,
        name: str = "groq",
        base_url: str | None = None,
        proxy: str | None = None,
        connections: Connections | None = None,
        on_headers: OnHeaders = ignore_headers,
        timeouts: Timeouts = GROQ,
    ) -> None:
        self.name = name
        self._api_key = api_key
        self._base_url = _root(base_url or DEFAULT_URL)
        self._proxy = proxy
        self._connections = connections or Connections()
        self._sdk = SdkCaller(self.name, self._open, on_headers, self._connections)
        self._completions = Completions(self.name, "groq", self._sdk, timeouts)

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        return await self._completions(request, model, send)

    async def models(self) -> Sequence[RemoteModel]:
        """Raises ProviderError."""
        return await self._sdk.models()

    async def ready(self) -> None:
        """Load the SDK, so that the first request does not wait for it. Raises KeyRejected."""
        await self._sdk.ready()

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript:
        return await transcribed(self._sdk, self.name, request, model, whisper=True)

    async def speak(self, text: str, model: ModelSpec, voice: str) -> bytes:
        return await spoken(self._sdk, text, model, voice)

    def batches(self) -> GroqBatches:
        """Its Batch API, over the same connections."""
        return GroqBatches(self._sdk, self.name)

    async def close(self) -> None:
        await self._sdk.close()

    def _open(self) -> Opened:
        import groq  # 0.3 s and 40 MB
        import httpx

        client = groq.AsyncGroq(
            api_key=usable_key(self._api_key, self.name),
            base_url=self._base_url,
            max_retries=0,
            timeout=None,
            default_headers={"User-Agent": USER_AGENT},
            http_client=http_client(httpx, self._connections, self._proxy),
        )
        return Opened(groq, httpx, client)


def _root(base_url: str) -> str:
    return base_url.rstrip("/").removesuffix("/v1").removesuffix("/openai")
