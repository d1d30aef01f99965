"""Puts what is due into the inbox: once for each due time, whatever is killed or paused meanwhile.

The message's id is made of the schedule and its due time, and the inbox takes an id once. So accepting comes first and
moving on second: killed in between, the next look accepts it again, hears "duplicate", and moves on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from core.base.clock import Clock
from core.domain.errors import BadRequest, StorageError
from core.domain.incoming import Incoming
from core.domain.schedules import Schedule
from core.ports.platform import Receipt
from core.ports.storage import ScheduleStore
from core.schedules.recurrence import next_time, zone_of

log: Any = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
AT_ONCE = 20
"""Of those due, in one look: thousands that are due in one minute are paced, in order, none lost."""
LATE_S = 300.0
"""Later than this, the answer says when it was due."""
GRACE_S = 12 * 3_600.0
"""A time that was missed for longer is passed over by what recurs; what was to happen once happens however late."""


_MISSED_AT_MOST = 40_000
"""A year of quarters of an hour."""


class Ticker:
    """Looks each second for what is due. Two of them over one database do no harm: see above."""

    def __init__(self, store: ScheduleStore, accept: Callable[[Incoming], Awaitable[Receipt]], clock: Clock) -> None:
        self._store = store
        self._accept = accept
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled. What cannot be stored now is due at the next look."""
        while True:
            try:
                await self.look()
            except StorageError as error:
                log.warning("schedules could not be looked at", error=str(error))
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> int:
        """Put what is due now into the inbox; returns how many went."""
        now = self._clock.now()
        went = 0
        for schedule in await self._store.due(now, limit=AT_ONCE):
            went += await self._fire(schedule, now)
        return went

    async def _fire(self, schedule: Schedule, now: float) -> bool:
        owed = schedule.next_at or now
        due, following = (owed, None) if schedule.rule.at else _latest(schedule, owed, now)
        passed_over = bool(schedule.rule.cron) and now - due > GRACE_S
        if not passed_over:
            receipt = await self._accept(due_message(schedule, due, now))
            if receipt.state == "refused":
                return False  # the queue is full: it stays due, and is looked at again
        else:
            log.info("a schedule's time was passed over: missed for too long", schedule=schedule.id)
        moved = replace(schedule, next_at=following, last_at=None if passed_over else due)
        await self._store.moved(replace(moved, state="active" if following is not None else "ended"), was=owed)
        return not passed_over


def _latest(schedule: Schedule, owed: float, now: float) -> tuple[float, float | None]:
    """The newest time up to *now*, which stands for all that were missed, and the one after it."""
    due = owed
    try:
        for _ in range(_MISSED_AT_MOST):
            following = next_time(schedule.rule, due)
            if following is None or following > now:
                return due, following
            due = following
        return due, next_time(schedule.rule, now)
    except BadRequest:
        return due, None  # its zone is gone from the zone database: it ends with this time


def due_message(schedule: Schedule, due: float, now: float) -> Incoming:
    """What the inbox gets: a message of the owner's, in the conversation that the schedule was asked in."""
    late = ""
    if now - due > LATE_S:
        local = datetime.fromtimestamp(due, zone_of(schedule.rule.zone))
        late = f" (due {local:%Y-%m-%d %H:%M}, late)"
    address = {name: value for name, value in schedule.origin.address.items() if name not in _OF_ONE_QUESTION}
    name = f"schedule:{schedule.id}:{int(due)}"
    return replace(
        schedule.origin,
        message_id=name,
        event_id=name,
        text=schedule.words + late,
        received_at=now,
        action="remind" if schedule.kind == "reminder" else "ask",
        options={},
        meant=None,
        reply_to="",
        address=address,
    )


_OF_ONE_QUESTION = frozenset({"question", "interaction", "target", "on_own"})
"""What an adapter noted of the message that asked for the schedule, and what is not true of its times."""
