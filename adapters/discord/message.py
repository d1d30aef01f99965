"""One Discord message, freed from the library: everything behind this file works on these values."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import discord

EPOCH_S = 1_420_070_400.0
"""Discord's own epoch: 2015-01-01, docs.discord.com/developers/reference#snowflakes, read 2026-11-22."""

ANSWERABLE = frozenset(
    {
        discord.MessageType.default,
        discord.MessageType.reply,
        discord.MessageType.chat_input_command,
        discord.MessageType.context_menu_command,
    }
)
"""Everything else is the system talking (joins, pins, a thread's empty first message; facts/discord.md 1.3, 1.4)."""


@dataclass(frozen=True, slots=True)
class DiscordFile:
    """An attachment. `url` is signed and lives about a day (facts/discord.md 1.10): never store it."""

    id: int
    name: str
    mime: str
    size_bytes: int
    duration_s: float | None
    url: str = field(repr=False)

    @property
    def path(self) -> str:
        """The part of the address that does not expire; "" for what is no address."""
        try:
            return urlsplit(self.url).path
        except ValueError:
            return ""


@dataclass(frozen=True, slots=True)
class Forward:
    """What a forward carries: no author, by Discord's design (facts/discord.md 2.2)."""

    content: str
    files: tuple[DiscordFile, ...]
    embeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiscordMessage:
    """Ids are snowflakes. `replied` is the first hop of the reply chain, as the payload brought it along."""

    id: int
    channel: int
    author: int
    name: str = ""
    guild: int | None = None
    thread: bool = False
    parent: int | None = None
    """The channel a thread belongs to."""
    bot: bool = False
    """Written by a bot or through a webhook."""
    system: bool = False
    content: str = ""
    mentions: frozenset[int] = frozenset()
    """Users mentioned by name or by a reply that pings; never what @everyone or a role reaches."""
    role_mentions: frozenset[int] = frozenset()
    own_roles: frozenset[tuple[int, int]] = frozenset()
    """(role, bot) of each mentioned role that Discord made for one bot alone: it is offered beside the bot, under the
    same name. Roles that people share with a bot are not among them."""
    everyone: bool = False
    roles: frozenset[int] = frozenset()
    """The author's, in a server."""
    files: tuple[DiscordFile, ...] = ()
    embeds: tuple[str, ...] = ()
    stickers: tuple[str, ...] = ()
    forwards: tuple[Forward, ...] = ()
    reply_to: int | None = None
    replied: DiscordMessage | None = None
    edited: str = ""
    """When it was last edited, "" for never."""
    nonce: str = ""
    marks: tuple[str, ...] = ()
    """custom_id of its buttons."""
    interaction: int | None = None
    """The interaction it answers."""

    def named_by_role(self, bot: int) -> frozenset[int]:
        """The mentioned roles that are *bot* itself."""
        return frozenset(role for role, owner in self.own_roles if owner == bot)

    @property
    def sent_at(self) -> float:
        return snowflake_time(self.id)

    @property
    def blank(self) -> bool:
        """Nothing to read: also what a message looks like without the content intent (facts/discord.md 1.2)."""
        return not (self.content or self.files or self.embeds or self.forwards or self.stickers)


def snowflake_time(snowflake: int) -> float:
    """Seconds since the epoch."""
    return (snowflake >> 22) / 1000 + EPOCH_S


def snowflake_at(moment: float) -> int:
    """The smallest id that could have been made at *moment*."""
    return max(0, int((moment - EPOCH_S) * 1000)) << 22


def read(message: discord.Message) -> DiscordMessage:
    """Take what we use out of the library's object."""
    channel = message.channel
    thread = isinstance(channel, discord.Thread)
    reference = message.reference
    is_reply = reference is not None and reference.type is discord.MessageReferenceType.reply
    resolved = reference.resolved if reference and is_reply else None
    return DiscordMessage(
        id=message.id,
        channel=channel.id,
        author=message.author.id,
        name=message.author.display_name,
        guild=message.guild.id if message.guild else None,
        thread=thread,
        parent=channel.parent_id if isinstance(channel, discord.Thread) else None,
        bot=message.author.bot or message.webhook_id is not None,
        system=message.type not in ANSWERABLE,
        content=message.content,
        mentions=frozenset(user.id for user in message.mentions),
        role_mentions=frozenset(message.raw_role_mentions),
        own_roles=frozenset(
            (role.id, role.tags.bot_id) for role in message.role_mentions if role.tags and role.tags.bot_id is not None
        ),
        everyone=message.mention_everyone,
        roles=role_ids(message.author),
        files=tuple(read_file(attachment) for attachment in message.attachments),
        embeds=read_embeds(message.embeds),
        stickers=tuple(sticker.name for sticker in message.stickers),
        forwards=tuple(_read_forward(snapshot) for snapshot in message.message_snapshots),
        reply_to=reference.message_id if reference and is_reply else None,
        replied=read(resolved) if isinstance(resolved, discord.Message) else None,
        edited=message.edited_at.isoformat() if message.edited_at else "",
        nonce=str(message.nonce or ""),
        marks=tuple(_marks(message)),
        interaction=message.interaction_metadata.id if message.interaction_metadata else None,
    )


def role_ids(author: discord.User | discord.Member | discord.abc.User) -> frozenset[int]:
    """From the member's own payload: names of roles are in no cache that we keep warm."""
    return frozenset(author._roles) if isinstance(author, discord.Member) else frozenset()


def read_file(attachment: discord.Attachment) -> DiscordFile:
    return DiscordFile(
        id=attachment.id,
        name=attachment.filename,
        mime=(attachment.content_type or "").partition(";")[0].strip().lower(),
        size_bytes=attachment.size,
        duration_s=attachment.duration,
        url=attachment.url,
    )


def read_embeds(embeds: list[discord.Embed]) -> tuple[str, ...]:
    """Each embed as the lines a reader sees."""
    texts = []
    for embed in embeds:
        lines = [embed.author.name, embed.title, embed.description]
        lines += [f"{shown.name}: {shown.value}" for shown in embed.fields]
        lines.append(embed.footer.text)
        if text := "\n".join(line for line in lines if line):
            texts.append(text)
    return tuple(texts)


def _read_forward(snapshot: discord.MessageSnapshot) -> Forward:
    files = tuple(read_file(attachment) for attachment in snapshot.attachments)
    return Forward(snapshot.content, files, read_embeds(snapshot.embeds))


def _marks(message: discord.Message) -> list[str]:
    items = [item for row in message.components for item in getattr(row, "children", ())]
    return [mark for item in items if (mark := getattr(item, "custom_id", None))]
