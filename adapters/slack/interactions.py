"""Slash commands, message shortcuts and button presses to `Seen`. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.slack.events import (
    AboutMe,
    Chosen,
    CommandGiven,
    Ignored,
    Me,
    Pressed,
    Secret,
    Seen,
    ShortcutUsed,
)
from adapters.slack.ids import (
    CHOOSE_MODEL,
    CHOOSE_PERSONA,
    CONTROLS,
    EXPORT_ME,
    EXTRACT,
    FEEDBACK,
    FEEDBACK_VALUES,
    FORGET_ME,
    SHORTCUTS,
    SUBCOMMANDS,
)
from adapters.slack.message import attachments_of, is_own, quote_of
from adapters.slack.mrkdwn import to_markdown
from core.domain.incoming import WHOLE_THREAD, ConversationKey, Incoming, UserKey

Payload = Mapping[str, Any]


def parse_command(body: Payload, me: Me) -> Seen:
    """Read `/tern ...`. A first word that is no subcommand makes the whole text a question; no text asks for help."""
    text = str(body.get("text") or "").strip()
    word, _, rest = text.partition(" ")
    verb, argument = (word.lower(), rest.strip()) if word.lower() in SUBCOMMANDS else ("ask", text)
    if not text or (verb == "ask" and not argument):
        verb = "help"
    user, channel = str(body["user_id"]), str(body["channel_id"])
    own_id = _own_id("cmd", str(body["trigger_id"]))
    incoming = Incoming(
        message_id=own_id,
        event_id=own_id,
        user=UserKey("slack", me.workspace, user),
        conversation=ConversationKey("slack", me.workspace, channel, own_id),
        text=to_markdown(argument),
        received_at=0.0,
        visibility="private",
        direct=channel.startswith("D"),
        address={"thread": "", "team": str(body.get("team_id") or me.team)},
    )
    return CommandGiven(
        verb, argument, incoming, Secret(str(body.get("response_url") or "")), str(body.get("team_id") or "")
    )


def parse_interaction(body: Payload, me: Me) -> Seen:
    match body.get("type"):
        case "message_action":
            return _shortcut(body, me)
        case "block_actions":
            return _press(body)
        case _:
            return Ignored("other")


def _shortcut(body: Payload, me: Me) -> Seen:
    action = SHORTCUTS.get(str(body.get("callback_id")))
    if action is None:
        return Ignored("other")
    message, channel = body["message"], str(body["channel"]["id"])
    ts = str(message.get("ts") or body["message_ts"])
    own_id = _own_id("act", str(body["trigger_id"]))
    target = quote_of(message, me)
    transcribe = action == "transcribe"
    begins_thread = message.get("thread_ts") == ts and action == "extract"
    team = str((body.get("user") or {}).get("team_id") or (body.get("team") or {}).get("id") or "")
    incoming = Incoming(
        message_id=own_id,
        event_id=own_id,
        user=UserKey("slack", me.workspace, str(body["user"]["id"])),
        conversation=ConversationKey("slack", me.workspace, channel, own_id),
        text="",
        received_at=0.0,
        attachments=attachments_of(message) if transcribe else (),
        quotes=() if transcribe else (target,),
        action=action,
        options={WHOLE_THREAD: "on"} if begins_thread else {},
        visibility="private",
        reply_to=ts,
        address={"thread": str(message.get("thread_ts") or ts), "team": team or me.team}
        | ({"on_own": "yes"} if is_own(message, me) else {}),
    )
    return ShortcutUsed(incoming, Secret(str(body.get("response_url") or "")), team)


def _press(body: Payload) -> Seen:
    pressed = body["actions"][0]
    user, action_id = str(body["user"]["id"]), str(pressed["action_id"])
    response_url = Secret(str(body.get("response_url") or ""))
    container = body.get("container") or {}
    channel = str((body.get("channel") or {}).get("id") or container.get("channel_id") or "")
    ephemeral = bool(container.get("is_ephemeral"))
    if action_id in CONTROLS:
        return Pressed(str(pressed["value"]), CONTROLS[action_id], user, channel, response_url, ephemeral)
    if action_id.startswith(EXTRACT):
        reply_id, _, schema = str(pressed["value"]).partition("|")
        return Pressed(reply_id, "choose", user, channel, response_url, ephemeral, schema)
    if action_id == FEEDBACK:
        thumb, _, reply_id = str(pressed["value"]).partition(":")
        return Pressed(reply_id, FEEDBACK_VALUES[thumb], user, channel, response_url, ephemeral)
    if action_id in {CHOOSE_MODEL, CHOOSE_PERSONA}:
        value = str((pressed.get("selected_option") or {})["value"])
        return Chosen(user, "model" if action_id == CHOOSE_MODEL else "persona", "" if value == "-" else value)
    if action_id in {FORGET_ME, EXPORT_ME}:
        return AboutMe(user, "forget" if action_id == FORGET_ME else "export", response_url)
    return Ignored("other")


def _own_id(kind: str, trigger_id: str) -> str:
    """Commands and shortcuts have no message: their trigger is unique, but a right of its own, so only its hash."""
    return f"{kind}:{hashlib.sha256(trigger_id.encode()).hexdigest()[:20]}"


@dataclass(frozen=True, slots=True)
class MessageLink:
    channel: str
    ts: str
    thread: str
    """The root; equal to `ts` where the message is no reply."""


_LINK = re.compile(
    r"https://[\w.-]+/archives/(?P<channel>[CDG][A-Z0-9]+)/p(?P<seconds>\d{10})(?P<micros>\d{6})"
    r"(?:\?\S*?\bthread_ts=(?P<thread>\d{10}\.\d{6}))?"
)


def message_link(text: str) -> MessageLink | None:
    """Find "Copy link" of a message in *text*: https://NAME.slack.com/archives/C123/p1700000000123456."""
    found = _LINK.search(text)
    if found is None:
        return None
    ts = f"{found['seconds']}.{found['micros']}"
    return MessageLink(found["channel"], ts, found["thread"] or ts)
