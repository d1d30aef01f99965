"""Sliding windows of the `limits` library over our own clock."""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import TTLCache
from limits import RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.storage.base import SlidingWindowCounterSupport
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from core.clock import Clock

MAX_KEYS = 50_000
"""The least recently used are forgotten beyond this: their windows are empty by then, or the bot is very busy."""


class Windows:
    """How much of each key was used in the last `window_s` seconds, by the library's sliding counter.

    It keeps two numbers per key and takes the older window's use to have been even. Weakness: after a burst at a
    window's end, up to that burst more is let through than the limit says.
    """

    def __init__(self, clock: Clock, window_s: int) -> None:
        self._window_s = window_s
        self._storage = ClockedStorage(clock, window_s)
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    async def wait_s(self, key: str, limit: int, cost: int) -> float:
        """Return the seconds until *cost* more of *key* fits below *limit*; 0 when it does now.

        A cost above the limit itself counts as the limit: it fits into an empty window.
        """
        cost = min(cost, limit)
        item = self._item(limit)
        if await self._limiter.test(item, key, cost=cost):
            return 0.0
        previous, left_s, current, _ = await self._storage.get_sliding_window(item.key_for(key), self._window_s)
        return fits_in_s(previous, current, left_s, self._window_s, room=limit - cost)

    async def use(self, key: str, limit: int, amount: int) -> None:
        """Count *amount*, also above the limit; negative where an estimate was too high."""
        await self._storage.incr(self._item(limit).key_for(key), self._window_s, amount)

    def _item(self, limit: int) -> RateLimitItemPerSecond:
        return RateLimitItemPerSecond(limit, self._window_s)


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


class ClockedStorage(Storage, SlidingWindowCounterSupport):
    """The library's storage interface in memory: one window length, our clock, no task and no thread of its own."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock, window_s: int) -> None:
        super().__init__()
        self._clock = clock
        self._window_s = window_s
        self._counters: TTLCache[str, _Counter] = TTLCache(MAX_KEYS, 2 * window_s, timer=clock.now)

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def _counter(self, key: str) -> _Counter:
        window = int(self._clock.now() // self._window_s)
        counter = self._counters.get(key) or _Counter(window)
        counter.roll(window)
        return counter

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        counter = self._counter(key)
        counter.current = max(0, counter.current + amount)
        self._counters[key] = counter
        return counter.current

    async def get(self, key: str) -> int:
        return self._counter(key).current

    async def get_expiry(self, key: str) -> float:
        return (self._clock.now() // self._window_s + 1) * self._window_s

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        count = len(self._counters)
        self._counters.clear()
        return count

    async def clear(self, key: str) -> None:
        self._counters.pop(key, None)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        previous, previous_left_s, current, _ = await self.get_sliding_window(key, expiry)
        if int(previous * previous_left_s / expiry) + current + amount > limit:
            return False
        await self.incr(key, expiry, amount)
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        counter = self._counter(key)
        left_s = self._window_s - self._clock.now() % self._window_s
        return counter.previous, left_s, counter.current, left_s + self._window_s

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        await self.clear(key)
