"""What a fake model does with one request. Values only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

CutHow = Literal["socket", "half", "clean", "error_event", "x_groq_error", "garbage"]


def tokens_of(text: str) -> tuple[str, ...]:
    """Split as a model's tokens roughly fall: words with the space before them, digits and marks apart."""
    return tuple(re.findall(r"\s*\w{1,12}|\s*[^\w\s]|\s+", text))


@dataclass(frozen=True, slots=True)
class Say:
    """A good answer.

    `tokens_per_s` paces it (None: as fast as it goes); `burst` is how many chunks one write carries; `first_after_s` is
    the wait before the first byte of the body. `chunks` replaces the usual split of `text`.
    """

    text: str = ""
    chunks: Sequence[str] | None = None
    reasoning: str = ""
    calls: Sequence[tuple[str, str]] = ()
    """(name, JSON arguments) of tool calls."""
    finish: str = ""
    """"" is "tool_calls" where there are calls, else "stop"; "none" leaves it out."""
    tokens_per_s: float | None = None
    burst: int = 1
    first_after_s: float = 0.0
    usage: bool = True
    cached_tokens: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def pieces(self) -> tuple[str, ...]:
        return tuple(self.chunks) if self.chunks is not None else tokens_of(self.text)


@dataclass(frozen=True, slots=True)
class Cut:
    """An answer that breaks after `after` tokens of `text`, in one of the ways of facts/groq.md 4.

    socket: the connection is closed without the end of the body. half: only the sending half is closed, the other goes
    on reading. clean: the body ends, without finish reason and [DONE]. error_event: `event: error` carrying `error`.
    x_groq_error: a chunk with x_groq.error. garbage: half a line of JSON, then the end.
    """

    text: str
    after: int
    how: CutHow = "socket"
    error: Mapping[str, Any] = field(
        default_factory=lambda: {"message": "Internal error while generating", "type": "internal_server_error"}
    )
    tokens_per_s: float | None = None
    burst: int = 1
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Stall:
    """Silence after `after` tokens of `text`, until the client or the fake goes away; `keepalive` sends comments."""

    text: str = ""
    after: int = 0
    keepalive: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """A refusal before the stream. See refusals.py for those that are known."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection closes before any byte of an answer."""


@dataclass(frozen=True, slots=True)
class Strange:
    """Status 200 with a body of your choice."""

    body: bytes
    content_type: str = "text/event-stream"


Script: TypeAlias = Say | Cut | Stall | Fail | Disconnect | Strange
