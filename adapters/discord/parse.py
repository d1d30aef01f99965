"""Discord message -> Incoming, or the reason to stay silent. Pure: what must be asked of the desk is an argument."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass, field
from typing import Literal

from adapters.discord.message import DiscordFile, DiscordMessage, Forward, snowflake_time
from core.chat.reactions import ReactionCommand, wording_of
from core.domain.incoming import Action, Attachment, AttachmentKind, ConversationKey, Incoming, Quote, UserKey

PLATFORM = "discord"

Trigger = Literal["direct", "mention", "reply", "thread"]
Reason = Literal["bot", "system", "not_addressed", "unreadable", "bare", "withheld"]

TEXT_MIMES = frozenset(
    {"application/json", "application/xml", "application/x-yaml", "application/yaml", "application/toml"}
)
TITLE_CHARS = 80
"""Of a thread's name; Discord takes 100 (facts/discord-2.md 2.1)."""

CUSTOM_EMOJI = re.compile(r"<a?(:\w{2,32}:)\d{15,20}>")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Why nothing is answered. "bare" is a mention without a word: worth a line of help, not a model's time.
    "withheld" is a mention of the bot's own role whose words Discord keeps back without the content intent."""

    reason: Reason


def trigger(message: DiscordMessage, me: int, bots: frozenset[int] = frozenset()) -> Trigger | Ignored:
    """How *message* speaks to the bot *me*, by what it carries itself.

    "thread" is only a candidate: it counts where the bot takes part in that thread. @everyone and shared roles never
    speak to the bot (facts/discord.md 1.3: a peer answered announcements); the role that is the bot's own does.
    Of other bots and webhooks only *bots* are heard, and only where they name it.
    """
    if message.bot and (message.author not in bots or message.author == me):
        return Ignored("bot")
    if message.system:
        return Ignored("system")
    found = _addressed(message, me)
    if found is None or (message.bot and found not in ("mention", "reply")):
        return Ignored("not_addressed")
    own_words = _words(message, me) or message.files or message.forwards or message.stickers
    if found == "mention":
        if message.blank and me not in message.mentions:
            return Ignored("withheld")  # a mention is in the text, so an empty one was kept back
        points_at = message.replied is not None and not message.replied.blank
        return found if own_words or points_at else Ignored("bare")
    # A reply without a ping or a message in a thread is withheld without the intent (facts/discord.md 1.2).
    return found if own_words else Ignored("unreadable")


def _addressed(message: DiscordMessage, me: int) -> Trigger | None:
    if message.guild is None:
        return "direct"
    if me in message.mentions or message.named_by_role(me):
        return "mention"
    if message.replied is not None and message.replied.author == me:
        return "reply"
    # People in a thread also talk to each other: a mention of, or a reply to, somebody else is theirs.
    called = message.mentions or message.role_mentions or message.everyone
    if message.thread and not called and message.reply_to is None:
        return "thread"
    return None


def thread_key(message: DiscordMessage) -> ConversationKey:
    """The conversation of a direct message or a thread: the channel itself."""
    return ConversationKey(PLATFORM, str(message.guild or ""), str(message.channel), str(message.channel))


def title_of(text: str) -> str:
    """A thread's name from its question: one line without mentions, links' addresses and marks. Whoever sees the
    channel sees it (facts/discord-2.md 2.7)."""
    words = re.sub(
        r"<[@#][!&]?\d+>|https?://\S+|[`*_~|>#\[\]()\x00-\x1f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", " ", text
    )
    line = " ".join(words.split())
    if len(line) <= TITLE_CHARS:
        return line or "Question"
    return line[:TITLE_CHARS].rpartition(" ")[0] or line[:TITLE_CHARS]


