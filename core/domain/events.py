"""What happens while a request is answered. Stages push events into `Send`; they do not yield."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

NoticeKind = Literal[
    "queued",  # place: position in the queue, from 1
    "trimmed",  # turns: how many old turns were left out
    "cut",  # kept_chars, total_chars: an over-long message was cut
    "continued",  # model: another model took over in mid-answer
    "fallback",  # model: another model than the wished one answers
    "retired",  # wanted, model: a retired id was replaced by its successor
    "local",  # the small local model answers
    "tool",  # label: what is being done, in a few words; disappears into the answer
    "heard",  # text, language: what was heard in a voice clip
    "read",  # name, detail: how much of a file was read
    "around",  # messages: how many of the channel's last messages were read; said once a channel
    "memory",  # words: which remembered things an answer used
    "declined",  # name, reason: an attachment that was not read
    "waiting",  # until: no model answers; tried again until then
]


@dataclass(frozen=True, slots=True)
class Started:
    """A model began to answer. More than one may start for one request."""

    model: str
    provider: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call; `id` and `name` are set on the first piece of an index only."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """Another model goes on: the first `keep_chars` characters of the text sent so far stand, the rest is void.

    Tool call pieces sent so far are void in any case.
    """

    model: str
    keep_chars: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader should know; core/wording.py turns it into a sentence."""

    kind: NoticeKind
    facts: Mapping[str, str] = field(default_factory=dict)


Event: TypeAlias = Started | TextDelta | ToolCallDelta | Restarted | Notice
Send: TypeAlias = Callable[[Event], Awaitable[None]]
"""Returns quickly: it feeds a draft or a socket buffer, it never waits for a platform."""
