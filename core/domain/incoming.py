"""What a platform saw, as pure data: storable, replayable, without closures, SDK objects or secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FORMAT = 1
"""Version of the stored form of `Incoming`; raise it when a field changes its meaning."""

AttachmentKind = Literal["image", "audio", "text", "file"]
Visibility = Literal["public", "private"]
Action = Literal[
    "ask",
    "regenerate",
    "shorter",
    "transcribe",
    "extract",
    "summarise",
    "explain",
    "draft_reply",
    "batch",
    "schedule",  # begin, list or change what is to happen at a time
    "remind",  # what a schedule puts into the inbox when its time has come
    "remember",  # keep something, list what is kept, or let go of it
    "confirm",  # the next three: how a question before an acting tool was decided
    "decline",
    "expired",
]

WHOLE_THREAD = "thread"
"""Option of an extraction from a message that begins a thread: what follows it is read as well."""


@dataclass(frozen=True, slots=True)
class UserKey:
    """Who asks: the unit of rate guard, usage, preferences and `forget`."""

    platform: str
    """"slack", "discord", "web", "terminal" or "api"."""
    workspace: str
    """Slack: "ENTERPRISE:TEAM" ("" for a missing half). Discord: "" (user ids are global). Others: ""."""
    user: str


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """Where a conversation lives: the unit of history and of order."""

    platform: str
    workspace: str
    """Slack: "ENTERPRISE:TEAM". Discord: the guild id, "" in direct messages. Others: ""."""
    channel: str
    root: str
    """Slack: the thread's root ts. Discord guild channel: first message of the reply chain; Discord thread or
    direct message: the channel id; a slash command: its own id. Page and terminal: the conversation id."""

    @property
    def channel_key(self) -> str:
        """ "slack:C123": what a channel's persona, its spending and its log lines go by."""
        return f"{self.platform}:{self.channel}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something that came with a message; the bytes are fetched later, through `Adapter.fetch`."""

    kind: AttachmentKind
    mime: str
    name: str
    size_bytes: int
    ref: str
    """What the adapter needs to fetch it again after a restart, never a signed URL; or "blob:SHA256"."""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """Another message the question points at: a reply's ancestor, a forward, a shortcut's target. Untrusted."""

    message_id: str
    speaker_id: str
    speaker: str
    text: str
    attachments: tuple[Attachment, ...] = ()
    from_bot: bool = False
    """Whether this bot itself wrote it."""
    said_at: float = 0.0
    """Seconds since the epoch; 0 where the platform does not tell."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One thing a person asked of the bot.

    (platform, workspace, channel, message_id) is unique: a redelivery carries the same four.
    """

    message_id: str
    event_id: str
    user: UserKey
    conversation: ConversationKey
    text: str
    """What the person wrote, as Markdown, the bot's own mention removed; may be empty beside attachments."""
    received_at: float
    """Seconds since the epoch, from the platform where it says so."""
    attachments: tuple[Attachment, ...] = ()
    quotes: tuple[Quote, ...] = ()
    """Oldest first."""
    action: Action = "ask"
    options: dict[str, str] = field(default_factory=dict)
    """What a command set: "model", "persona", "language", "schema" ..."""
    visibility: Visibility = "public"
    speaker: str = ""
    """The person's display name, chosen by that person: untrusted."""
    direct: bool = False
    """Whether only this person and the bot read the conversation."""
    open_channel: bool = False
    """Whether the platform says that everybody of the workspace may read this channel. False where unknown."""
    members_only: bool = False
    """Whether everybody who will read the answer is a full member of the workspace: no guest, nobody from outside.
    False where unknown."""
    locale: str = ""
    tz: str = ""
    """IANA name of the person's zone, where the platform tells it."""
    reply_to: str = ""
    """Id of the message this one replies to."""
    address: dict[str, str] = field(default_factory=dict)
    """What the adapter needs, beside the conversation, to post the answer (never a token)."""
    meant: Action | None = None
    """What the message itself asks for, in a run that answers it once more ("regenerate"); None in its own run."""
    version: int = FORMAT

    @property
    def purpose(self) -> Action:
        """What the message asks for, whichever of its runs this is."""
        return self.meant or self.action
