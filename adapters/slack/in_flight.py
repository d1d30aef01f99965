"""Questions that are on their way in, by thread.

Whether a message without a mention is for the bot depends on what stands in its thread already; but taking in a
question may have to wait for its asker's name, or fail, and Slack then delivers it again minutes later.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager

from cachetools import TTLCache

from core.base.clock import Clock

_TAKEN_WITHIN_S = 2.0
"""Slack waits three seconds for us (facts/slack.md 1.10); what was not taken by then comes again anyway."""

DELIVERED_WITHIN_S = 600.0
"""A message comes for the last time after six minutes (facts/slack.md 1.10)."""


class InFlight:
    def __init__(self, clock: Clock) -> None:
        self._under_way: dict[tuple[str, str], set[asyncio.Future[None]]] = {}
        self._redelivery: TTLCache[tuple[str, str], bool] = TTLCache(
            math.inf, DELIVERED_WITHIN_S, timer=clock.monotonic
        )
        """Threads in which a question may come again that could not be taken in; as a set."""

    @contextmanager
    def taking(self, thread: tuple[str, str]) -> Iterator[None]:
        """Around taking in a question to the bot; what it raises says that the question is still to come."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.setdefault(thread, set()).add(over)
        try:
            yield
        except BaseException:
            self._redelivery[thread] = True
            raise
        else:
            self._redelivery.pop(thread, None)
        finally:
            over.set_result(None)
            self._under_way[thread].discard(over)
            if not self._under_way[thread]:
                del self._under_way[thread]

    async def wait(self, thread: tuple[str, str]) -> None:
        """Wait, for two seconds at most, for what is being taken in there."""
        if under_way := self._under_way.get(thread):
            await asyncio.wait(list(under_way), timeout=_TAKEN_WITHIN_S)

    def owes(self, thread: tuple[str, str]) -> bool:
        """Whether a question there is still to come, so that nobody can tell yet what follows it."""
        return thread in self._under_way or thread in self._redelivery
