"""Lets writes out: one `Pacer` per process and platform, shared by all its replies. Decided in schedule.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from core.base.clock import Clock
from core.base.waiting import wait_for
from core.delivery.pacing.buckets import Bucket
from core.delivery.pacing.schedule import Habit, Kind, Lane, Seat, may_go_at, scarcest, urgency
from core.domain.errors import SurfaceBusy
from core.ports.platform import Rate, SurfaceLimits

_EARLY_S = 1e-3
"""A write may leave this much before its moment, so that a timer that rings a hair early does not ring twice. A call
counts from its answer, which comes later than it was counted by the platform by more than that."""


_LOOK_AGAIN_S = 2.0
"""A moment that is further off comes nearer by itself while nobody else asks: what is kept for others fades."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to one write; `Pacer.done`, `refused`, `failed` or `give_back` must follow."""

    seat: Seat
    kind: Kind
    buckets: tuple[Bucket, ...]
    left_at: float


@dataclass(eq=False, slots=True)
class _Waiter:
    seat: Seat
    lane: Bucket
    """The bucket it contends for."""
    slot: asyncio.Future[Slot | None]
    changed: asyncio.Event


class Pacer:
    """Hands out slots to write, fairly and within every bucket.

    It implements `SurfaceObserver`: adapters feed it their platform's headers. Tasks wait in `turn`; the pacer itself
    owns none.

    Weakness: replies queue at their scarcest bucket only. Where one that all share runs dry (Discord's fifty calls a
    second), whoever wakes first takes the next call.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._lanes: dict[str, Lane] = {}
        self._habit = Habit()
        self._waiters: dict[str, list[_Waiter]] = {}
        """By the key of their lane."""

    def seat(
        self, limits: SurfaceLimits, chars: Callable[[], int] = int, unseen_chars: Callable[[], int] = int
    ) -> Seat:
        """Give a reply its place; `leave` ends it.

        Args:
            chars: How much text has come.
            unseen_chars: How much of it nobody can see.
        """
        edit = self._of(limits.edit)
        contended = scarcest(edit)
        return Seat(
            post=self._of(limits.post),
            edit=edit,
            finish=edit if limits.finish is None else self._of(limits.finish),
            lane=self._lanes.setdefault(contended.key, Lane(contended)) if contended else None,
            min_interval_s=limits.min_interval_s,
            chars=chars,
            unseen_chars=unseen_chars,
            began_at=self._clock.monotonic(),
        )

    def reseat(self, seat: Seat, limits: SurfaceLimits) -> None:
        """The surface goes by other buckets now: a stream that fell back to editing, for one."""
        lane = seat.lane
        edit = self._of(limits.edit)
        contended = scarcest(edit)
        seat.post, seat.edit = self._of(limits.post), edit
        seat.finish = edit if limits.finish is None else self._of(limits.finish)
        seat.lane = self._lanes.setdefault(contended.key, Lane(contended)) if contended else None
        seat.min_interval_s = limits.min_interval_s
        if seat.posted and seat.lane is not lane:  # what it still owes, it owes there
            if lane:
                lane.growing -= 1
            if seat.lane:
                seat.lane.growing += 1

    def _of(self, rates: Sequence[Rate]) -> tuple[Bucket, ...]:
        return tuple(self._buckets.setdefault(rate.key, Bucket(rate)) for rate in rates)

    def begin(self, seat: Seat) -> None:
        """The reply's first character has come."""
        seat.began_at = self._clock.monotonic()
        seat.begun = True
        if seat.lane:
            seat.lane.begin(seat.began_at)

    def posted(self, seat: Seat) -> None:
        """The reply stands on the platform: from now on it owes a last edit."""
        if seat.lane and not seat.posted:
            seat.lane.growing += 1
        seat.posted = True

    def complete(self, seat: Seat) -> None:
        """The reply's text is complete: what it still has to write goes first."""
        if seat.complete_at is None:
            seat.complete_at = self._clock.monotonic()
            if seat.begun:
                self._habit = self._habit.after(seat.chars())
            self._reconsider(seat.post + seat.edit + seat.finish)

    def leave(self, seat: Seat) -> None:
        """The reply has nothing left to write."""
        if seat.lane and seat.posted:
            seat.lane.end(seat.began_at)
        seat.posted = False
        self._reconsider(seat.post + seat.edit)

    async def turn(self, seat: Seat, kind: Kind) -> Slot | None:
        """Wait until *seat* may write; None when `abandon` came first. Compose the text afterwards, not before."""
        seat.wants = kind
        lane = scarcest(seat.buckets)
        if lane is None:
            return self._spend(seat, kind)
        waiter = _Waiter(seat, lane, asyncio.get_running_loop().create_future(), asyncio.Event())
        queue = self._waiters.setdefault(lane.key, [])
        queue.append(waiter)
        try:
            self._let_out(lane.key)
            if not waiter.slot.done():
                await self._wait(waiter)
            return waiter.slot.result()
        except BaseException:
            if waiter.slot.done() and (slot := waiter.slot.result()):
                self.give_back(slot)
            raise
        finally:
            queue.remove(waiter)

    async def _wait(self, waiter: _Waiter) -> None:
        while not waiter.slot.done():
            waiter.changed.clear()
            wait_s = self._due(waiter) - self._clock.monotonic()
            await wait_for(waiter.changed, self._clock, min(wait_s, _LOOK_AGAIN_S))
            self._let_out(waiter.lane.key)

    def abandon(self, seat: Seat) -> None:
        """Let the seat's waiting turn end without a slot."""
        for queue in self._waiters.values():
            for waiter in queue:
                if waiter.seat is seat and not waiter.slot.done():
                    waiter.slot.set_result(None)
                    waiter.changed.set()

    # --- what became of a write ---

    def done(self, slot: Slot) -> None:
        """The platform answered, and not with "too many"."""
        self._land(slot)

    def refused(self, slot: Slot, retry_after_s: float) -> None:
        """The platform said "too many": nothing of this kind leaves for so long, and less of it afterwards."""
        self._land(slot)
        if lane := scarcest(slot.buckets):
            lane.refuse(self._clock.monotonic(), retry_after_s)

    def failed(self, slot: Slot, pause_s: float) -> None:
        """The write came to nothing for another reason: nothing of this kind leaves for so long. That says nothing
        about how many calls the platform takes."""
        self._land(slot)
        if lane := scarcest(slot.buckets):
            lane.shut(self._clock.monotonic(), pause_s)

    def _land(self, slot: Slot) -> None:
        now = self._clock.monotonic()
        for bucket in slot.buckets:
            bucket.landed(slot.left_at, now)

    def give_back(self, slot: Slot) -> None:
        """The write was not needed after all."""
        for bucket in slot.buckets:
            bucket.take_back(slot.left_at)
        self._reconsider(slot.buckets)

    def learn(self, key: str, *, remaining: int | None, reset_after_s: float, capacity: int | None = None) -> None:
        if bucket := self._buckets.get(key):
            if remaining is None:
                bucket.stretch()
            else:
                now = self._clock.monotonic()
                bucket.learn(now, remaining=remaining, reset_after_s=reset_after_s, capacity=capacity)
            self._reconsider([bucket])

    @contextmanager
    def count(self, rate: Rate) -> Iterator[None]:
        """Around a call that nobody asked a slot for; what comes after it is paced by it. Like every call it counts
        from its answer: the platform counts it when it comes, which is later than when it leaves."""
        left_at = self._clock.monotonic()
        (bucket,) = self._of([rate])
        bucket.spend(left_at)
        try:
            yield
        except SurfaceBusy as error:
            if error.too_many:
                bucket.refuse(self._clock.monotonic(), error.retry_after_s)
            raise
        finally:
            bucket.landed(left_at, self._clock.monotonic())

    @asynccontextmanager
    async def take(self, rate: Rate) -> AsyncIterator[None]:
        """Wait until that bucket carries a call that no seat asked for, and count it. Takes no part in the queue: it
        is for the second step of a write that has its slot already."""
        (bucket,) = self._of([rate])
        while (wait_s := bucket.free_at(self._clock.monotonic()) - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait_s)
        with self.count(rate):
            yield

    # --- letting out ---

    def _reconsider(self, buckets: Iterable[Bucket]) -> None:
        """Something happened that may bring moments forward."""
        for key in {bucket.key for bucket in buckets}:
            self._let_out(key)
            for waiter in self._waiters.get(key, ()):
                waiter.changed.set()

    def _let_out(self, key: str) -> None:
        now = self._clock.monotonic()
        waiting = [waiter for waiter in self._waiters.get(key, ()) if not waiter.slot.done()]
        for waiter in sorted(waiting, key=lambda waiter: urgency(waiter.seat, now)):
            if self._due(waiter) <= now + _EARLY_S:
                waiter.slot.set_result(self._spend(waiter.seat, waiter.seat.wants or "edit"))
                waiter.changed.set()

    def _due(self, waiter: _Waiter) -> float:
        """When the waiter may go. Nobody takes the call that other replies' last words wait for."""
        now = self._clock.monotonic()
        mine = urgency(waiter.seat, now)
        ahead = [
            other.seat
            for other in self._waiters[waiter.lane.key]
            if other is not waiter
            and not other.slot.done()
            and other.seat.complete_at is not None
            and urgency(other.seat, now) < mine
        ]
        return max(may_go_at(seat, now, self._habit) for seat in (waiter.seat, *ahead))

    def _spend(self, seat: Seat, kind: Kind) -> Slot:
        now = self._clock.monotonic()
        seat.left_at = now
        buckets = seat.buckets
        for bucket in buckets:
            bucket.spend(now)
        return Slot(seat, kind, buckets, now)
