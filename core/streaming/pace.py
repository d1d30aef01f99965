"""Which write may go out, and when: the decisions behind `Pacer`, as functions of time. Pure.

A reply owes its reader one last write. Everything before that is for lag: the time between a character's arrival and
its being seen. Text that comes evenly for T seconds and is shown by N writes has a mean lag of (sum of squared gaps) /
2T, least where the gaps are equal: T / 2N. So writes are spread evenly, as soon as it is known over what: a reply that
has just begun may end any moment, so its gaps start small and grow with its age until they reach the even spacing of
its bucket.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from core.streaming.buckets import Bucket

Kind = Literal["post", "edit"]

FIRST_GAP_S = 0.25
"""Smallest gap between two writes in one bucket while replies grow: less is not seen as growing but as flicker."""


@dataclass(eq=False, slots=True)
class Seat:
    """What is known of one growing reply."""

    post: tuple[Bucket, ...]
    edit: tuple[Bucket, ...]
    finish: tuple[Bucket, ...]
    min_interval_s: float
    began_at: float
    unseen_chars: Callable[[], int]
    wants: Kind | None = None
    posted: bool = False
    complete_at: float | None = None
    """When its text was complete; from then on every write is one of the last."""
    written_at: float = -math.inf

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
    waited_s = now - max(seat.written_at, seat.began_at)
    return (1.0, -(seat.unseen_chars() + 1) * max(waited_s, 1e-3))


def may_go_at(seat: Seat, now: float, owing: int) -> float:
    """When *seat*'s write may leave, if nothing else leaves until then; `math.inf` where an event must come first.

    Args:
        owing: Replies that stand unfinished on the platform and draw on the same edit bucket: each owes a last write.
    """
    if seat.complete_at is not None:
        return max((bucket.free_at(now) for bucket in seat.buckets), default=now)
    if seat.wants == "post" and not seat.posted:
        return _first_post_at(seat, now, owing)
    at = max((bucket.free_at(now, 1 + reserve(bucket)) for bucket in seat.buckets), default=now)
    at = max(at, seat.written_at + seat.min_interval_s)
    return max((at, *(bucket.last_left_at + gap_s(bucket, seat) for bucket in seat.buckets)))


def reserve(bucket: Bucket) -> int:
    """Calls kept back so that last words find a free one."""
    return 1 if bucket.capacity > 1 else 0


def gap_s(bucket: Bucket, seat: Seat) -> float:
    """Seconds that a growing reply leaves after the bucket's last write."""
    steady = bucket.per_s / max(1, bucket.capacity - reserve(bucket))
    age = max(0.0, bucket.last_left_at - seat.began_at)
    steps = max(1, bucket.capacity - reserve(bucket))
    growth = math.pow(max(bucket.per_s / FIRST_GAP_S, 1.0), 1 / steps) - 1
    return min(steady, max(min(FIRST_GAP_S, steady), growth * age))


def _first_post_at(seat: Seat, now: float, owing: int) -> float:
    """A first post makes a debt, the reply's last edit; under pressure a reply is posted once, complete."""
    edits = scarcest(seat.edit)
    at = max((bucket.free_at(now) for bucket in seat.post), default=now)
    if edits is not None and owing + 1 > edits.capacity:
        return max(at, seat.began_at + (owing + 1 - edits.capacity) * edits.spacing_s)
    return at
