"""What a platform's rate bucket can still carry. Pure: time is an argument."""

from __future__ import annotations

from bisect import insort

from core.ports.platform import Rate

_SAME_WINDOW_S = 0.25
"""Two reset times this close belong to the same window; headers of parallel calls may arrive in any order."""


_ANSWER_S = 0.1
"""How soon a call that is late is expected to be answered."""

_STRETCH = 10
"""A bucket that nobody seems to count is taken to carry so many times what was published, at most."""

_LEAST_WINDOW_S = 0.05

_LOST_AFTER_S = 5.0
"""A call that is so late was counted long ago, or never will be."""


class Bucket:
    """At most `capacity` calls in any `per_s` seconds.

    Counting a sliding window is right for platforms that do and safe for those whose window starts with the first call
    (Discord). Where headers tell, they replace our own count and what was published, upwards too. An answer that should
    tell and does not is a sign that nothing is counted there: the capacity is stretched, until the first refusal. A
    refusal lowers the capacity by a fifth; each refill time without one gives a call back.

    Times are seconds of one monotonic clock.
    """

    def __init__(self, rate: Rate) -> None:
        self.key = rate.key
        self.per_s = rate.per_s
        self._published = rate.capacity
        self._assumed = rate.capacity
        """What was published before the bucket was stretched."""
        self._stretch_to = rate.capacity * _STRETCH
        self._capacity = float(rate.capacity)
        self._raised_at = 0.0
        self._in_flight: list[float] = []
        """When each call left that is not answered yet."""
        self._back_at: list[float] = []
        """When each answered call stops to count, sorted."""
        self.last_left_at = float("-inf")
        self._shut_until = float("-inf")
        self._learned_at = float("-inf")
        self._resets_at = float("-inf")

    @property
    def capacity(self) -> int:
        return max(1, int(self._capacity))

    @property
    def spacing_s(self) -> float:
        """Seconds between calls when they are spread evenly."""
        return self.per_s / self.capacity

    def free(self, now: float) -> int:
        """How many calls may leave at once."""
        self._forget(now)
        if now < self._shut_until:
            return 0
        return max(0, self.capacity - len(self._in_flight) - len(self._back_at))

    def free_at(self, now: float, wanted: int = 1) -> float:
        """When *wanted* calls may leave at once (at most the capacity), if no other call leaves until then."""
        self._forget(now)
        wanted = min(wanted, self.capacity)
        returns = sorted([*self._back_at, *(self._returns_at(left, now) for left in self._in_flight)])
        missing = wanted - (self.capacity - len(returns))
        return max(now if missing <= 0 else returns[missing - 1], self._shut_until)

    def _returns_at(self, left_at: float, now: float) -> float:
        """When a call that is not answered yet stops to count, at the earliest. It may have been counted late."""
        at = left_at + self.per_s
        return max(now + _ANSWER_S, at) if now < at + _LOST_AFTER_S else now

    def calls_within(self, now: float, span_s: float) -> float:
        """How many calls may leave in the next *span_s* seconds."""
        counting = sum(at > now + span_s for at in self._back_at)
        counting += sum(left + self.per_s > now + span_s for left in self._in_flight)
        return self.capacity - counting + self.capacity * max(0.0, span_s / self.per_s - 1.0)

    def spend(self, now: float) -> None:
        """A call leaves; `landed` or `take_back` must follow."""
        self.last_left_at = now
        self._in_flight.append(now)

    def landed(self, left_at: float, now: float) -> None:
        """The call that left at *left_at* was answered: the latest moment at which it can have been counted. Much may
        come before a call is on its way (looking for a lost post, the ledger), so the moment it left tells little."""
        self._in_flight.remove(left_at)
        if self._learned_at < left_at:  # otherwise the headers counted it
            insort(self._back_at, now + self.per_s)

    def take_back(self, left_at: float) -> None:
        """The call of *left_at* never left."""
        self._in_flight.remove(left_at)

    def learn(self, now: float, *, remaining: int, reset_after_s: float, capacity: int | None = None) -> None:
        """Take over what a response's headers say."""
        if capacity is not None and capacity != self._published:
            self._published = self._assumed = capacity
            self._capacity = float(capacity)
        resets_at = now + reset_after_s
        if capacity is not None and remaining == capacity - 1 and reset_after_s > _LEAST_WINDOW_S:
            self.per_s = reset_after_s  # the window began with this very call
        used = max(0, self._published - remaining)
        if abs(resets_at - self._resets_at) < _SAME_WINDOW_S:
            used = max(used, len(self._back_at))
        self._back_at = [resets_at] * used
        self._resets_at = resets_at
        self._learned_at = now

    def stretch(self) -> None:
        """A call was answered by a platform that says nothing of a limit here."""
        if self._learned_at == float("-inf") and self._published < self._stretch_to:
            self._published = min(self._stretch_to, self._published + max(1, self._published // 4))
            self._capacity = float(self._published)

    def shut(self, now: float, pause_s: float) -> None:
        """No call leaves for so long."""
        self._shut_until = max(self._shut_until, now + pause_s)

    def refuse(self, now: float, retry_after_s: float) -> None:
        """The platform said "too many" in spite of our count."""
        self.shut(now, retry_after_s)
        if self._published > self._assumed:  # there is a limit after all, somewhere below what was tried
            self._published = max(self._assumed, int(self._published * 0.8))
            self._capacity = min(self._capacity, float(self._published))
        self._stretch_to = 0
        self._capacity = max(1.0, self._capacity * 0.8)
        self._raised_at = self._shut_until

    def _forget(self, now: float) -> None:
        while self._back_at and self._back_at[0] <= now:
            del self._back_at[0]
        while self._capacity < self._published and now >= self._raised_at + self.per_s:
            self._raised_at += self.per_s
            self._capacity = min(float(self._published), self._capacity + 1)
