"""A Slack message object, as it stands in events, shortcuts and conversations.replies, to our values. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from adapters.slack.events import Me
from adapters.slack.mrkdwn import blocks_to_markdown, tables_of, to_markdown
from core.domain.incoming import Attachment, AttachmentKind, Quote

SYSTEM_USERS = frozenset({"USLACKBOT", "USLACK"})
"""Slack's own voice; answering it loops or embarrasses (facts/slack.md 1.8)."""

WRITTEN_BY_PEOPLE = frozenset({None, "file_share", "thread_broadcast", "me_message"})
"""Subtypes of what a person wrote. Dropping every subtype silently loses files (facts/slack.md 1.7)."""

_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/x-yaml", "application/javascript")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_MAX_QUOTES = 10


def mentions(message: Mapping[str, Any]) -> frozenset[str]:
    """Ids of the people a message mentions, from its text and from its rich text."""
    found = set(_MENTION.findall(str(message.get("text") or "")))
    found.update(_MENTION.findall(blocks_to_markdown(message.get("blocks") or ())))
    return frozenset(found)


def first_mention(text: str) -> str:
    """The person a Markdown text begins with, "" where it begins otherwise."""
    found = _MENTION.match(text.lstrip())
    return found[1] if found else ""


def text_of(message: Mapping[str, Any], me: Me) -> str:
    """The message as Markdown without the bot's own mention.

    Rich text is read first, because `text` flattens it; tables come from wherever the client put them.
    """
    rich = [block for block in message.get("blocks") or () if block.get("type") == "rich_text"]
    text = blocks_to_markdown(rich) if rich else to_markdown(str(message.get("text") or ""))
    return without_mention("\n\n".join(part for part in (text, tables_of(message)) if part), me.user)


def without_mention(text: str, user: str) -> str:
    """Take out every mention of *user* with the blanks it leaves behind; nobody else's (facts/slack.md 1.8)."""
    own = rf"<@{re.escape(user)}(?:\|[^>]*)?>"
    text = re.sub(rf"^\s*(?:{own}[ \t]*[,:]?\s*)+", "", text)
    return re.sub(rf"[ \t]?{own}", "", text).strip()


def attachments_of(message: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """The files of a message. Deleted ones and those hidden by the free plan's limit are left out."""
    return tuple(
        _attachment(file)
        for file in message.get("files") or ()
        if file.get("id") and file.get("mode") not in {"tombstone", "hidden_by_limit"}
    )


def _attachment(file: Mapping[str, Any]) -> Attachment:
    mime = str(file.get("mimetype") or "")
    name = str(file.get("name") or file.get("title") or "file")
    duration_ms = file.get("duration_ms")
    if file.get("subtype") == "slack_audio":
        # A voice clip is MP4 with AAC whatever its type says, and transcription services go by the ending
        # (facts/slack.md 1.7).
        mime = "audio/webm" if name.endswith(".webm") else "audio/mp4"
        name = re.sub(r"\.(mp4|ogg)$", ".m4a", name)
    return Attachment(
        kind=_kind(mime),
        mime=mime,
        name=name,
        size_bytes=int(file.get("size") or 0),
        # The id and nothing else: Slack Connect files have no address yet (file_access "check_file_info",
        # facts/slack.md 1.7), and an address may have changed by the time a restarted process asks.
        ref=str(file["id"]),
        duration_s=duration_ms / 1000 if _is_number(duration_ms) else None,
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) < 1e12  # infinity and its like cannot be stored


def _kind(mime: str) -> AttachmentKind:
    """A first guess for queues and limits; whoever reads the bytes judges by their content."""
    if mime.startswith("image/") and mime != "image/svg+xml":
        return "image"
    if mime.startswith("audio/"):
        return "audio"
    return "text" if mime.startswith(_TEXT_TYPES) else "file"


def quote_of(message: Mapping[str, Any], me: Me) -> Quote:
    user = str(message.get("user") or "")
    return Quote(
        message_id=str(message.get("ts") or ""),
        speaker_id=user or str(message.get("bot_id") or ""),
        speaker=str(message.get("username") or (message.get("bot_profile") or {}).get("name") or ""),
        text=text_of(message, me),
        attachments=attachments_of(message),
        from_bot=is_own(message, me),
        said_at=_moment(message.get("ts")),
    )


def _moment(ts: object) -> float:
    """A message's id is the time it was sent; 0 for what is none, infinity included: it could not be stored."""
    try:
        moment = float(str(ts))
    except ValueError:
        return 0.0
    return moment if 0.0 <= moment < math.inf else 0.0


def shared_messages(message: Mapping[str, Any], me: Me) -> tuple[Quote, ...]:
    """Messages that somebody forwarded or linked: they come as attachments with the author's words inside."""
    shared = [one for one in message.get("attachments") or () if one.get("is_share") or one.get("is_msg_unfurl")]
    return tuple(
        Quote(
            message_id=str(one.get("ts") or ""),
            speaker_id=str(one.get("author_id") or ""),
            speaker=str(one.get("author_subname") or one.get("author_name") or ""),
            text=without_mention(to_markdown(str(one.get("text") or one.get("fallback") or "")), me.user),
            attachments=attachments_of(one),
            from_bot=one.get("author_id") == me.user,
        )
        for one in shared[:_MAX_QUOTES]
    )


def is_own(message: Mapping[str, Any], me: Me) -> bool:
    return message.get("user") == me.user or (bool(me.bot) and message.get("bot_id") == me.bot)


def is_from_bot(message: Mapping[str, Any]) -> bool:
    """Bots do not loop: any message with a bot behind it is left alone (facts/slack.md 1.8)."""
    return message.get("subtype") == "bot_message" or bool(message.get("bot_id") or message.get("bot_profile"))


def quotes_of(messages: Sequence[Mapping[str, Any]], me: Me) -> tuple[Quote, ...]:
    """A thread's messages as quotes, oldest first, without joins, topics and other noise."""
    kept = [m for m in messages if is_own(m, me) or m.get("subtype") in WRITTEN_BY_PEOPLE | {"bot_message"}]
    return tuple(quote for quote in (quote_of(message, me) for message in kept) if quote.text or quote.attachments)
