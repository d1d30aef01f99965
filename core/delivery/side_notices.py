"""Sentences that are no answers ("I am full just now"): said once, however often somebody asks for them.

They go out through the same buckets as answers. Whoever writes again and again into a full queue must not take the
calls that the answers of everybody else wait for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from core.base.clock import Clock

log: Any = structlog.get_logger(__name__)

AGAIN_AFTER_S = 10.0
"""Short: whoever writes once more after a while wants to know what became of that, too."""

MOST_WAITING = 200
"""Sentences that wait for their turn. On Slack that is two minutes; what came later would speak of the past."""

_MANY = 1_000
"""Above this what is over is forgotten."""


class SideNotices:
    """Who was told what, in the memory of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before: dict[tuple[str, ...], float] = {}
        """What about whom -> when it may be said again; infinite while it waits to be said."""
        self._waiting = 0

    async def say(
        self, about: tuple[str, ...], say: Callable[[], Awaitable[object]], *, again_after_s: float = AGAIN_AFTER_S
    ) -> None:
        """Await *say* unless the same is being said or was said within *again_after_s*.

        Args:
            about: What is said to whom, where; equal for sentences of which one is enough.

        Raises what *say* raises; it may then be said again at once.
        """
        now = self._clock.monotonic()
        if self._not_before.get(about, now) > now:
            return
        if self._waiting >= MOST_WAITING:
            log.warning("too many sentences wait to be said; one was left out", kind=about[0])
            return
        if len(self._not_before) > _MANY:
            self._not_before = {key: at for key, at in self._not_before.items() if at > now}
        self._not_before[about] = float("inf")
        self._waiting += 1
        try:
            await say()
        except BaseException:
            del self._not_before[about]
            raise
        else:
            self._not_before[about] = self._clock.monotonic() + again_after_s
        finally:
            self._waiting -= 1
