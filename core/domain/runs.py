"""Runs as values: one attempt to answer one message, from the door to its end.

    accepted -> running -> answered | stopped | failed | quarantined
                  |  ^
                  v  |
                waiting (no model answers; tried again at next_try_at until deadline_at, later runs pass)

Editing a question, Regenerate and Shorter are new runs of the same message into the same reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from core.domain.incoming import Action, ConversationKey, Incoming, UserKey
from core.domain.requests import Turn

RunState = Literal["accepted", "running", "waiting", "answered", "stopped", "failed", "quarantined"]

RunAction: TypeAlias = Action | Literal["withdraw"]
"""What a run is for: a message's own action, another way to answer it, or taking its answer back."""

StopReason = Literal["user", "deleted", "superseded", "shutdown", "deadline", "gone", "lost"]
"""Why a run ends early; the reason decides the end. "gone": the place to show it is. "lost": another process has it
now."""

Duty = Literal["answer", "stop", "drop", "withdraw", "give_up", "bury", "apologise"]
"""What is to be done with a claimed run.

- "stop": it was stopped while it waited; only its pages have to say so.
- "drop": a later run of the same message took its place while nobody held it; nothing is to be seen.
- "withdraw": its question was deleted; its pages go.
- "give_up": it took the process down too often; one sentence, then quarantine.
- "bury": even that sentence took the process down, again and again; quarantined without a word.
- "apologise": it waited through an outage; one sentence for it and the others missed in its conversation.
"""


@dataclass(frozen=True, slots=True)
class RunRules:
    """What storage has to know to hand out runs; times in seconds."""

    lease_s: float = 10.0
    reply_deadline_s: float = 900.0
    """How long a run is tried again, from its first start."""
    max_starts: int = 3
    """Starts without an orderly end before a run is quarantined."""
    max_sentences: int = 3
    """Further starts for the sentence that says so: kills from outside meet it too, and a page left "thinking" is worse
    than another crash."""
    backlog_age_s: float = 1800.0
    """A question older than this when its first start comes gets an apology instead of an answer."""


@dataclass(frozen=True, slots=True)
class ReplyCapability:
    """A short-lived right to answer (Slack response_url, Discord interaction token): kept encrypted, never logged."""

    secret: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class Pending:
    """A run that somebody could claim now."""

    run_id: str
    seq: int
    """Order: of two runs in one conversation the smaller goes first."""
    conversation_id: int
    user: UserKey
    starts: int = 0
    """How often it was started without an orderly end."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run in our hands, until the lease ends. Every write for it carries `fence`."""

    run_id: str
    seq: int
    conversation_id: int
    message_seq: int
    reply_id: str
    incoming: Incoming
    """With `action` as this run wants it: "regenerate" where the message itself said "ask"."""
    duty: Duty
    fence: int
    accepted_at: float
    deadline_at: float
    starts: int = 1
    """How often it was started without an orderly end, this time included."""
    tries: int = 0
    """How often it already waited for a model."""
    revision: int = 0
    capability: ReplyCapability | None = None
    """The newest right to answer, even when it expired; None when none ever came."""
    fresh: bool = False
    """Claimed at the door: nothing of it can stand on the platform yet."""
    missed: int = 1
    """For "apologise": how many questions the apology is for."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of something at the door: as `Receipt`, and what the dispatcher needs."""

    state: Literal["accepted", "duplicate", "unknown", "busy", "quarantined"]
    run_id: str = ""
    reply_id: str = ""
    place: int = 0
    """Runs that stand before it; 0 when it can start at once."""
    claim: Claim | None = None
    """Set when it was claimed in the same transaction."""
    pending: Pending | None = None
    """Set when it waits."""
    stop: tuple[str, ...] = ()
    """Running runs that were asked to stop for it."""


@dataclass(frozen=True, slots=True)
class KnownReply:
    """What a button press has to know about the reply under it."""

    asker: UserKey
    conversation: ConversationKey
    run_id: str
    """The newest run into this reply."""
    state: RunState
    private: bool = False
    """Only its asker can see it."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a run ends, or pauses ("waiting")."""

    state: RunState
    error: str = ""
    """An error's class name or one word, for operators."""
    turns: tuple[tuple[Turn, int], ...] | None = None
    """The question and its answer with their tokens, in order; they replace the message's former turns.
    None leaves those as they are."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Figures of the reply as `ShownTurn.facts` lists them; empty leaves the former ones."""
    next_try_at: float | None = None
    erase: bool = False
    """Remove the message and everything about it (its question was deleted)."""
