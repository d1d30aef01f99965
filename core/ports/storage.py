"""What a store keeps. Everything is durable when it returns; core/storage implements all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from core.domain.api_keys import ApiKey
from core.domain.incoming import Attachment, ConversationKey, Incoming, UserKey
from core.domain.memories import Memory
from core.domain.requests import (
    Effort,
    ToolCall,
    Turn,
    Usage,
)
from core.domain.runs import Claim, KnownReply, Pending, RunAction, Settlement, StopReason, Taken
from core.domain.runs import ReplyCapability as ReplyCapability
from core.domain.schedules import Schedule
from core.ports.platform import Decision


@dataclass(frozen=True, slots=True)
class PostedPage:
    page: int
    nonce: str
    ref: str | None
    """None: it was about to be posted and we never learned whether it was."""


class ReplyLedger(Protocol):
    """Which pages of one reply stand on the platform. Bound to a run and its fence: a stale owner's writes raise
    StaleFence, and that owner must stop writing at once."""

    async def pages(self) -> Sequence[PostedPage]: ...

    async def posting(self, page: int, nonce: str) -> None:
        """Committed before the post goes out."""
        ...

    async def posted(self, page: int, ref: str) -> None: ...

    async def removed(self, page: int) -> None: ...


class InboxStore(Protocol):
    """The inbox's memory. Every write is durable when it returns and is one transaction; raises StorageError.

    Run and reply ids are the caller's to choose: unique, at most 20 characters of [0-9a-z].
    """

    async def accept(
        self, incoming: Incoming, capability: ReplyCapability | None, run_id: str, reply_id: str, *, claim: bool
    ) -> Taken:
        """*claim*: start it in the same transaction where nothing in its conversation stands before it."""
        ...

    async def revise(self, incoming: Incoming, run_id: str, reply_id: str) -> Taken: ...

    async def withdraw(
        self, platform: str, workspace: str, channel: str, message_id: str, run_id: str, *, may_come: bool = False
    ) -> Taken: ...

    async def repeat(
        self,
        reply_id: str,
        action: RunAction,
        capability: ReplyCapability | None,
        run_id: str,
        *,
        options: Mapping[str, str] | None = None,
    ) -> Taken:
        """*options* are laid over the message's own, for this run and all later ones."""
        ...

    async def request_stop(self, run_ids: Sequence[str], reason: StopReason) -> Sequence[str]:
        """Returns those that were still open."""
        ...

    async def decide(
        self, reply_id: str, decision: Decision, by: UserKey, capability: ReplyCapability | None, run_id: str
    ) -> Taken:
        """Settle the question under a reply: its audit row and the run that goes on, at once. "unknown" where none is
        open; one whose time is over counts as expired, whatever was pressed."""
        ...

    async def overdue(self, limit: int) -> Sequence[tuple[str, UserKey]]:
        """Replies whose question nobody answered in time, with their askers."""
        ...

    async def save_feedback(self, reply_id: str, by: UserKey, verdict: str) -> None: ...

    async def pending(self, limit: int) -> Sequence[Pending]:
        """Oldest first; runs that a dead process left behind are among them once their lease is over."""
        ...

    async def claim(self, run_ids: Sequence[str]) -> Sequence[Claim]:
        """Those of *run_ids* that nobody else has and nothing stands before; each start is counted first."""
        ...

    async def retry_now(self) -> int:
        """Let every run that waits for a model be due at once; returns how many."""
        ...

    async def hold(self, run_ids: Sequence[str]) -> Sequence[Claim]:
        """Lease those of *run_ids* that are queued and free, without starting them: to show their place in the queue.
        Not where an answer ahead in the same conversation stands nowhere yet: the sign would stand above it.
        A later `claim` goes on with the same fence."""
        ...

    async def renew(self, run_ids: Sequence[str]) -> Mapping[str, tuple[int, StopReason | None]]:
        """Prolong leases: run id -> (fence, requested stop), of those that are still ours."""
        ...

    async def settle(self, claim: Claim, settlement: Settlement) -> None:
        """State, turns and figures at once. Raises StaleFence."""
        ...

    async def release(self, claim: Claim) -> None:
        """Back to accepted, as if it had not been started. Raises StaleFence."""
        ...

    def ledger(self, claim: Claim) -> ReplyLedger: ...

    async def stops(self, run_ids: Sequence[str]) -> Mapping[str, StopReason]:
        """Run id -> reason, of those that were asked to stop."""
        ...

    async def open_count(self) -> int:
        """How many runs wait for their first start."""
        ...

    async def open_runs(
        self, *, user: UserKey | None = None, conversation: ConversationKey | None = None, channel: str = ""
    ) -> Sequence[tuple[str, UserKey]]: ...

    async def reply(self, reply_id: str) -> KnownReply | None: ...

    async def conversation_of(self, platform: str, channel: str, ref: str) -> ConversationKey | None: ...

    async def pages_of(self, platform: str, channel: str, message_id: str) -> Sequence[str]: ...

    async def takes_part(self, conversation: ConversationKey) -> UserKey | None: ...

    async def active_conversations(self, platform: str, since: float) -> Sequence[tuple[ConversationKey, str]]: ...

    async def seen(self, platform: str, workspace: str, channel: str, message_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class StoredTurn:
    turn: Turn
    message_id: str
    """The question this turn is, or answers."""
    user: UserKey | None
    """Who asked; None on the bot's own turns."""
    speaker: str
    at: float
    tokens: int
    """Estimated, or as reported."""


class History(Protocol):
    async def recent(
        self, conversation: ConversationKey, *, max_tokens: int, max_turns: int, before: str | None = None
    ) -> Sequence[StoredTurn]:
        """Newest turns that fit, returned oldest first; *before* leaves out that message's own turns and later ones.
        Cost depends on what is returned, not on the conversation's length."""
        ...

    async def search(
        self, conversations: Sequence[ConversationKey], words: str, *, limit: int
    ) -> Sequence[StoredTurn]: ...


@dataclass(frozen=True, slots=True)
class Suspended:
    """An answer that stopped before an acting tool, with all it needs to go on in another process."""

    run_id: str
    asker: UserKey
    tools: tuple[str, ...]
    """Names, for the audit."""
    turns: tuple[Turn, ...]
    """What the model was told and what came of its calls so far; the last assistant turn holds the calls."""
    calls: tuple[ToolCall, ...]
    """Those that waits for approval."""
    said: str
    """What the reader had seen of the answer."""
    rounds: int
    """Rounds that were used up."""
    expires_at: float
    requested_model: str = "auto"
    temperature: float | None = None
    effort: Effort | None = None


class SuspensionStore(Protocol):
    async def suspend(self, suspended: Suspended) -> None:
        """Durable when it returns, with its audit row; an earlier question under the same reply is void."""
        ...

    async def begin(self, run_id: str) -> bool:
        """Note that the agreed calls of that suspended run are made now; False where that was noted before."""
        ...

    async def resume(self, run_id: str) -> Suspended | None:
        """What the run that a decision began goes on with; None where it was forgotten."""
        ...


@dataclass(frozen=True, slots=True)
class Preferences:
    model: str = "auto"
    persona: str = ""


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    key: ConversationKey
    title: str
    """First words of the first question."""
    updated_at: float


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """One turn as a page lists it. The reply's figures are in `facts`: model, provider, first_text_s, tokens_per_s,
    cost_usd, from_cache, attempts, outcome, preface (Markdown that stands above the answer: what was heard, declined or
    cut), files (what was attached: ref, name, comment); absent where unknown."""

    message_id: str
    reply_id: str
    role: Literal["user", "assistant"]
    text: str
    at: float
    state: str
    """The run's state: accepted, running, waiting, answered, stopped, failed, quarantined."""
    attachments: tuple[Attachment, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class ConversationList(Protocol):
    """For surfaces that show conversations by themselves (the page, the terminal)."""

    async def conversations(self, user: UserKey, *, limit: int = 100) -> Sequence[ConversationSummary]:
        """Newest first."""
        ...

    async def messages(self, conversation: ConversationKey, *, limit: int = 200) -> Sequence[ShownTurn]:
        """Newest *limit* turns, oldest first, unanswered questions included."""
        ...


class PreferenceStore(Protocol):
    async def get(self, user: UserKey) -> Preferences: ...

    async def set(self, user: UserKey, preferences: Preferences) -> None: ...


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums since a moment, for one scope."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


class UsageStore(Protocol):
    async def add(self, request_id: str, user: UserKey, channel_key: str, model: str, usage: Usage, at: float) -> None:
        """One row per request id: the same moment again replaces it, a later try adds to it."""
        ...

    async def spent(self, since: float, *, user: UserKey | None = None, workspace: str | None = None) -> Spent:
        """Of one user, of one "platform:workspace", or of everybody."""
        ...

    async def by_model(self, since: float, user: UserKey) -> Sequence[tuple[str, Spent]]: ...


class CacheStore(Protocol):
    async def get(self, key: str) -> bytes | None:
        """None when absent or expired."""
        ...

    async def put(self, key: str, value: bytes, *, expires_at: float, contributors: frozenset[UserKey]) -> None: ...


class BlobStore(Protocol):
    """Bytes that cannot be fetched again, by the hash of their content."""

    async def put(self, content: bytes, *, mime: str, owner: UserKey) -> str:
        """Returns "blob:SHA256HEX". Raises TooLarge above the quota."""
        ...

    async def get(self, ref: str) -> bytes:
        """Raises Unreadable when nothing (any more) lies under *ref*."""
        ...

    async def owned(self, ref: str, owner: UserKey) -> bool:
        """Whether *owner* handed these bytes in, or was answered with them: whoever guesses a hash gets nothing."""
        ...


class Archive(Protocol):
    """Hands over or removes everything stored about somebody or about one conversation."""

    async def export(
        self, *, user: UserKey | None = None, conversation: ConversationKey | None = None
    ) -> dict[str, Any]: ...

    async def forget(self, *, user: UserKey | None = None, conversation: ConversationKey | None = None) -> int:
        """Returns how many rows and blobs went; leaves opaque tombstones so that back-fill does not return them."""
        ...


class MemoryStore(Protocol):
    """What people asked to be remembered. Who may be told what is not decided here: core/domain/audience.py."""

    async def add(self, memory: Memory) -> None: ...

    async def known(self, user: UserKey, channel: ConversationKey) -> Sequence[Memory]:
        """The person's own, and those that belong to the channel; oldest first."""
        ...

    async def remove(self, memory: Memory) -> None:
        """It goes, and with it the message that asked for it and the answers that hold its words."""
        ...

    async def used(self, ids: Sequence[str], at: float) -> None: ...


class ResponseStore(Protocol):
    """What callers of the API may read again; each is its owner's alone. Raises StorageError."""

    async def save(self, response_id: str, user: UserKey, body: bytes) -> None: ...

    async def load(self, response_id: str, user: UserKey) -> bytes | None: ...

    async def delete(self, response_id: str, user: UserKey) -> bool:
        """False where there is none of theirs with that id."""
        ...


class ApiKeyStore(Protocol):
    """Keys with names. Raises StorageError."""

    async def all(self) -> Sequence[ApiKey]: ...

    async def put(self, key: ApiKey) -> None:
        """One of the same name is replaced."""
        ...

    async def revoke(self, name: str) -> bool:
        """False where there is none of that name."""
        ...


class ScheduleStore(Protocol):
    """What is to happen at a time."""

    async def put(self, schedule: Schedule) -> None:
        """Keep it, or change the state and the times of one that is kept."""
        ...

    async def moved(self, schedule: Schedule, *, was: float) -> None:
        """Move it on from the due time *was*; nothing happens where somebody else did so, or it is not active."""
        ...

    async def due(self, now: float, *, limit: int) -> Sequence[Schedule]:
        """Active ones whose time has come, the longest overdue first."""
        ...

    async def of_person(self, user: UserKey) -> Sequence[Schedule]:
        """Those that are active or paused, in the order they were asked for."""
        ...

    async def proposed(self, incoming: Incoming) -> Schedule | None:
        """The newest one that was proposed in answer to that message and not yet confirmed."""
        ...

    async def remove(self, schedule_id: str) -> None: ...


class NoteStore(Protocol):
    """Small things an adapter keeps between starts (a hash of synced commands, a cursor). Never a secret."""

    async def get(self, key: str) -> str | None: ...

    async def set(self, key: str, value: str) -> None: ...
