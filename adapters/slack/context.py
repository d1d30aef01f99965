"""What stands before a question: its thread, read at most once when the bot is first asked there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.slack.events import Me
from adapters.slack.message import quotes_of
from adapters.slack.target import is_ts
from adapters.slack.users import Users, mentioned, name_quotes
from adapters.slack.web_api import WebApi
from core.domain.errors import SurfaceError
from core.domain.incoming import Incoming, Quote

_PAGE_SIZE = 200
_MAX_PAGES = 5
_CHANNEL_S = 48 * 3_600.0
"""What was said in a channel longer ago has nothing to do with a question that begins now."""
_KEPT = 80
"""Of a thread's messages, where it is not the thread that is asked about: its first one, and the last before the
question."""


async def read_context(
    api: WebApi, users: Users, me: Me, incoming: Incoming, *, channel_messages: int = 0
) -> Sequence[Quote]:
    """The thread above the question, or the channel before it, oldest first; () where Slack does not let us read it.

    Slack's own advice is to keep what was said and not to read it again each turn; for some apps one page a minute is
    all there is (facts/slack.md 1.9).
    """
    thread, question = incoming.address.get("thread", ""), incoming.message_id
    before = question if is_ts(question) else ""
    if is_ts(thread) and thread != question:
        messages = await _thread(api, incoming.conversation.channel, thread, before)
    elif before and channel_messages:
        messages = await _channel(api, incoming.conversation.channel, before, channel_messages)
    else:
        return ()
    if incoming.purpose not in ("summarise", "extract") and len(messages) > _KEPT:
        messages = [messages[0], *messages[1 - _KEPT :]]
    skipped = {question} | {quote.message_id for quote in incoming.quotes}
    quotes = quotes_of([message for message in messages if message.get("ts") not in skipped], me)
    return name_quotes(quotes, await users.names(mentioned(quotes)))


async def _channel(api: WebApi, channel: str, before: str, most: int) -> list[Mapping[str, Any]]:
    """The channel's own last messages, oldest first: one call, whatever it brings."""
    oldest = f"{float(before) - _CHANNEL_S:.6f}"
    where: dict[str, Any] = {"channel": channel, "latest": before, "oldest": oldest, "limit": most}
    try:
        async with api.history():
            answer = await api.call(lambda: api.reads.conversations_history(**where))
    except SurfaceError:
        return []  # the question alone is still worth an answer
    return list(reversed(answer.get("messages") or ()))


async def _thread(api: WebApi, channel: str, thread: str, before: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    where: dict[str, Any] = {"channel": channel, "ts": thread, "latest": before or None, "limit": _PAGE_SIZE}
    for _ in range(_MAX_PAGES):
        try:
            async with api.history():
                answer = await api.call(lambda: api.reads.conversations_replies(**where))
        except SurfaceError:
            break  # the question alone is still worth an answer
        found += answer.get("messages") or ()
        where["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
        if not where["cursor"]:
            break
    return found
