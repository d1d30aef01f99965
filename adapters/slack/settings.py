"""What the operator may set about Slack. bot/config/mapping.py fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FollowUps = Literal["all", "asker", "mention"]


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """One workspace or Grid organisation. Ids are Slack's; an empty list allows everybody.

    With an `app_token` Slack is listened to over a socket, with a `signing_secret` alone over signed HTTP.
    """

    bot_token: str = field(default="", repr=False)
    """Of the one workspace; "" where many install the app."""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    """With both, workspaces install the app by themselves."""
    redirect_uri: str = ""
    distribution: Literal["internal", "marketplace", "unlisted"] = "internal"
    """An app that is distributed outside the Marketplace may read histories once a minute, 15 messages (facts/slack.md
    1.9): then nothing is read that can be done without."""
    app_token: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)
    api_url: str = "https://slack.com/api/"
    """SLACK_API_URL; its host is trusted with the bot token, for files too."""
    proxy: str = ""
    bot_name: str = "Tern"
    thread_follow_ups: FollowUps = "all"
    """Who need not mention the bot again in a thread it is part of: everybody, its first asker, nobody."""
    native_streaming: bool = True
    """Stream answers in direct messages; False edits there too."""
    allow_channels: frozenset[str] = frozenset()
    """Direct messages are not channels: they are always allowed to allowed people."""
    allow_users: frozenset[str] = frozenset()
    allow_by_channel: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Channel -> the people who may ask there; a channel that is not named is open to all."""
    reaction_channels: frozenset[str] = frozenset()
    """Channels in which an emoji under a message may ask for something (core/chat/reactions.py)."""
    allow_external: bool = False
    """Whether Slack Connect strangers may spend tokens."""
    allow_guests: bool = False
    backfill_hours: float = 24.0
    """How old a missed message in a known thread may be to be answered after a downtime; 0 turns it off."""
    backfill_conversations: int = 50
    """At most so many threads are read, the latest active first: reading is limited to 50 a minute."""
    suggested_prompts: tuple[tuple[str, str], ...] = (
        ("Summarise a text", "Summarise the following in five bullet points:\n"),
        ("Draft a message", "Draft a short, friendly message to my team about "),
        ("Explain something", "Explain in plain words: "),
        ("Write code", "Write a function that "),
    )
    """(title, message) shown in an empty direct message; Slack takes four (facts/slack.md 1.1)."""
    max_attachment_bytes: int = 100 * 2**20
    ping_interval_s: float = 10.0
    """Socket Mode: a socket without a pong for four of these is given up (facts/slack.md 2)."""

    def __post_init__(self) -> None:
        if not (self.app_token or self.signing_secret):
            raise ValueError("Slack needs SLACK_APP_TOKEN or SLACK_SIGNING_SECRET beside SLACK_BOT_TOKEN")
        if not (self.bot_token or self.many):
            raise ValueError("Slack needs SLACK_BOT_TOKEN, or SLACK_CLIENT_ID and SLACK_CLIENT_SECRET")

    @property
    def many(self) -> bool:
        """Whether many workspaces install the app; a bot token is then that of none of them."""
        return bool(self.client_id and self.client_secret and not self.bot_token)

    @property
    def over_socket(self) -> bool:
        return bool(self.app_token)
