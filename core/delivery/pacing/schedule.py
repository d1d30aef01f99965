"""Which write may go out, and when: the decisions behind `Pacer`, as functions of time. Pure.

A reply owes its reader one last write. Everything before that is for lag: the time between a character's arrival and
its being seen. Text that comes evenly for T seconds and is shown by N writes has a mean lag of (sum of squared gaps)
/ 2T, least where all gaps are equal: T / 2N. So the calls that a bucket can carry are spread evenly over the time that
the answer will go on, and shared with the answers that grow beside it and those still to come.

Nobody knows that time. `Habit` guesses it from how long answers usually are, how fast this one comes and how much of it
has come already; `Lane` guesses how many others will come from those of the last minutes. That spends the burst on
short answers and glides into the bucket's steady rate on long ones; in a busy place it leaves calls for the next.

benchmarks/best_schedule.py computes what a scheduler that knew the future would reach. Weakness: where answers come
seldom, a long one spends most of a large bucket (Slack's minute), and another that is asked right after it grows in
steps of seconds, as does one that is many times longer than any before it. Last words are in time all the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from core.delivery.pacing.buckets import Bucket

Kind = Literal["post", "edit"]

MIN_GAP_S = 0.1
"""Between two writes of one reply: faster is not read as faster."""

LATE_S = 0.5
"""Last words may find their bucket empty for so long. Never to let that happen would cost a bucket of five calls a
fifth of its rate all the time; half of that buys most of it back."""


PAYABLE_S = 15.0
"""What stands unfinished may have to wait so long for its last edit. Where a minute's calls are spent, as Slack's are
after a burst, an answer that is begun then would stand there complete in our hands and half on the screen."""

_FARTHEST_S = 20.0
"""Nothing is saved for what may come later than so long after an answer's usual end."""

_REMEMBERED = 10
_LEAST_SPREAD = 0.2

_WATCHED_S = 300.0
"""How long a lane remembers the answers that came."""

_SILENCE = 1.5
"""So many times the usual pause between two answers may pass before they are thought to have stopped coming."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How long answers are here, in characters, as learned from those before."""

    typical_chars: float = 1_500.0
    spread: float = 1.1
    """Standard deviation of the lengths' logarithms: 1 means that a factor of e is nothing special."""
    weight: float = 0.3
    """How many answers this stands for. The first guess counts little."""

    def after(self, chars: int) -> Habit:
        """The habit after one more answer: mean and deviation of logarithms, because lengths differ by factors; of all
        answers at first, of about the last ten later."""
        weight = min(self.weight + 1.0, _REMEMBERED)
        share = 1.0 / weight
        apart = math.log(max(chars, 1) / self.typical_chars)
        variance = (1.0 - share) * (self.spread**2 + share * apart**2)
        return Habit(self.typical_chars * math.exp(share * apart), max(_LEAST_SPREAD, math.sqrt(variance)), weight)

    def rest_s(self, age_s: float, chars_per_s: float) -> float:
        """How long an answer of that age and speed is to be planned for: for what is missing from a typical one, and
        in proportion to how long it has lasted already (what has lasted will last), the more so the less answers are
        alike. Close to the best plan for lognormal lengths, which spends calls as the square root of the chance that
        the answer is still growing."""
        missing_s = max(0.0, self.typical_chars / chars_per_s - age_s)
        return missing_s + min(1.5 * self.spread * age_s, _FARTHEST_S)


@dataclass(eq=False, slots=True)
class Lane:
    """A bucket that replies contend for, and who does."""

    bucket: Bucket
    growing: int = 0
    """Replies that stand unfinished on the platform: each will draw on the bucket once more at its end."""
    _begun: deque[float] = field(default_factory=deque)
    """When the replies that ended lately had begun, in the order of their ends."""

    _newest: float = -math.inf
    """When the newest of all replies began, those that still grow among them."""

    def begin(self, began_at: float) -> None:
        self._newest = max(self._newest, began_at)

    def end(self, began_at: float) -> None:
        self.growing -= 1
        self._begun.append(began_at)
        self.begin(began_at)

    def to_come(self, now: float) -> float:
        """How many more replies are expected in one period of the bucket, if they come as they came lately.

        While none comes, that fades as the chance of such a silence does: where one came every two seconds, hardly
        any is expected after ten.
        """
        while self._begun and self._begun[0] <= now - _WATCHED_S:
            self._begun.popleft()
        if not self._begun:
            return 0.0
        # Two that came within a second are no sign of a hundred a minute.
        watched_s = max(now - min(self._begun), self.bucket.per_s / 20)
        usual_pause_s = watched_s / len(self._begun)
        fading = math.exp(min(0.0, _SILENCE - (now - self._newest) / usual_pause_s))
        return self.bucket.per_s / usual_pause_s * fading


@dataclass(eq=False, slots=True)
class Seat:
    """What is known of one reply. Times are monotonic seconds."""

    post: tuple[Bucket, ...]
    edit: tuple[Bucket, ...]
    finish: tuple[Bucket, ...]
    lane: Lane | None
    """Of its edits; None where they are unlimited."""
    min_interval_s: float
    chars: Callable[[], int]
    """How much text has come."""
    unseen_chars: Callable[[], int]
    """How much of it nobody can see."""
    began_at: float
    begun: bool = False
    """Whether its first character has come, at `began_at`."""
    wants: Kind | None = None
    posted: bool = False
    complete_at: float | None = None
    """When its text was complete; from then on every write is one of the last."""
    left_at: float = -math.inf
    """When its newest write left."""

    def chars_per_s(self, now: float) -> float:
        """How fast its text comes; a common speed at first, when nothing can be told yet."""
        return (self.chars() + 30) / (max(0.0, now - self.began_at) + 0.05)

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
    return max(at, _evenly_at(seat, now, habit))


def reserve(bucket: Bucket, to_come: float) -> int:
    """Calls kept back so that last words find a free one, those of replies to come among them."""
    return min(bucket.capacity // 2, max(1, bucket.capacity // 25, round(to_come)))


def _evenly_at(seat: Seat, now: float, habit: Habit) -> float:
    """When the next edit is due if the free calls are spread over what the answer still has to go."""
    lane = seat.lane
    if lane is None:
        return -math.inf
    bucket = lane.bucket
    since = max(bucket.last_left_at, seat.left_at)
    rest_s = habit.rest_s(max(0.0, since - seat.began_at), seat.chars_per_s(now))
    last_words = lane.growing * min(1.0, bucket.per_s / max(rest_s, MIN_GAP_S))
    share = lane.growing / (lane.growing + lane.to_come(now)) if lane.growing else 1.0
    calls = (bucket.calls_within(since, rest_s) - last_words) * share
    return since + rest_s / (max(0.0, calls) + 1)


def _post_at(seat: Seat, now: float) -> float:
    """A first post makes a debt, the reply's last edit. Under pressure, where more replies owe one than the bucket
    carries at once or soon, a reply waits to be posted once, complete; but not longer than its own last edit would
    take."""
    at = max((bucket.free_at(now) for bucket in seat.post), default=now)
    if seat.posted or seat.lane is None:
        return at
    bucket, debts = seat.lane.bucket, seat.lane.growing + 1
    over = max(0, debts - bucket.capacity)
    return max(at, seat.began_at + over * bucket.spacing_s, bucket.free_at(now, debts) - PAYABLE_S)
