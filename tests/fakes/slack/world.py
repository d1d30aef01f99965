"""What the fake workspace holds: people, places, messages. No HTTP here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

JSON = dict[str, Any]


@dataclass
class Person:
    id: str
    name: str
    team: str = "T1"
    enterprise: str = ""
    guest: bool = False
    bot: bool = False
    admin: bool = False
    locale: str = "en-GB"
    tz: str = "Europe/London"


@dataclass
class Place:
    """A channel, group, direct message or group DM."""

    id: str
    kind: Literal["channel", "group", "im", "mpim"]
    bot_is_member: bool = True
    members: frozenset[str] | None = None
    """People who are in it; None: everybody."""
    archived: bool = False
    read_only: bool = False
    """Only some members may write there, and the bot is not one of them."""
    name: str = "general"


@dataclass
class Stream:
    """A message that is being streamed (facts/slack.md 1.2)."""

    started_at: float
    last_append_at: float
    thread: str
    stopped_by_user: bool = False


@dataclass
class Message:
    channel: str
    ts: str
    user: str = ""
    text: str = ""
    blocks: list[JSON] = field(default_factory=list)
    markdown: str = ""
    """What was streamed, or sent as markdown_text."""
    thread: str = ""
    bot: bool = False
    metadata: JSON = field(default_factory=dict)
    files: list[JSON] = field(default_factory=list)
    stream: Stream | None = None
    was_streamed: bool = False
    edits: int = 0
    deleted: bool = False
    ephemeral_for: str = ""
    subtype: str = ""
    extra: JSON = field(default_factory=dict)
    history: list[tuple[float, str]] = field(default_factory=list)
    """(loop time, what stood there) after every change."""

    @property
    def shown(self) -> str:
        """The answer's words as a reader sees them: Markdown, or the mrkdwn of plain sections."""
        parts = [self.markdown] if self.markdown else []
        for block in self.blocks:
            if block["type"] == "markdown":
                parts.append(block["text"])
            elif block["type"] == "section":
                parts.append(block["text"]["text"])
        return "\n".join(parts) if parts else ("" if self.blocks else self.text)

    @property
    def small_print(self) -> str:
        """Context blocks: status, footer, heading."""
        return "\n".join(e["text"] for block in self.blocks if block["type"] == "context" for e in block["elements"])

    @property
    def buttons(self) -> dict[str, str]:
        """Action id -> value of everything that can be pressed."""
        found = {}
        for block in self.blocks:
            for element in block.get("elements", ()):
                if element["type"] == "button":
                    found[element["action_id"]] = element["value"]
                if element["type"] == "feedback_buttons":
                    found[element["action_id"]] = element["positive_button"]["value"]
        return found

    def as_json(self, *, with_metadata: bool = False) -> JSON:
        message: JSON = {"type": "message", "ts": self.ts, "text": self.text or self.markdown, **self.extra}
        if self.user:
            message["user"] = self.user
        if self.bot:
            message |= {"bot_id": "B0TERN", "app_id": "A0TERN", "bot_profile": {"id": "B0TERN", "name": "tern"}}
        if self.subtype:
            message["subtype"] = self.subtype
        if self.thread:
            message["thread_ts"] = self.thread
        if self.blocks:
            message["blocks"] = self.blocks
        if self.files:
            message["files"] = self.files
        if with_metadata and self.metadata:
            message["metadata"] = self.metadata
        return message


@dataclass
class Fault:
    """What one call of a method does instead of its work."""

    error: str = ""
    status: int = 200
    retry_after_s: int = 0
    after_doing: bool = False
    """Do the work first, then fail: the answer is lost on the way back."""
    drop: bool = False
    """Close the connection without an answer."""
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class World:
    """People, places and messages of one workspace (or one Grid organisation)."""

    def __init__(self, *, team: str = "T1", enterprise: str = "", start: float = 1_800_000_000.0) -> None:
        self.team = team
        self.enterprise = enterprise
        self.people: dict[str, Person] = {}
        self.places: dict[str, Place] = {}
        self.messages: list[Message] = []
        self._seconds = start
        self._count = 0

    def starts_now(self) -> None:
        """Let the workspace's messages be as old as the machine's clock says."""
        self._seconds = time.time()

    def next_ts(self, now_s: float = 0.0) -> str:
        """A ts never stands twice in a workspace."""
        self._count += 1
        return f"{int(self._seconds + now_s):010d}.{self._count:06d}"

    def message(self, channel: str, ts: str) -> Message | None:
        return next((m for m in self.messages if m.channel == channel and m.ts == ts and not m.deleted), None)

    def thread(self, channel: str, root: str) -> Iterator[Message]:
        """The root and its replies, oldest first."""
        found = [m for m in self.messages if m.channel == channel and not m.deleted and not m.ephemeral_for]
        yield from sorted((m for m in found if root in (m.ts, m.thread)), key=lambda m: float(m.ts))

    def top_level(self, channel: str) -> Iterator[Message]:
        found = [m for m in self.messages if m.channel == channel and not m.deleted and not m.ephemeral_for]
        yield from sorted((m for m in found if m.thread in ("", m.ts)), key=lambda m: float(m.ts))
