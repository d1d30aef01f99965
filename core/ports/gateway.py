"""What a request meets on its way to a model: stages, providers, admission, observers, readers of attachments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.domain.errors import ProviderError
from core.domain.events import Send
from core.domain.incoming import Incoming
from core.domain.model_spec import ModelSpec, Route
from core.domain.requests import (
    ChatRequest,
    Part,
    Reply,
    RequestRecord,
    ShownRecord,
    TranscribeRequest,
    Transcript,
    Turn,
    Usage,
)
from core.domain.runs import ReplyCapability as ReplyCapability


class Handler(Protocol):
    """A stage that answers a request by itself: observe, cache, rate guard, fallback, and the whole stack.

    Text reaches `send` as it arrives and again, whole, in the reply. Raises RequestError or NoModelLeft.
    """

    async def __call__(self, request: ChatRequest, send: Send) -> Reply: ...


class Provider(Protocol):
    """Asks one model once: Groq, OpenAI, local, and retry around any of them.

    Sends Started before the first text. Raises ProviderError; never SDK exceptions. Cancelling closes the stream.
    """

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply: ...


class SpeechToText(Protocol):
    """Asks one audio model once. Raises ProviderError."""

    async def ready(self) -> None:
        """Return when `transcribe` will not have to load anything first."""
        ...

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript: ...


class TextToSpeech(Protocol):
    """Speaks *text* (WAV bytes). Raises ProviderError."""

    async def speak(self, text: str, model: ModelSpec, voice: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """What GET /models of a provider says about one model; None where it says nothing."""

    id: str
    context_window: int | None = None
    max_output: int | None = None
    price_prompt: float | None = None
    price_cached: float | None = None
    price_output: float | None = None
    shutdown_at: str | None = None
    active: bool | None = None


class Catalogue(Protocol):
    """A provider's own list of its models, for the check at start-up."""

    async def models(self) -> Sequence[RemoteModel]: ...


class Routing(Protocol):
    """Pure choice of models, best first. Raises UnknownModel for what is neither a tier nor a known id."""

    def route(self, request: ChatRequest) -> Route: ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """Go, with at most `max_output_tokens`; hand `ticket` back to `settle`."""

    ticket: int
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class Later:
    """The window `kind` is used up for `wait_s` more seconds."""

    kind: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Never:
    """This request alone exceeds the window `kind` of `limit` tokens; waiting does not help."""

    kind: str
    limit: int


class Admission(Protocol):
    """What each model's minute and day can still carry, so that the same limit is never run into twice."""

    def admit(self, model: ModelSpec, *, prompt_tokens: int, output_tokens: int) -> Admitted | Later | Never: ...

    def settle(self, ticket: int, usage: Usage | None) -> None:
        """Replace a reservation by what was used; None keeps the estimate (cut before the provider reported)."""
        ...

    def read_headers(self, model: ModelSpec, headers: Mapping[str, str]) -> None: ...

    def learn(self, model: ModelSpec, error: ProviderError) -> None:
        """Keep what a 429 or 413 text gives away (RPM, TPD, ITPM and OTPM are in no header). After `settle`: what the
        refused request had reserved does not count into what the text says was used."""
        ...


class Observer(Protocol):
    """Reads finished records: log, metrics, usage. Never raises, never waits."""

    def request(self, record: RequestRecord) -> None: ...

    def shown(self, record: ShownRecord) -> None: ...


class AttachmentReader(Protocol):
    """Turns what came with a message into parts of its turn: pictures, text of files, words of voice clips.

    Tells the reader what was heard, cut or declined through Notice events. Raises RequestError or NoModelLeft.
    """

    async def read(self, incoming: Incoming, send: Send, *, deadline_at: float) -> tuple[Part, ...]: ...

    async def load(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """Fill `Image.data` of stored turns again; a picture that is gone becomes a text part that says so."""
        ...
