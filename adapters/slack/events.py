"""What Slack can tell the adapter, as values: the answer of `parse`, taken apart again by `match` in dispatcher.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from core.domain.incoming import Incoming
from core.ports.platform import ControlAction


@dataclass(frozen=True, slots=True)
class Me:
    """Who the bot is here, from auth.test."""

    team: str
    enterprise: str
    user: str
    bot: str
    org_install: bool = False
    """Installed on a whole Grid organisation: the team of a payload then varies, ids of people and channels do not."""

    @property
    def workspace(self) -> str:
        """ "ENTERPRISE:TEAM" for every key. The installation's own, not the payload's: in a channel shared with another
        company a payload names theirs, and one conversation must not have two keys (facts/slack.md 1.8, 1.11)."""
        return f"{self.enterprise}:{'' if self.org_install else self.team}"


@dataclass(frozen=True, slots=True)
class Secret:
    """A short-lived right to answer, out of every repr and log."""

    value: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.value)


@dataclass(frozen=True, slots=True)
class Asked:
    """A person wrote something that may be for the bot."""

    incoming: Incoming
    addressed: bool
    """Mentioned, or in a direct message. Otherwise it counts only where the bot takes part in the thread."""
    in_thread: bool = False
    to_other: bool = False
    """Begins with somebody else's name."""
    team: str = ""
    """The author's own team; differs from ours for Slack Connect strangers."""

    @property
    def bare(self) -> bool:
        """A mention and nothing else: under something it is about that, alone it is worth a line of help."""
        return not (self.incoming.text or self.incoming.attachments or self.incoming.quotes)


@dataclass(frozen=True, slots=True)
class Edited:
    """The text of a message changed. `newly_addressed` when the edit added the mention."""

    asked: Asked
    newly_addressed: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    channel: str
    message_id: str


@dataclass(frozen=True, slots=True)
class CommandGiven:
    """`/tern VERB argument`."""

    verb: str
    argument: str
    incoming: Incoming
    """What it is as a question: text is *argument*, its own conversation."""
    response_url: Secret
    team: str = ""


@dataclass(frozen=True, slots=True)
class ShortcutUsed:
    """A message shortcut: the incoming quotes the message it was used on, the answer is for the asker alone."""

    incoming: Incoming
    response_url: Secret
    team: str = ""


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button under an answer."""

    reply_id: str
    action: ControlAction
    user: str
    channel: str
    response_url: Secret
    ephemeral: bool = False
    """Under an answer that only the presser sees: editing it again takes this press's own response_url."""
    choice: str = ""
    """With "choose": which of those that were offered."""


@dataclass(frozen=True, slots=True)
class StopPressed:
    """Slack's own Stop button on an agent session."""

    channel: str
    thread: str
    user: str


@dataclass(frozen=True, slots=True)
class Reacted:
    """Somebody put an emoji under a message."""

    user: str
    name: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class HomeOpened:
    user: str


@dataclass(frozen=True, slots=True)
class MessagesOpened:
    """Somebody looks at the direct messages with the bot: the moment for suggested prompts."""

    user: str
    channel: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice on the Home tab."""

    user: str
    what: Literal["model", "persona"]
    value: str


@dataclass(frozen=True, slots=True)
class AboutMe:
    """ "Forget me" or "Export", confirmed; on the Home tab (no response_url) or under a command's answer."""

    user: str
    what: Literal["forget", "export"]
    response_url: Secret


@dataclass(frozen=True, slots=True)
class Removed:
    """The app was uninstalled or its tokens revoked."""

    why: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Not for us; acknowledged all the same, or Slack delivers it three more times (facts/slack.md 2)."""

    why: Literal[
        "bot", "self", "system", "subtype", "unchanged", "empty", "no user", "malformed", "rate limited", "other"
    ]


Seen: TypeAlias = (
    Asked
    | Edited
    | Deleted
    | CommandGiven
    | ShortcutUsed
    | Pressed
    | StopPressed
    | Reacted
    | HomeOpened
    | MessagesOpened
    | Chosen
    | AboutMe
    | Removed
    | Ignored
)
