"""What stands before a question: its thread, read at most once when the bot is first asked there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.slack.events import Me
from adapters.slack.message import quotes_of
from adapters.slack.target import is_ts
from adapters.slack.users import People, mentioned, name_quotes
from adapters.slack.web_api import WebApi
from core.domain.errors import SurfaceError
from core.domain.incoming import Incoming, Quote

_PAGE_SIZE = 200
_MAX_PAGES = 5
_KEPT = 80
"""Of a thread's messages, where it is not the thread that is asked about: its first one, and the last before the
question."""


async def read_context(api: WebApi, people: People, me: Me, incoming: Incoming) -> Sequence[Quote]:
    """The thread above the question, oldest first; () where there is none or Slack does not let us read it.

    Slack's own advice is to keep what was said and not to read it again each turn; for some apps one page a minute is
    all there is (facts/slack.md 1.9).
    """
    thread, question = incoming.address.get("thread", ""), incoming.message_id
    if not is_ts(thread) or thread == question:
        return ()
    before = question if is_ts(question) else ""
    messages = await _thread(api, incoming.conversation.channel, thread, before)
    if incoming.purpose not in ("summarise", "extract") and len(messages) > _KEPT:
        messages = [messages[0], *messages[1 - _KEPT :]]
    skipped = {question} | {quote.message_id for quote in incoming.quotes}
    quotes = quotes_of([message for message in messages if message.get("ts") not in skipped], me)
    return name_quotes(quotes, await people.names(mentioned(quotes)))


async def _thread(api: WebApi, channel: str, thread: str, before: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    where: dict[str, Any] = {"channel": channel, "ts": thread, "latest": before or None, "limit": _PAGE_SIZE}
    for _ in range(_MAX_PAGES):
        try:
            answer = await api.call(lambda: api.reads.conversations_replies(**where))
        except SurfaceError:
            break  # the question alone is still worth an answer
        found += answer.get("messages") or ()
        where["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
        if not where["cursor"]:
            break
    return found
