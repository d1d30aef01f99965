"""What people asked the bot to remember, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.domain.audience import Audience, Scope
from core.domain.incoming import UserKey

Whose = Literal["person", "channel"]


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing to remember. It goes into requests of its person, or of its channel, as far as its audience reaches."""

    id: str
    """At most 20 characters of [0-9a-z]."""
    owner: UserKey
    """Who asked for it to be remembered."""
    whose: Whose
    words: str
    source: Scope
    """Where it was said, and so who may read it."""
    channel: str
    """The channel it was said in, also where `source` names a person."""
    workspace: str
    message_id: str
    at: float
    """Seconds since the epoch."""
    used_at: float | None = None
    """When an answer last used it; None: never."""

    @property
    def audience(self) -> Audience:
        return Audience(frozenset({self.source}))
