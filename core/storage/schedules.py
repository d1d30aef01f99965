"""What is to happen at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from core.domain.incoming import Incoming, UserKey
from core.domain.schedules import Rule, Schedule
from core.ports.storage import ScheduleStore
from core.storage.codec import decode_incoming, storable
from core.storage.engine import Database
from core.storage.schema import is_who, schedules, who
from core.storage.statements import upsert

_CHANGING = ("state", "next_at", "last_at")
_PUT = upsert(schedules, ("id",), _CHANGING)


class SqlSchedules:
    """Implements `ScheduleStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, schedule: Schedule) -> None:
        origin, body = storable(schedule.origin)
        at = origin.conversation
        row = {
            **who(origin.user),
            "id": schedule.id,
            "at_workspace": at.workspace,
            "at_channel": at.channel,
            "message_id": origin.message_id,
            "kind": schedule.kind,
            "words": schedule.words,
            "zone": schedule.rule.zone,
            "at": schedule.rule.at,
            "cron": schedule.rule.cron,
            "state": schedule.state,
            "next_at": schedule.next_at,
            "created_at": schedule.created_at,
            "last_at": schedule.last_at,
            "body": body,
        }

        def work(c: Connection) -> None:
            c.execute(_PUT, row)

        await self._database.write(work)

    async def moved(self, schedule: Schedule, *, was: float) -> None:
        here = schedules.c
        values: dict[str, Any] = {"state": schedule.state, "next_at": schedule.next_at}
        if schedule.last_at is not None:
            values["last_at"] = schedule.last_at

        def work(c: Connection) -> None:
            still = and_(here.id == schedule.id, here.state == "active", here.next_at == was)
            c.execute(update(schedules).where(still).values(values))

        await self._database.write(work)

    async def due(self, now: float, *, limit: int) -> Sequence[Schedule]:
        here = schedules.c
        query = select(schedules).where(here.state == "active", here.next_at <= now)
        query = query.order_by(here.next_at, here.id).limit(limit)
        return await self._database.read(lambda c: [_schedule(row) for row in c.execute(query)])

    async def of_person(self, user: UserKey) -> Sequence[Schedule]:
        here = schedules.c
        query = select(schedules).where(is_who(schedules, user), here.state.in_(("active", "paused")))
        query = query.order_by(here.created_at, here.id)
        return await self._database.read(lambda c: [_schedule(row) for row in c.execute(query)])

    async def proposed(self, incoming: Incoming) -> Schedule | None:
        here, at = schedules.c, incoming.conversation
        query = select(schedules).where(
            is_who(schedules, incoming.user),
            here.at_workspace == at.workspace,
            here.at_channel == at.channel,
            here.message_id == incoming.message_id,
            here.state == "proposed",
        )
        query = query.order_by(here.created_at.desc(), here.id).limit(1)
        row = await self._database.read(lambda c: c.execute(query).one_or_none())
        return None if row is None else _schedule(row)

    async def remove(self, schedule_id: str) -> None:
        def work(c: Connection) -> None:
            c.execute(delete(schedules).where(schedules.c.id == schedule_id))

        await self._database.write(work)


_schedules: type[ScheduleStore] = SqlSchedules


def _schedule(row: Any) -> Schedule:
    rule = Rule(row.zone, row.at, row.cron)
    origin = decode_incoming(row.body)
    return Schedule(row.id, origin, row.kind, row.words, rule, row.state, row.next_at, row.created_at, row.last_at)
