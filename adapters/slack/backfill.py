"""Messages that were written while the bot was away: the threads it is part of are read again, within a bound.

Slack redelivers some by itself, for six minutes (facts/slack.md 1.10); the inbox recognises what came twice.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from adapters.slack.events import Asked
from adapters.slack.handlers import Handlers
from adapters.slack.parse import message_seen
from adapters.slack.target import is_ts
from core.domain.errors import SurfaceError

logger = logging.getLogger(__name__)

Take = Callable[[Asked], Awaitable[bool]]

_GAP_S = 1.25
"""Between two reads, below Tier 3's 50 a minute (facts/slack.md 1.9)."""
_PAGE_SIZE = 100
_REDELIVERED_FOR_S = 420.0


async def backfill(handlers: Handlers, take: Take, *, listened_until: float = 0.0) -> int:
    """Accept what was missed; returns how many messages that were. Raises StorageError.

    Args:
        take: The dispatcher; says whether a message was for the bot.
        listened_until: When an earlier process last listened (epoch seconds, to the minute); what is older by more than
            Slack's redeliveries was seen then, and answered or left alone for a reason.
    """
    settings = handlers.settings
    since = handlers.clock.now() - settings.backfill_hours * 3_600
    if settings.backfill_hours <= 0:
        return 0
    heard = max(since, listened_until - _REDELIVERED_FOR_S)
    threads = await _threads(handlers, since, heard)
    if handlers.clock.now() - listened_until > _REDELIVERED_FOR_S:
        # Slack has given up on what was written then; a new mention stands in no thread that is known.
        channels = dict.fromkeys(channel for channel, _ in threads if not channel.startswith("D"))
        threads = {(channel, ""): f"{heard:.6f}" for channel in channels} | threads
    taken, reads = 0, 0
    while threads and reads < settings.backfill_conversations:
        (channel, root), after = next(iter(threads.items()))
        del threads[channel, root]
        if reads:
            await handlers.clock.sleep(_GAP_S)
        reads += 1
        try:
            taken += await read_missed(handlers, take, channel, root, after)
        except SurfaceError as error:
            # No history for this app (facts/slack.md 1.9), or no longer a member: the other threads still count.
            logger.info("could not look for missed messages in one conversation: %s", error)
    if taken:
        logger.info("answering %d messages that were missed", taken)
    return taken


async def _threads(handlers: Handlers, since: float, heard: float) -> dict[tuple[str, str], str]:
    """(channel, root) of what is known -> the ts after which messages may be missing; root "" is above all threads."""
    found: dict[tuple[str, str], str] = {}
    for at, newest in await handlers.intake.active_conversations("slack", since):
        if at.workspace != handlers.me.workspace:
            continue
        after = f"{max(heard, float(newest) if is_ts(newest) else 0.0):.6f}"
        # A command is no message: the threads under its answer are where people go on.
        roots = [at.root] if is_ts(at.root) else await handlers.intake.pages_of("slack", at.channel, at.root)
        for root in filter(is_ts, roots):
            found[at.channel, root] = after
        if at.channel.startswith("D"):  # a new question there is a new root, seen only from above
            found[at.channel, ""] = max(after, found.get((at.channel, ""), ""))
    return found


async def read_missed(handlers: Handlers, take: Take, channel: str, root: str, after: str) -> int:
    """Accept what stands in one thread, or above all threads, after *after*. Raises SurfaceError and StorageError."""
    taken = 0
    async for message in _after(handlers, channel, root, after):
        seen = message_seen(message, channel, {}, handlers.me)
        if not isinstance(seen, Asked):
            continue
        if not root and not seen.addressed:
            continue
        at = seen.incoming.conversation
        if not await handlers.intake.seen("slack", at.workspace, at.channel, seen.incoming.message_id):
            taken += await take(seen)
    return taken


async def _after(handlers: Handlers, channel: str, root: str, after: str) -> AsyncIterator[Mapping[str, Any]]:
    """At most one page of messages younger than *after*, oldest first."""
    api = handlers.api
    where: dict[str, Any] = {"channel": channel, "oldest": after, "limit": _PAGE_SIZE}
    if root:
        answer = await api.call(lambda: api.reads.conversations_replies(ts=root, **where))
        found = [message for message in answer.get("messages") or () if float(message["ts"]) > float(after)]
    else:
        answer = await api.call(lambda: api.reads.conversations_history(**where))
        found = list(answer.get("messages") or ())
    for message in sorted(found, key=lambda message: float(message["ts"])):
        yield message
