"""Sliding windows: how much of something was used in the last minute."""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import TTLCache

from core.base.clock import Clock

MAX_KEYS = 50_000
"""The least recently used are forgotten beyond this: their windows are empty by then, or the bot is very busy."""


class SlidingWindows:
    """How much of each key was used in the last `window_s` seconds.

    Two numbers are kept per key, and the older window's use is taken to have been even. Weakness: after a burst at a
    window's end, up to that burst more is let through than the limit says.

    Source: Cloudflare, "How we built rate limiting capable of scaling to millions of domains" (2017). The `limits`
    library does the same over storages elsewhere, which costs every start 30 ms and 2 MB; here it is two sums.
    """

    def __init__(self, clock: Clock, window_s: int) -> None:
        self._clock = clock
        self._window_s = window_s
        self._counters: TTLCache[str, _Counter] = TTLCache(MAX_KEYS, 2 * window_s, timer=clock.now)

    def wait_s(self, key: str, limit: int, cost: int) -> float:
        """Return the seconds until *cost* more of *key* fits below *limit*; 0 when it does now.

        A cost above the limit itself counts as the limit: it fits into an empty window.
        """
        room = limit - min(cost, limit)
        counter = self._counter(key)
        left_s = self._window_s - self._clock.now() % self._window_s
        if counter.previous * left_s / self._window_s + counter.current < room + 1:  # a part of one does not count
            return 0.0
        return fits_in_s(counter.previous, counter.current, left_s, self._window_s, room=room)

    def use(self, key: str, amount: int) -> None:
        """Count *amount*, whatever the limit; negative where an estimate was too high."""
        counter = self._counter(key)
        counter.current = max(0, counter.current + amount)
        self._counters[key] = counter

    def _counter(self, key: str) -> _Counter:
        window = int(self._clock.now() // self._window_s)
        counter = self._counters.get(key) or _Counter(window)
        counter.roll(window)
        return counter


def fits_in_s(previous: int, current: int, left_s: float, window_s: float, *, room: int) -> float:
    """Return how long until the weighted use has fallen to *room*.

    Args:
        previous: Used in the window before this one; it counts by the share that the sliding window still covers.
        current: Used in this one.
        left_s: Until this window ends.
    """
    if current <= room:
        covered_s = window_s * (room - current) / previous if previous else window_s
        return max(0.0, left_s - covered_s)
    return left_s + window_s - window_s * room / current


@dataclass(slots=True)
class _Counter:
    window: int
    """Number of the window since the epoch."""
    current: int = 0
    previous: int = 0

    def roll(self, window: int) -> None:
        if window != self.window:
            self.previous = self.current if window == self.window + 1 else 0
            self.window, self.current = window, 0
