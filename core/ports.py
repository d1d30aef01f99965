"""Every seam of the house on one page. Who implements what is in core/__init__.py.

The first half is the onion (requests to models), the second the desk (messages from platforms), the third storage.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from core.domain.errors import ProviderError
from core.domain.events import Send
from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.domain.model_spec import ModelSpec, Route
from core.domain.requests import (
    ChatRequest,
    Effort,
    Part,
    Reply,
    RequestRecord,
    ShownRecord,
    ToolCall,
    TranscribeRequest,
    Transcript,
    Turn,
    Usage,
)
from core.domain.runs import Claim, KnownReply, Pending, RunAction, Settlement, StopReason, Taken
from core.domain.runs import ReplyCapability as ReplyCapability

# --- the onion -------------------------------------------------------------------------------------------------------


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
    """Pure choice of models, best first. Raises UnknownModel for a wish that is neither a tier nor a known id."""

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


# --- the desk --------------------------------------------------------------------------------------------------------


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
    """Confirm and Decline, for the asker alone: an acting tool waits for leave."""
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

    `core/streaming/live_reply.py` decides what is shown and when, and keeps the ledger of posted pages; a surface only
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

    def learn(self, key: str, *, remaining: int | None, reset_after_s: float, capacity: int | None = None) -> None: ...

    def count(self, rate: Rate) -> AbstractContextManager[None]:
        """Around a call of that bucket without leave, up to its answer: a step that another one made necessary at once.
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
        """(id, description) of every wish a user may have, "auto" first."""
        ...

    async def personas(self) -> Sequence[tuple[str, str]]: ...

    def schemas(self) -> Sequence[tuple[str, str]]:
        """(name, description) of what "Extract ..." offers."""
        ...

    async def choice(self, user: UserKey) -> tuple[str, str]:
        """(model wish, persona) this user chose; "auto" and "" by default."""
        ...

    async def set_model(self, user: UserKey, wish: str) -> Said: ...

    async def set_persona(self, user: UserKey, persona: str) -> Said: ...

    async def usage(self, user: UserKey) -> Said: ...

    async def forget(self, user: UserKey, conversation: ConversationKey | None = None) -> Said:
        """Everything about the user, or of one conversation."""
        ...

    async def export(self, user: UserKey, conversation: ConversationKey | None = None) -> Said: ...

    def help(self, platform: str) -> Said: ...


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

    async def context(self, incoming: Incoming) -> Sequence[Quote]:
        """What stands before the question on the platform (thread, reply chain), oldest first; asked once per
        conversation that has no stored turns."""
        ...

    def health(self) -> AdapterHealth: ...


# --- storage ---------------------------------------------------------------------------------------------------------


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
        self, *, user: UserKey | None = None, conversation: ConversationKey | None = None
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
    """Those that wait for leave."""
    said: str
    """What the reader had seen of the answer."""
    rounds: int
    """Rounds that were used up."""
    expires_at: float
    wish: str = "auto"
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
    async def add(self, request_id: str, user: UserKey, place: str, model: str, usage: Usage, at: float) -> None:
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


class NoteStore(Protocol):
    """Small things an adapter keeps between starts (a hash of synced commands, a cursor). Never a secret."""

    async def get(self, key: str) -> str | None: ...

    async def set(self, key: str, value: str) -> None: ...
