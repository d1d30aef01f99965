"""What stands in the fake Discord: people, servers, channels, messages. Its own people act through `FakeDiscord`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

EPOCH_MS = 1_420_070_400_000

ALL = frozenset({"view", "send", "send_in_threads", "history", "attach", "embed", "create_threads"})
"""Permissions the bot may hold in a channel."""


class Snowflakes:
    """Ids that grow, and whose upper bits are the time they were made."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, at: float | None = None) -> int:
        fresh = int((at or time.time()) * 1000 - EPOCH_MS) << 22
        self._last = fresh if at else max(fresh, self._last + 1)
        return self._last


@dataclass(eq=False)
class Person:
    id: int
    name: str
    bot: bool = False

    def payload(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "username": self.name.lower(),
            "global_name": None if self.bot else self.name,
            "discriminator": "0",
            "avatar": None,
            "bot": self.bot,
        }


@dataclass(eq=False)
class Channel:
    id: int
    name: str
    type: int
    """0 text, 1 direct, 2 voice (with a chat), 11 public thread."""
    guild: Guild | None = None
    parent: Channel | None = None
    person: Person | None = None
    """Whose direct channel it is."""
    permissions: set[str] = field(default_factory=lambda: set(ALL))
    archived: bool = False
    locked: bool = False
    messages: dict[int, Message] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        last = max(self.messages, default=None)
        body: dict[str, Any] = {
            "id": str(self.id),
            "type": self.type,
            "last_message_id": str(last) if last else None,
        }
        if self.type == 1:
            assert self.person is not None
            return body | {"recipients": [self.person.payload()], "flags": 0}
        assert self.guild is not None
        body |= {"name": self.name, "guild_id": str(self.guild.id), "flags": 0}
        if self.type == 11:
            assert self.parent is not None
            return body | {
                "parent_id": str(self.parent.id),
                "owner_id": "1",
                "message_count": len(self.messages),
                "member_count": 1,
                "thread_metadata": {
                    "archived": self.archived,
                    "auto_archive_duration": 1440,
                    "archive_timestamp": stamp(time.time()),
                    "locked": self.locked,
                },
            }
        if self.type == 2:
            body |= {"bitrate": 64_000, "user_limit": 0, "rtc_region": None}
        return body | {
            "position": 0,
            "permission_overwrites": [],
            "nsfw": False,
            "parent_id": None,
            "topic": None,
            "rate_limit_per_user": 0,
        }


@dataclass(eq=False)
class Guild:
    id: int
    name: str
    channels: dict[int, Channel] = field(default_factory=dict)
    roles: dict[int, list[int]] = field(default_factory=dict)
    """Person id -> role ids."""
    bot: int = 0
    """The bot that `own_role` belongs to."""

    @property
    def own_role(self) -> int:
        """The managed role that Discord makes for a bot when it is invited; named as the bot."""
        return self.id + 1

    @property
    def shared_role(self) -> int:
        """A role that people gave to each other, and to the bot."""
        return self.id + 2

    def payload(self) -> dict[str, Any]:
        everyone = _role(self.id, "@everyone")
        own = _role(self.own_role, "Tern") | {"managed": True, "tags": {"bot_id": str(self.bot)}}
        shared = _role(self.shared_role, "helpers") | {"mentionable": True}
        return {
            "id": str(self.id),
            "name": self.name,
            "owner_id": "1",
            "member_count": 3,
            "roles": [everyone, own, shared],
            "emojis": [],
            "stickers": [],
            "features": [],
            "members": [],
            "channels": [channel.payload() for channel in self.channels.values() if channel.type != 11],
            "threads": [
                channel.payload() for channel in self.channels.values() if channel.type == 11 and not channel.archived
            ],
        }


def _role(role: int, name: str) -> dict[str, Any]:
    looks = {"color": 0, "hoist": False, "managed": False, "mentionable": False}
    return {"id": str(role), "name": name, "permissions": "0", "position": 0} | looks


@dataclass(eq=False)
class Upload:
    id: int
    name: str
    mime: str | None
    content: bytes = field(repr=False)
    channel: int
    duration_s: float | None = None
    path: str = ""

    def payload(self, url: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": str(self.id),
            "filename": self.name,
            "size": len(self.content),
            "url": url,
            "proxy_url": url,
        }
        if self.mime:
            body["content_type"] = self.mime
        if self.duration_s is not None:
            body |= {"duration_secs": self.duration_s, "waveform": "AAAA"}
        return body


@dataclass(eq=False)
class Message:
    id: int
    channel: Channel
    author: Person
    content: str = ""
    type: int = 0
    mentions: list[Person] = field(default_factory=list)
    everyone: bool = False
    uploads: list[Upload] = field(default_factory=list)
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    reference: dict[str, Any] | None = None
    flags: int = 0
    nonce: str | None = None
    edited_at: float | None = None
    webhook: int | None = None
    interaction: dict[str, Any] | None = None
    edits: int = 0
    history: list[str] = field(default_factory=list)
    """Every text it ever showed."""
    shown_at: list[float] = field(default_factory=list)
    """When each of them came, on the loop's clock."""

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & 64)

    @property
    def buttons(self) -> list[str]:
        return [button["custom_id"] for row in self.components for button in row["components"]]

    @property
    def labels(self) -> list[str]:
        return [
            button.get("label") or button["emoji"]["name"] for row in self.components for button in row["components"]
        ]


def stamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
