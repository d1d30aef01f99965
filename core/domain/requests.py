"""What is wanted of a model, never which model; and what came of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from core.domain.audience import ANYBODY, Audience
from core.domain.incoming import ConversationKey, UserKey
from core.domain.model_spec import Capability

Role = Literal["system", "user", "assistant", "tool"]
Effort = Literal["none", "low", "medium", "high"]
Finish = Literal["stop", "length", "tool_calls", "content_filter", "stopped"]


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture. Stored turns carry only `ref`; the chat service loads `data` before a request is sent."""

    ref: str
    mime: str
    width: int = 0
    height: int = 0
    data: bytes = b""
    """Already within the provider's limits (core/files/pictures.py), metadata stripped."""
    url: str = ""
    """An address or data: URL that an API caller gave; providers pass it on as it is. Never fetched by us."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str
    """JSON text exactly as the model wrote it; may be malformed."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    name: str
    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought aloud; handed back to the same model between tool rounds, never shown."""

    text: str
    model: str


Part: TypeAlias = Text | Image | ToolCall | ToolResult | Reasoning


@dataclass(frozen=True, slots=True)
class Turn:
    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text parts, joined without a separator."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. `builtin` names one the provider runs itself (Groq's browser_search)."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of the arguments."""
    strict: bool | None = None
    builtin: bool = False


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What shape the answer's text must have."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    schema: Mapping[str, Any] | None = None
    strict: bool = True


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to the stack."""

    request_id: str
    """Correlation id: in the visible error, the log and the record. For chat messages the run id."""
    user: UserKey
    turns: tuple[Turn, ...]
    """Oldest first; system turns first."""
    needs: frozenset[Capability] = frozenset()
    requested_model: str = "auto"
    """"auto", "speed", "quality" or a registry id."""
    latency_ms: int | None = None
    """Wished time to first text; below 100 asks for the speed tier."""
    cost_sensitive: bool = False
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    """"auto", "none", "required" or a tool's name."""
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat = OutputFormat()
    effort: Effort | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    deadline_at: float | None = None
    """Seconds since the epoch."""
    editable: bool = False
    """Whether text already sent may be taken back (`Restarted.keep_chars` below what was sent)."""
    fresh: bool = False
    """Go past the cache (Regenerate)."""
    private: bool = False
    """The asker's private files or tools shaped it: never cached, never shared."""
    contributors: frozenset[UserKey] = frozenset()
    """Everybody whose words are in `turns`; cache rows name them so that `forget` purges them."""
    audience: Audience = ANYBODY
    """Who may read what stands in `turns`. It shapes the cache's key: an answer is shared within one audience only."""
    channel_key: str = ""
    """Platform and channel ("slack:C123") for records and per-channel limits; "" for the API."""
    conversation: ConversationKey | None = None
    """Where it is asked, for tools that search what was said before; None for the API."""
    tz: str = ""
    """The asker's zone (IANA), "" where unknown."""
    avoid: frozenset[str] = frozenset()
    """Registry ids of models that already failed at this very task: never asked again for it."""
    allow_local: bool = True
    """Whether the local model may stand in (the page and the API only, unless a setting says otherwise)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost. `estimated` where a stream was cut before the provider reported."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_s: float = 0.0
    cost_usd: float = 0.0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.audio_s + other.audio_s,
            self.cost_usd + other.cost_usd,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to one model, for records: which, how it ended, what it cost."""

    provider: str
    model: str
    started_at: float
    duration_s: float
    first_text_s: float | None
    outcome: str
    """"ok" or the error's class name."""
    usage: Usage = Usage()
    provider_request_id: str = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """A page that the provider's own browser retrieved and the text cites as "[number]"."""

    number: int
    title: str
    url: str
    at: tuple[tuple[int, int], ...] = ()
    """Where in the reply's text: (first character, the one after the last)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `usage` adds up all attempts, abandoned ones included."""

    text: str
    model: str
    provider: str
    usage: Usage
    finish: Finish = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    attempts: tuple[Attempt, ...] = ()
    from_cache: bool = False
    provider_request_id: str = ""
    asks_approval: bool = False
    """It ends with a question that Confirm or Decline answers: an acting tool waits for approval."""
    choices: tuple[str, ...] = ()
    """It is a question that one of these answers, as a button each."""
    citations: tuple[Citation, ...] = ()
    """What its footnotes lead to."""


@dataclass(frozen=True, slots=True)
class TranscribeRequest:
    request_id: str
    user: UserKey
    audio: bytes
    mime: str
    duration_s: float
    language: str | None = None
    """ISO 639-1; None lets the model detect it."""
    prompt: str = ""
    translate: bool = False
    """Into English."""
    requested_model: str = "auto"
    deadline_at: float | None = None
    times: Literal["none", "segments", "words"] = "none"
    """Which times the caller counts on; a model that gives none is asked last."""


@dataclass(frozen=True, slots=True)
class Word:
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech. The last three are Whisper's own doubts, 0, 0 and 1 where a model gives none."""

    start_s: float
    end_s: float
    text: str
    no_speech: float = 0.0
    """Probability that nobody speaks."""
    avg_logprob: float = 0.0
    compression_ratio: float = 1.0
    """High where the text repeats itself."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """`text` is empty where no words were heard."""

    text: str
    language: str
    duration_s: float
    model: str
    provider: str
    usage: Usage
    segments: tuple[Segment, ...] = ()
    from_cache: bool = False
    words: tuple[Word, ...] = ()
    """Only where `times` asked for them and the model gives them."""
    lost_s: float = 0.0
    """Seconds of the recording that are damaged and were passed over."""


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    request_id: str
    user: UserKey
    turns: tuple[Turn, ...]
    schema: Mapping[str, Any]
    """JSON Schema of the wanted object."""
    requested_model: str = "auto"
    deadline_at: float | None = None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One per request, handed to every observer when it is over; hits and refusals too. Holds no text."""

    request_id: str
    kind: Literal["chat", "transcribe", "speak"]
    user: UserKey
    channel_key: str
    requested_model: str
    started_at: float
    first_text_s: float | None
    """From the request's entry to the first text the model sent; None where there was none."""
    duration_s: float
    outcome: str
    """"ok", "cached", "stopped" or the error's class name."""
    model: str = ""
    provider: str = ""
    usage: Usage = Usage()
    attempts: tuple[Attempt, ...] = ()
    finish: str = ""


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """One per visible answer: how close the screen was behind the model."""

    request_id: str
    platform: str
    first_shown_s: float | None
    """From acceptance to the first visible words of the answer."""
    last_lag_s: float | None
    """From the model's last token to the edit that shows the last word."""
    edits: int
    """Posts and edits together."""
    pages: int
    outcome: str
