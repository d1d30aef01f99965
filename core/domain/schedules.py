"""What is to happen at a time, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.domain.incoming import Incoming

Kind = Literal["reminder", "question"]
State = Literal["proposed", "active", "paused", "ended"]


@dataclass(frozen=True, slots=True)
class Rule:
    """When: once at a local wall time, or again and again. Exactly one of `at` and `cron` is set."""

    zone: str
    """IANA name; local time is kept across clock changes."""
    at: str = ""
    """ "2026-12-01T09:00", local."""
    cron: str = ""
    """Five fields, Debian's meaning."""


@dataclass(frozen=True, slots=True)
class Schedule:
    id: str
    """At most 20 characters of [0-9a-z]."""
    origin: Incoming
    """The message that asked for it: its person, its conversation and how to answer there."""
    kind: Kind
    words: str
    """What to remind of, or the question to ask."""
    rule: Rule
    state: State
    next_at: float | None
    """Epoch seconds; None where there is no next time."""
    created_at: float
    last_at: float | None = None
    """The due time that was put into the inbox last."""
