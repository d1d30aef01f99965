"""Where an answer stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from core.domain.incoming import Incoming

_TS = re.compile(r"\d{10}\.\d{6}")


@dataclass(frozen=True, slots=True)
class Target:
    workspace: str
    channel: str
    thread: str
    """Root ts of the thread to answer in; "" posts into the channel itself."""
    since: str
    """ts of the question, "" where it was no message: answers are younger."""
    user: str
    team: str
    """The asker and their team: a stream must name them (facts/slack.md 1.2)."""


def target_of(incoming: Incoming) -> Target:
    at = incoming.conversation
    return Target(
        workspace=at.workspace,
        channel=at.channel,
        thread=incoming.address.get("thread", ""),
        since=incoming.message_id if is_ts(incoming.message_id) else "",
        user=incoming.user.user,
        team=incoming.address.get("team", ""),
    )


def unchecked(incoming: Incoming, team: str) -> Incoming:
    """*incoming* with a mark: whether its asker may ask is decided when it is answered. Slack did not say in time who
    they are, and what it delivers must be kept first: commands come only once."""
    return replace(incoming, address={**incoming.address, "unchecked": team or "-"})


def unchecked_team(incoming: Incoming) -> str | None:
    """The asker's team as the delivery said, None where they were looked at already."""
    mark = incoming.address.get("unchecked")
    return None if mark is None else mark.strip("-")


def is_ts(message_id: str) -> bool:
    """Whether an id is Slack's ts of a message, not one we made up for a command."""
    return _TS.fullmatch(message_id) is not None
