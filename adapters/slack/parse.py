"""What Slack sent, as one value: `parse(body, me) -> Seen`. Pure; the same for Socket Mode and signed HTTP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.slack.events import (
    Asked,
    Deleted,
    Edited,
    HomeOpened,
    Ignored,
    Me,
    MessagesOpened,
    Reacted,
    Removed,
    Seen,
    StopPressed,
)
from adapters.slack.interactions import parse_command, parse_interaction
from adapters.slack.message import (
    SYSTEM_USERS,
    WRITTEN_BY_PEOPLE,
    attachments_of,
    first_mention,
    is_from_bot,
    is_own,
    mentions,
    shared_messages,
    text_of,
)
from adapters.slack.target import is_ts
from core.domain.incoming import ConversationKey, Incoming, UserKey

Payload = Mapping[str, Any]


def parse(body: Payload, me: Me) -> Seen:
    """Say what *body* means to the bot. Never raises: what cannot be read is Ignored("malformed")."""
    try:
        if "command" in body:
            return parse_command(body, me)
        if body.get("type") == "app_rate_limited":  # above 30,000 deliveries an hour (facts/slack.md 1.10)
            return Ignored("rate limited")
        if body.get("type") == "event_callback" or "event" in body:
            return _event(body, me)
        return parse_interaction(body, me)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
        return Ignored("malformed")


def _event(body: Payload, me: Me) -> Seen:
    event = body["event"]
    match event.get("type"):
        case "message" | "app_mention":
            return _message(event, body, me)
        case "app_home_opened":
            user, channel = str(event["user"]), str(event.get("channel") or "")
            # One event for both tabs (facts/slack.md 1.1).
            return MessagesOpened(user, channel) if event.get("tab") == "messages" else HomeOpened(user)
        case "agent_session_stopped":
            return StopPressed(str(event["channel"]), str(event.get("thread_ts") or ""), str(event.get("user") or ""))
        case "reaction_added":
            item = event["item"]
            if item.get("type") != "message" or event["user"] == me.user:
                return Ignored("other")
            return Reacted(str(event["user"]), str(event["reaction"]), str(item["channel"]), _ts(item["ts"]))
        case "tokens_revoked":
            return Removed("the bot token was revoked") if (event.get("tokens") or {}).get("bot") else Ignored("other")
        case "app_uninstalled":
            return Removed("the app was uninstalled")
        case _:
            return Ignored("other")


def _message(event: Payload, body: Payload, me: Me) -> Seen:
    match event.get("subtype"):
        case "message_changed":
            return _changed(event, body, me)
        case "message_deleted":
            if is_own(event.get("previous_message") or {}, me):
                return Ignored("self")
            return Deleted(str(event["channel"]), _ts(event["deleted_ts"]))
        case subtype if subtype not in WRITTEN_BY_PEOPLE and subtype != "bot_message":
            return Ignored("subtype")
        case _:
            return message_seen(
                event, str(event["channel"]), body, me, channel_type=str(event.get("channel_type") or "")
            )


def _changed(event: Payload, body: Payload, me: Me) -> Seen:
    """An edit counts only where the text differs: replies, unfurls and attachments raise message_changed as well, and
    acting on those once caused fifty answers in eight seconds (facts/slack.md 1.8)."""
    new, old = event["message"], event.get("previous_message") or {}
    channel = str(event["channel"])
    if new.get("subtype") == "tombstone":  # a deleted message that has replies is emptied, not taken away
        return Ignored("self") if is_own(old, me) else Deleted(channel, _ts(new["ts"]))
    unchanged = new.get("text") == old.get("text") if old else not new.get("edited")
    if unchanged:
        return Ignored("unchanged")
    seen = message_seen(new, channel, body, me, channel_type=str(event.get("channel_type") or ""))
    if not isinstance(seen, Asked):
        return seen
    # Asked when it was edited: the first words may be a week old, this wish is new.
    asked = replace(seen, incoming=replace(seen.incoming, received_at=_seconds(event.get("event_ts") or new["ts"])))
    return Edited(asked, newly_addressed=seen.addressed and me.user not in mentions(old))


def message_seen(message: Payload, channel: str, body: Payload, me: Me, *, channel_type: str = "") -> Seen:
    """Read one message object; also used for messages that were missed and read later.

    Args:
        body: The envelope, for its event id; {} where there is none.
        channel_type: As the event says; inferred from the channel id where it does not (facts/slack.md 1.8).
    """
    user = str(message.get("user") or "")
    if is_own(message, me):
        return Ignored("self")
    if is_from_bot(message):
        return Ignored("bot")
    if user in SYSTEM_USERS:
        return Ignored("system")
    if message.get("subtype") not in WRITTEN_BY_PEOPLE:
        return Ignored("subtype")
    if not user:
        return Ignored("no user")
    text, attachments = text_of(message, me), attachments_of(message)
    quotes = shared_messages(message, me)
    direct = (channel_type or _type_of(channel)) == "im"
    mentioned = me.user in mentions(message)
    if not (text or attachments or quotes or mentioned):
        return Ignored("empty")
    ts, thread = _ts(message["ts"]), str(message.get("thread_ts") or "")
    root = thread or ts  # facts/slack.md 1.1: the canonical root is thread_ts or ts, in direct messages too
    incoming = Incoming(
        message_id=ts,
        event_id=str(body.get("event_id") or ""),
        user=UserKey("slack", me.workspace, user),
        conversation=ConversationKey("slack", me.workspace, channel, root),
        text=text,
        received_at=_seconds(ts),
        attachments=attachments,
        quotes=quotes,
        direct=direct,
        open_channel=channel_type == "channel" and body.get("is_ext_shared_channel") is False,
        address={"thread": root, "team": _author_team(message, body) or me.team},
    )
    return Asked(
        incoming,
        addressed=direct or mentioned,
        in_thread=bool(thread) and thread != ts,
        to_other=first_mention(text) not in {"", me.user},
        team=_author_team(message, body),
    )


def _ts(given: Any) -> str:
    """A message's id, which is a moment too. Raises ValueError for anything else."""
    if not (isinstance(given, str) and is_ts(given)):
        raise ValueError("no ts")
    return given


def _seconds(ts: Any) -> float:
    """Raises ValueError for what is no moment: infinity cannot be stored."""
    seconds = float(ts)
    if not math.isfinite(seconds):
        raise ValueError("no moment")
    return seconds


def _type_of(channel: str) -> str:
    return {"D": "im", "G": "group"}.get(channel[:1], "channel")


def _author_team(message: Payload, body: Payload) -> str:
    """The author's own team. `user_team` speaks of the author; `team` and `team_id` may be the channel's."""
    return str(message.get("user_team") or message.get("team") or body.get("team_id") or "")
