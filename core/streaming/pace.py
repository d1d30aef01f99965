"""Which write may go out, and when: the decisions behind `Pacer`, as functions of time. Pure.

A reply owes its reader one last write. Everything before that is for lag: the time between a character's arrival and
its being seen. Text that comes evenly for T seconds and is shown by N writes has a mean lag of (sum of squared gaps)
/ 2T, least where all gaps are equal: T / 2N. So the calls that a bucket can carry are spread evenly over the time that
the answer will go on. Nobody knows that time; `Habit` guesses it from earlier answers and from how long this one has
lasted already. That spends the burst on short answers and glides into the bucket's steady rate on long ones.

benchmarks/best_schedule.py computes what a scheduler that knew the future would reach. Weakness: a first answer that
is fifty times longer than expected spends most of a large bucket (Slack's minute) early and grows in steps of several
seconds later; the ones after it know better.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from core.streaming.buckets import Bucket

Kind = Literal["post", "edit"]

MIN_GAP_S = 0.1
"""Between two writes of one reply: faster is not read as faster."""

LATE_S = 0.5
"""Last words may find their bucket empty for so long. Never to let that happen would cost a bucket of five calls a
fifth of its rate all the time; half of that buys most of it back."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How long answers take here from their first character to their last, as learned from those before."""

    typical_s: float = 1.0
    """400 tokens at 400 a second, to begin with."""
    spread: float = 1.0
    """Standard deviation of the durations' logarithms: 1 means that a factor of e is nothing special."""

    def after(self, took_s: float) -> Habit:
        """The habit after one more answer; moving means of logarithms, because durations differ by factors."""
        apart = math.log(min(max(took_s, 0.1), 120.0) / self.typical_s)
        return Habit(self.typical_s * math.exp(0.2 * apart), math.sqrt(0.8 * self.spread**2 + 0.2 * apart**2))

    def rest_s(self, age_s: float) -> float:
        """How long an answer of that age is expected to go on: for the rest of a typical one, or in proportion to how
        long it has lasted already (what has lasted will last), the more so the less answers are alike."""
        return max(self.typical_s - age_s, (0.3 + 4.0 * self.spread) * age_s)


@dataclass(eq=False, slots=True)
class Lane:
    """A bucket that replies contend for, and who does."""

    bucket: Bucket
    growing: int = 0
    """Replies that stand unfinished on the platform: each will draw on the bucket once more at its end."""
    _ended: deque[tuple[float, float]] = field(default_factory=deque)
    """(begin, end) of the replies that ended within one period of the bucket, by their end."""

    def end(self, began_at: float, now: float) -> None:
        self.growing -= 1
        self._ended.append((began_at, now))

    def to_come(self, now: float) -> float:
        """How many more replies are expected in one period of the bucket, if they come as they came."""
        while self._ended and self._ended[0][1] <= now - self.bucket.per_s:
            self._ended.popleft()
        if not self._ended:
            return 0.0
        watched_s = min(self.bucket.per_s, now - min(began_at for began_at, _ in self._ended))
        return len(self._ended) * self.bucket.per_s / max(watched_s, MIN_GAP_S)


@dataclass(eq=False, slots=True)
class Seat:
    """What is known of one reply. Times are monotonic seconds."""

    post: tuple[Bucket, ...]
    edit: tuple[Bucket, ...]
    finish: tuple[Bucket, ...]
    lane: Lane | None
    """Of its edits; None where they are unlimited."""
    min_interval_s: float
    unseen_chars: Callable[[], int]
    began_at: float
    begun: bool = False
    """Whether its first character has come, at `began_at`."""
    wants: Kind | None = None
    posted: bool = False
    complete_at: float | None = None
    """When its text was complete; from then on every write is one of the last."""
    left_at: float = -math.inf
    """When its newest write left."""

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """What the wanted write draws on."""
        if self.wants == "post":
            return self.post
        return self.edit if self.complete_at is None else self.finish


def scarcest(buckets: Iterable[Bucket]) -> Bucket | None:
    """The bucket that replies will contend for."""
    return max(buckets, key=lambda bucket: bucket.spacing_s, default=None)


def urgency(seat: Seat, now: float) -> tuple[float, float]:
    """Sort key, most urgent first: last words in the order they were complete, then the most unseen text-time."""
    if seat.complete_at is not None:
        return (0.0, seat.complete_at)
    waited_s = now - max(seat.left_at, seat.began_at)
    return (1.0, -(seat.unseen_chars() + 1) * max(waited_s, 1e-3))


def may_go_at(seat: Seat, now: float, habit: Habit) -> float:
    """When *seat*'s write may leave, if nothing else leaves until then."""
    if seat.complete_at is not None:
        return max((bucket.free_at(now) for bucket in seat.buckets), default=now)
    if seat.wants == "post":
        return _post_at(seat, now)
    at = seat.left_at + max(seat.min_interval_s, MIN_GAP_S)
    for bucket in seat.buckets:
        kept = reserve(bucket, seat.lane.to_come(now) if seat.lane and seat.lane.bucket is bucket else 0.0)
        at = max(at, bucket.free_at(now), bucket.free_at(now, 1 + kept) - LATE_S)
    return max(at, _evenly_at(seat, habit))


def reserve(bucket: Bucket, to_come: float) -> int:
    """Calls kept back so that last words find a free one, those of replies to come among them."""
    return min(bucket.capacity // 2, max(1, bucket.capacity // 10, round(to_come)))


def _evenly_at(seat: Seat, habit: Habit) -> float:
    """When the next edit is due if the free calls are spread over what the answer still has to go."""
    if seat.lane is None:
        return -math.inf
    bucket = seat.lane.bucket
    since = max(bucket.last_left_at, seat.left_at)
    rest_s = habit.rest_s(max(0.0, since - seat.began_at))
    last_words = seat.lane.growing * min(1.0, bucket.per_s / max(rest_s, MIN_GAP_S))
    share = seat.lane.growing / (seat.lane.growing + seat.lane.to_come(since)) if seat.lane.growing else 1.0
    calls = (bucket.calls_within(since, rest_s) - last_words) * share
    return since + rest_s / (max(0.0, calls) + 1)


def _post_at(seat: Seat, now: float) -> float:
    """A first post makes a debt, the reply's last edit. Under pressure, where more replies owe one than the bucket
    carries at once, a reply waits to be posted once, complete; but not longer than its own last edit would take."""
    at = max((bucket.free_at(now) for bucket in seat.post), default=now)
    if seat.posted or seat.lane is None:
        return at
    over = seat.lane.growing + 1 - seat.lane.bucket.capacity
    return max(at, seat.began_at + over * seat.lane.bucket.spacing_s) if over > 0 else at