def incoming(message: DiscordMessage, me: int, known: ConversationKey | None, *, own_thread: bool = False) -> Incoming:
    """Turn an addressed message into what the desk takes in.

    Args:
        known: The conversation of the message replied to, None where that is none of ours.
        own_thread: Its answer goes into a thread of its own; such a thread has the message's id
            (facts/discord-2.md 2.1), so that the conversation is known before the thread is opened.
    """
    address = {"question": str(message.id)} | ({"parent": str(message.parent)} if message.parent else {})
    if own_thread:
        conversation = ConversationKey(PLATFORM, str(message.guild), str(message.id), str(message.id))
        address |= {"parent": str(message.channel), "opens": title_of(text_of(message, me))}
    elif message.guild is None or message.thread:
        conversation = thread_key(message)
    else:
        conversation = known or ConversationKey(
            PLATFORM, str(message.guild), str(message.channel), root=str(message.id)
        )
    return Incoming(
        message_id=str(message.id),
        # The stamp makes a repeated edit event, and the one that only adds a link preview, a redelivery.
        event_id=f"{message.id}:{message.edited}" if message.edited else str(message.id),
        user=user_key(message.author),
        conversation=conversation,
        text=text_of(message, me),
        received_at=message.sent_at,
        attachments=attachments(message.files, message),
        quotes=quotes(message, me, history_has_it=known is not None or conversation == thread_key(message)),
        speaker=message.name[:100],
        direct=message.guild is None,
        members_only=message.guild is not None,  # whoever reads a server's channel is in that server
        reply_to=str(message.reply_to or ""),
        address=address,
    )


@dataclass(frozen=True, slots=True)
class Command:
    """One use of a slash or menu command."""

    id: int
    user: int
    name: str
    channel: int
    guild: int | None
    action: Action
    text: str = ""
    private: bool = False
    with_bot: bool = False
    """In the direct channel between this person and the bot."""
    files: tuple[DiscordFile, ...] = ()
    target: DiscordMessage | None = None
    options: dict[str, str] = field(default_factory=dict)
    locale: str = ""
    user_install: bool = False
    """Installed to the person alone: the bot itself is not in this channel."""


def command(used: Command, me: int) -> Incoming:
    """Turn a command into what the desk takes in.

    It is a conversation of its own, so that a private answer never enters a shared history; only a public question in
    the bot's direct channel goes on there.
    """
    root = str(used.channel) if used.with_bot and not used.private else str(used.id)
    address = {"interaction": str(used.id)}
    if used.target is not None:
        address["target"] = str(used.target.id)
    if used.user_install:
        address["install"] = "user"
    files = attachments(used.files, None)
    if used.target is not None and used.action == "transcribe":
        files += attachments(all_files(used.target), used.target)
    return Incoming(
        message_id=str(used.id),
        event_id=str(used.id),
        user=user_key(used.user),
        conversation=ConversationKey(PLATFORM, str(used.guild or ""), str(used.channel), root),
        text=CUSTOM_EMOJI.sub(r"\1", used.text).strip(),
        received_at=snowflake_time(used.id),
        attachments=files,
        quotes=(quote(used.target, me),) if used.target is not None else (),
        action=used.action,
        options=dict(used.options),
        visibility="private" if used.private else "public",
        speaker=used.name[:100],
        direct=used.with_bot,
        members_only=used.guild is not None,
        locale=used.locale,
        reply_to=str(used.target.id) if used.target is not None else "",
        address=address,
    )


def reaction(
    command: ReactionCommand, message: DiscordMessage, by: int, me: int, known: ConversationKey | None, at: float
) -> Incoming:
    """A reaction of *by* to *message* as a question about it. Its id makes the same reaction, given again, no second
    question."""
    action, text = wording_of(command, text_of(message, me))
    conversation = known or ConversationKey(PLATFORM, str(message.guild), str(message.channel), root=str(message.id))
    if message.thread:
        conversation = thread_key(message)
    address = {"question": str(message.id)} | ({"parent": str(message.parent)} if message.parent else {})
    if action == "summarise":
        # A thread from its beginning; in a channel what came since.
        address["target"] = str(message.channel if message.thread else message.id)
    mark = f"{message.id}:{by}:{command}"
    return Incoming(
        message_id=mark,
        event_id=mark,
        user=user_key(by),
        conversation=conversation,
        text=text,
        received_at=at,
        quotes=(quote(message, me),) if action != "summarise" else (),
        action=action,
        reply_to=str(message.id),
        address=address,
    )


