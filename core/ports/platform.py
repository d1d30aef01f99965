"""What an adapter meets: surfaces and their limits, the intake, the commands; and what the house asks of an adapter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.domain.runs import ReplyCapability as ReplyCapability


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket the platform counts by: at most `capacity` calls in any `per_s` seconds, shared by equal keys.

    Example: Rate("discord:channel:42:edit", 5, 5.0) or Rate("slack:T1:chat.update", 50, 60.0).
    """

    key: str
    capacity: int
    per_s: float


def code_points(text: str) -> int:
    return len(text)


@dataclass(frozen=True, slots=True)
class SurfaceLimits:
    """What a surface can show and how often.

    `measure` gives the length of a page's Markdown as the platform counts it once rendered; `max_chars` is in
    that unit. `max_edits` counts over the whole reply, None is unlimited. `max_pages` is the page after which the rest
    becomes a file (`Surface.attach`).
    """

    max_chars: int
    post: tuple[Rate, ...] = ()
    edit: tuple[Rate, ...] = ()
    finish: tuple[Rate, ...] | None = None
    """Buckets of the final edit where they differ from `edit`."""
    measure: Callable[[str], int] = code_points
    max_edits: int | None = None
    max_pages: int = 20
    min_interval_s: float = 0.0
    """Never edit one reply more often than this, however much the buckets allow."""


@dataclass(frozen=True, slots=True)
class Controls:
    """Which buttons stand under a page."""

    reply_id: str
    stop: bool = False
    finished: bool = False
    """Regenerate, Shorter and the thumbs."""
    confirm: bool = False
    """Confirm and Decline, for the asker alone: an acting tool waits for approval."""
    choices: tuple[str, ...] = ()
    """A button for each, for the asker alone: the answer asks which schema is meant. At most MAX_CHOICES, each at most
    MAX_CHOICE_CHARS long."""


MAX_CHOICES = 25
"""Elements of one Slack actions block, and buttons of a Discord message (facts/slack.md 1.5, facts/discord.md 1.8)."""

MAX_CHOICE_CHARS = 40
"""What Discord's custom_id of 100 characters leaves beside the reply and its asker."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One page's content, absolute: showing it twice is harmless."""

    text: str
    """Markdown, complete in itself (fences closed). The adapter renders it."""
    final: bool = False
    controls: Controls | None = None
    """On the last page only."""
    status: str = ""
    """A short line that is no part of the answer ("Searching ...", "Queued, place 3")."""
    footer: str = ""
    """A short line under a finished answer ("stopped", "answered by ...")."""
    closing_chars: int = 0
    """How many characters at the end of `text` only close what is still open (a fence, emphasis): an append-only
    surface leaves them out while the page grows, since more text will stand in their place."""
    plain: bool = False
    """The platform refused the page as it was: show the text with the least structure there is, without buttons."""


class Surface(Protocol):
    """Where one reply becomes visible. Opened by an adapter for one reply; closed by whoever asked for it.

    `core/delivery/live_reply.py` decides what is shown and when, and keeps the ledger of posted pages; a surface only
    does it, one call at a time, never retrying what could post twice. Every method raises SurfaceError only.
    """

    @property
    def limits(self) -> SurfaceLimits:
        """The same object until the buckets change; sizes never do."""
        ...

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        """Post page number *page* (from 0) and return the platform's id of it.

        *nonce* (at most 25 characters) marks the message so that `find` sees it; equal nonces post once where the
        platform can do that. SurfaceBusy(unsure=True) when the message may have been posted all the same.
        """
        ...

    async def edit(self, ref: str, page: int, shown: Shown) -> None: ...

    async def remove(self, ref: str, page: int) -> None:
        """Take back a page that a shorter answer no longer needs."""
        ...

    async def find(self, page: int, nonce: str) -> str | None:
        """Ask the platform for the page that an earlier process, or an unsure post, may have left behind."""
        ...

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        """Add a file to the reply; returns the id of the message that carries it."""
        ...

    async def busy(self, on: bool) -> None:
        """Typing indicator or status; never fails, may do nothing."""
        ...

    async def close(self) -> None: ...


class SurfaceObserver(Protocol):
    """The pacer's ear: what a platform's headers and refusals say about a bucket."""

    def learn(self, key: str, *, remaining: int | None, reset_after_s: float, capacity: int | None = None) -> None:
        """*remaining* is None where a call was taken and its answer says nothing of a limit."""
        ...

    def count(self, rate: Rate) -> AbstractContextManager[None]:
        """Around a call of that bucket without a slot, up to its answer: a step that another one made necessary.
        A `SurfaceBusy` that leaves it is the bucket's refusal."""
        ...

    def take(self, rate: Rate) -> AbstractAsyncContextManager[None]:
        """As `count`, once the bucket carries the call: for a step that may wait."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message at the door."""

    state: Literal["accepted", "duplicate", "refused"]
    run_id: str = ""
    reply_id: str = ""
    place: int = 0
    """How many runs stand before it; 0 when it starts at once."""
    sentence: str = ""
    """Why it was refused, for the asker."""


ControlAction = Literal["stop", "regenerate", "shorter", "thumbs_up", "thumbs_down", "confirm", "decline", "choose"]
Decision = Literal["confirm", "decline", "expired"]


