"""What the operator may set about Discord. bot/config/mapping.py fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.chat.manners import FollowUps

DmPolicy = Literal["everyone", "listed", "nobody"]


@dataclass(frozen=True, slots=True)
class DiscordSettings:
    """One bot user. Ids are Discord's snowflakes; an empty list allows everybody."""

    token: str = field(repr=False)
    message_content: bool = False
    """Ask for the privileged intent: threads without mentions, whole reply chains, "Summarise from here"."""
    api_url: str = ""
    """DISCORD_API_URL, e.g. "http://127.0.0.1:8000/api/v10"; "" is Discord's own."""
    gateway_url: str = ""
    """DISCORD_GATEWAY_URL, e.g. "ws://127.0.0.1:8000/gw/"; "" is Discord's own."""
    proxy: str = ""
    """discord.py ignores HTTPS_PROXY by itself (facts/discord.md 1.12)."""
    allow_guilds: frozenset[int] = frozenset()
    allow_channels: frozenset[int] = frozenset()
    """A thread counts as its parent channel, and as itself."""
    allow_roles: frozenset[int] = frozenset()
    allow_users: frozenset[int] = frozenset()
    allow_dms: DmPolicy = "everyone"
    """"listed": only `allow_users`."""
    allow_by_channel: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Channel -> the people and roles who may ask there; a channel that is not named is open to all."""
    allow_bots: frozenset[int] = frozenset()
    """Other bots, and webhooks, that may ask: by mention or reply, five times a quarter of an hour in a channel."""
    follow_ups: FollowUps = "asker"
    """Whose words go on in a thread without a mention; needs `message_content`."""
    follow_ups_by_channel: Mapping[int, FollowUps] = field(default_factory=dict)
    most_messages: int = 8
    """An answer that needs more goes out as so many messages and a file: one degenerate answer of a peer's became 31
    messages (facts/discord.md 3.3)."""
    reaction_channels: frozenset[int] = frozenset()
    """Where reactions are commands (core/chat/reactions.py), threads of these among them."""
    thread_channels: frozenset[int] = frozenset()
    """Where each question gets a thread of its own."""
    backfill_hours: float = 12.0
    """How far back missed messages are looked for; 0 turns it off."""
    backfill_messages: int = 200
    """At most so many missed messages are taken in per connection, oldest first."""
    shard_ids: tuple[int, ...] = ()
    shard_count: int | None = None
    """None: as many shards as Discord recommends, all in this process."""
    max_attachment_bytes: int = 100 * 2**20
    channel_calls: int = 5
    channel_window_s: float = 5.0
    """How often one channel may be written to. Five in five seconds is observed, not documented (facts/discord.md 1.11,
    https://github.com/discord/discord-api-docs/issues/20, read 2026-11-22); headers correct it."""
    silence_s: float = 25.0
    """A request that hears nothing for so long fails, and is tried again where that is safe."""
    gateway_patience_s: float = 60.0
    """Without any connection for so long, everything starts anew: the library's own pauses grow to 17 minutes."""
    identify_gap_s: float = 5.0
    """Between two identifies: max_concurrency is per 5 s, docs.discord.com/developers/events/gateway, 2026-11-22."""
    guild_ready_s: float = 2.0
    """How long the library waits for one more server before it calls itself ready."""

    def follow_ups_in(self, *channels: int | None) -> FollowUps:
        """What holds in the first of *channels* that has a say of its own: a thread, then its parent."""
        own = (self.follow_ups_by_channel.get(channel) for channel in channels if channel is not None)
        return next(filter(None, own), self.follow_ups)

    def __post_init__(self) -> None:
        if self.most_messages < 1:
            raise ValueError("most_messages is at least 1")
        if self.shard_ids and self.shard_count is None:
            raise ValueError("shard_ids needs shard_count beside it")