def all_files(message: DiscordMessage) -> tuple[DiscordFile, ...]:
    """Its own, then those of what it forwards: a forwarded voice note lies in the snapshot (facts/discord.md 1.9)."""
    return message.files + tuple(file for forward in message.forwards for file in forward.files)


def user_key(user: int) -> UserKey:
    return UserKey(PLATFORM, "", str(user))


def text_of(message: DiscordMessage, me: int) -> str:
    text = CUSTOM_EMOJI.sub(r"\1", _words(message, me))
    return text or " ".join(f"(sticker: {name})" for name in message.stickers)


def _words(message: DiscordMessage, me: int) -> str:
    """The text without the bot's own mention: by name, in the present and the legacy form (facts/discord.md 1.3), or
    by its role."""
    names = "|".join([f"@!?{me}", *(f"@&{role}" for role in message.named_by_role(me))])
    return re.sub(rf"\s*<(?:{names})>[ \t]*[,:]?[ \t]?", " ", message.content).strip()


def quotes(message: DiscordMessage, me: int, *, history_has_it: bool) -> tuple[Quote, ...]:
    """What the question points at: the message replied to, then what was forwarded.

    Our own page is left out where the stored history has it already; another person's message never is (an image
    that is replied to must come along: facts/discord.md 2.2).
    """
    found = []
    replied = message.replied
    if replied is not None and not replied.blank and not (replied.author == me and history_has_it):
        found.append(quote(replied, me))
    found += [_forwarded(forward, message) for forward in message.forwards]
    return tuple(found)


def quote(message: DiscordMessage, me: int) -> Quote:
    """A message as something pointed at; embeds are read where they are all it says."""
    text = text_of(message, me)
    if message.embeds and (message.bot or not text):
        text = "\n\n".join(filter(None, (text, *message.embeds)))
    for forward in message.forwards:
        text = "\n\n".join(filter(None, (text, forward.content, *forward.embeds)))
    return Quote(
        message_id=str(message.id),
        speaker_id=str(message.author),
        speaker=message.name[:100],
        text=text,
        attachments=attachments(all_files(message), message),
        from_bot=message.author == me,
        said_at=message.sent_at,
    )


def _forwarded(forward: Forward, message: DiscordMessage) -> Quote:
    return Quote(
        # Not the question's own id, under which it would be taken for the question itself and left out.
        message_id=f"{message.id}:forwarded",
        speaker_id="",
        speaker="forwarded",
        text="\n\n".join(filter(None, (forward.content, *forward.embeds))),
        attachments=attachments(forward.files, message),
    )


def attachments(files: tuple[DiscordFile, ...], message: DiscordMessage | None) -> tuple[Attachment, ...]:
    """Files as data. *message* is where they can be read again; None for those of a command's options."""
    where = f"{message.channel}/{message.id}" if message else "/"
    return tuple(
        Attachment(
            kind=kind_of(file),
            mime=mime_of(file),
            name=file.name,
            size_bytes=file.size_bytes if _storable(file.size_bytes) else 0,
            ref=f"{where}:{file.path}",
            duration_s=file.duration_s if file.duration_s is not None and _storable(file.duration_s) else None,
        )
        for file in files
    )


def _storable(number: float) -> bool:
    """Infinity and its like cannot be stored, nor a number that no database column holds."""
    return 0 <= number < 1e12


def mime_of(file: DiscordFile) -> str:
    """Discord may leave content_type out (facts/discord.md 1.10): then the name is all there is."""
    return file.mime or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def kind_of(file: DiscordFile) -> AttachmentKind:
    """A first guess for the question's shape; whoever reads the bytes judges by content."""
    family = mime_of(file).partition("/")[0]
    if family == "image":
        return "image"
    if family == "audio":
        return "audio"
    if family == "text" or mime_of(file) in TEXT_MIMES:
        return "text"
    return "file"