class Intake(Protocol):
    """What adapters may ask of the inbox. Everything here is durable when it returns; raises StorageError."""

    async def accept(self, incoming: Incoming, capability: ReplyCapability | None = None) -> Receipt: ...

    async def revise(self, incoming: Incoming) -> Receipt:
        """The question was edited: answer the new text in the same reply. Unknown message: as `accept`."""
        ...

    async def withdraw(
        self, platform: str, workspace: str, channel: str, message_id: str, *, may_come: bool = False
    ) -> None:
        """The question was deleted: stop its run and take its turns out of the history.

        *may_come*: the platform may deliver the message itself only now; it is then taken for a redelivery.
        """
        ...

    async def press(
        self,
        reply_id: str,
        action: ControlAction,
        by: UserKey,
        *,
        moderator: bool = False,
        capability: ReplyCapability | None = None,
        choice: str = "",
    ) -> str:
        """Carry out a control; returns a sentence for the presser ("" when the screen says it by itself).

        *choice*: with "choose", which one of `Controls.choices`.
        """
        ...

    async def stop(self, conversation: ConversationKey, by: UserKey) -> bool:
        """Stop what runs in a conversation; False when nothing did."""
        ...

    async def stop_here(self, channel: str, by: UserKey) -> bool:
        """Stop what *by* asked for in a channel or direct message, its threads included; False when nothing ran."""
        ...

    async def conversation_of(self, platform: str, channel: str, ref: str) -> ConversationKey | None:
        """The conversation that a message belongs to: one of ours (any page of any reply) or a question to us."""
        ...

    async def pages_of(self, platform: str, channel: str, message_id: str) -> Sequence[str]:
        """The platform's ids of the pages that answer a message, in order."""
        ...

    async def takes_part(self, conversation: ConversationKey) -> UserKey | None:
        """Who first asked in this conversation, None where the bot has no part in it."""
        ...

    async def active_conversations(self, platform: str, since: float) -> Sequence[tuple[ConversationKey, str]]:
        """Conversations with a turn since then, each with its newest message id: where to look for missed messages."""
        ...

    async def seen(self, platform: str, workspace: str, channel: str, message_id: str) -> bool:
        """Whether a message was accepted before, or forgotten on request (a tombstone)."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """A command's answer: Markdown, and a file where there is one."""

    text: str
    file_name: str = ""
    file: bytes = b""


class Commands(Protocol):
    """The commands every adapter offers; raises RequestError and StorageError, both worded by core/wording.py."""

    async def models(self) -> Sequence[tuple[str, str]]:
        """(id, description) of all that a user may ask for, "auto" first."""
        ...

    async def personas(self) -> Sequence[tuple[str, str]]: ...

    def schemas(self) -> Sequence[tuple[str, str]]:
        """(name, description) of what "Extract ..." offers."""
        ...

    async def choice(self, user: UserKey) -> tuple[str, str]:
        """(requested model, persona) this user chose; "auto" and "" by default."""
        ...

    async def set_model(self, user: UserKey, requested_model: str) -> Said: ...

    async def set_persona(self, user: UserKey, persona: str) -> Said: ...

    async def usage(self, user: UserKey) -> Said: ...

    async def forget(self, user: UserKey, conversation: ConversationKey | None = None) -> Said:
        """Everything about the user, or of one conversation."""
        ...

    async def export(self, user: UserKey, conversation: ConversationKey | None = None) -> Said: ...

    async def stop(self, user: UserKey, *, channel: str = "", conversation: ConversationKey | None = None) -> Said:
        """End what runs for *user* in one conversation, or anywhere in a channel."""
        ...

    def help(self, platform: str, orders: Sequence[str]) -> Said:
        """*orders*: the names of the commands that the platform has registered."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look from outside found."""

    level: Literal["ok", "warn", "bad"]
    subject: str
    text: str
    advice: str = ""
    """What to do about it; empty when nothing."""


@dataclass(frozen=True, slots=True)
class AdapterHealth:
    """For /readyz: it cannot lie because each field is when something really happened (epoch seconds, None: never)."""

    state: Literal["off", "starting", "connected", "down"]
    detail: str = ""
    heartbeat_at: float | None = None
    event_in_at: float | None = None
    delivered_at: float | None = None


class Adapter(Protocol):
    """One foreign world. Constructed with everything it needs; `run` connects and listens until cancelled."""

    @property
    def name(self) -> str: ...

    async def run(self, intake: Intake, commands: Commands) -> None:
        """Connect and listen. Returns when told to close; raises when it cannot go on (the supervisor restarts it)."""
        ...

    async def close_intake(self) -> None:
        """Take no more messages, but keep surfaces alive for the replies in flight."""
        ...

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> Surface: ...

    def fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncGenerator[bytes, None]:
        """Stream an attachment's bytes from the platform's own hosts; closing the stream closes the connection.

        Raises SurfaceError (SurfaceBusy where a later try may succeed), TooLarge or Unfetchable.
        """
        ...

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        """What stands before the question on the platform (thread, reply chain), oldest first; asked once per
        conversation that has no stored turns.

        Args:
            channel_messages: How many of the channel's own last messages to read where the question begins a
                conversation at its top level; 0 for none. At most one call to the platform, at most 48 hours back.
        """
        ...

    def health(self) -> AdapterHealth: ...
