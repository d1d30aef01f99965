"""OpenAI through its SDK: chat and speech to text, as the backup, and its list of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.events import Send
from core.models import ModelSpec
from core.ports import RemoteModel
from core.providers.catalogue import read_models
from core.providers.completions import Completions
from core.providers.sdk import OnHeaders, Opened, SdkCaller, ignore_headers, usable_key
from core.providers.speech import transcribed
from core.providers.timeouts import OPENAI, Timeouts
from core.providers.transport import http_client, tls_context
from core.requests import ChatRequest, Reply, TranscribeRequest, Transcript

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
        self._caller = SdkCaller(self.name, self._open, on_headers)
        self._completions = Completions(self.name, "openai", self._caller, timeouts)

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        return await self._completions(request, model, send)

    async def models(self) -> Sequence[RemoteModel]:
        """Raises ProviderError."""
        return read_models(
            await self._caller.fetch(lambda client: client.models.with_streaming_response.list(), None, limit_s=15.0)
        )

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript:
        return await transcribed(self._caller, self.name, request, model)

    async def ready(self) -> None:
        """Import the SDK now, in a thread, so that the first request does not wait for it. Raises KeyRejected."""
        await self._caller.ready()

    @property
    def loaded(self) -> bool:
        """Whether the SDK has been imported."""
        return self._caller.loaded

    async def close(self) -> None:
        await self._caller.close()

    def _open(self) -> Opened:
        import httpx  # noqa: F401 (openai looks into it, also while the groq package's thread has half of it imported)
        import httpx2  # 2.3 s together, and only where a key is set
        import openai

        client = openai.AsyncOpenAI(
            api_key=usable_key(self._api_key, self.name),
            base_url=self._base_url,
            max_retries=0,
            timeout=None,
            http_client=http_client(httpx2, tls_context(), self._proxy),
        )
        return Opened(openai, httpx2, client)
