"""Who goes next, and how a run is told to stop. Decisions and small signals; core/inbox/inbox.py acts on them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from core.base.clock import Clock
from core.domain.incoming import UserKey
from core.domain.runs import Claim, Pending, StopReason

SUSPECT_STARTS = 2
"""A run that was started this often without an orderly end may be what takes the process down. Such runs go one at a
time: the innocent ones that were under way in the same crash are then done before the guilty one crashes again, and
only that one is ever counted to three."""


def choose(
    pending: Iterable[Pending],
    *,
    running: Collection[Pending],
    free: int,
) -> list[Pending]:
    """Up to *free* runs to start now.

    In a conversation only the oldest may go, and none beside a running one. Between people, whoever has the fewest
    running goes first, then the oldest. Where many people wait this stops early: the oldest run of somebody who has
    nothing running cannot be beaten.
    """
    busy = {run.conversation_id for run in running}
    load: Counter[UserKey] = Counter(run.user for run in running)
    suspect_chosen = any(run.starts > SUSPECT_STARTS for run in running)
    chosen: list[Pending] = []
    others: list[Pending] = []
    for run in sorted(pending, key=_by_age):
        if len(chosen) == free:
            return chosen
        if run.conversation_id in busy:
            continue
        busy.add(run.conversation_id)
        if run.starts >= SUSPECT_STARTS and suspect_chosen:
            continue
        if load[run.user]:
            others.append(run)
            continue
        chosen.append(run)
        load[run.user] += 1
        suspect_chosen |= run.starts >= SUSPECT_STARTS
    while others and len(chosen) < free:
        best = min(others, key=lambda run: (load[run.user], run.seq))
        others.remove(best)
        if best.starts >= SUSPECT_STARTS and suspect_chosen:
            continue
        chosen.append(best)
        load[best.user] += 1
        suspect_chosen |= best.starts >= SUSPECT_STARTS
    return chosen


_by_age = attrgetter("seq")


def places(pending: Iterable[Pending]) -> dict[str, int]:
    """Run id -> place in the queue, from 1, oldest first."""
    return {run.run_id: place for place, run in enumerate(sorted(pending, key=_by_age), 1)}


class Stop:
    """A wish that one run end. The first reason stands; only "lost" replaces another, because then nothing may be
    written any more."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._asked = asyncio.Event()

    def request(self, reason: StopReason) -> None:
        if self.reason is None or reason == "lost":
            self.reason = reason
        self._asked.set()

    async def wanted(self) -> None:
        """Return once a stop was asked for."""
        await self._asked.wait()


class Ticket:
    """A held run's place in the queue, and its turn when that comes. Only the latest news counts."""

    def __init__(self, place: int) -> None:
        self._news: int | Claim | None = place
        self._place = place
        self._changed = asyncio.Event()
        self._changed.set()

    def move(self, place: int) -> None:
        if place != self._place and not isinstance(self._news, Claim):
            self._place = self._news = place
            self._changed.set()

    def call(self, claim: Claim) -> None:
        """Its turn has come: *claim* is the started run."""
        self._news = claim
        self._changed.set()

    async def news(self) -> int | Claim:
        """The next new place, or the turn."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            news, self._news = self._news, None
            if news is not None:
                return news


@dataclass(frozen=True, slots=True)
class Flood:
    """How often one person may write, counted over a sliding minute in memory: a restart forgives.

    Weak against many accounts; the ceilings for workspaces and for everybody stand in the rate guard.
    """

    clock: Clock
    per_minute: int
    _times: dict[UserKey, list[float]] = field(default_factory=dict)

    def wait_s(self, user: UserKey) -> float:
        """Seconds until *user* may write again; 0.0 when now."""
        times = self._recent(user)
        return 0.0 if len(times) < self.per_minute else times[-self.per_minute] + 60.0 - self.clock.monotonic()

    def count(self, user: UserKey) -> None:
        if len(self._times) > _MANY_USERS:
            for known in list(self._times):
                self._recent(known)
        self._times[user] = [*self._recent(user), self.clock.monotonic()]

    def _recent(self, user: UserKey) -> list[float]:
        since = self.clock.monotonic() - 60.0
        times = [at for at in self._times.get(user, ()) if at > since]
        if times:
            self._times[user] = times
        else:
            self._times.pop(user, None)
        return times


_MANY_USERS = 10_000
"""Above this the table is tidied at each count."""
