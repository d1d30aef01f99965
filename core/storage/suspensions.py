"""Answers that waits for approval, and the audit of who gave it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from core.base.clock import Clock
from core.domain.errors import StorageUnreadable
from core.domain.incoming import UserKey
from core.domain.requests import Effort, ToolCall
from core.domain.runs import ReplyCapability, Taken
from core.ports.platform import Decision
from core.ports.storage import Suspended
from core.storage import arrivals
from core.storage.arrivals import Arrival
from core.storage.codec import encode, readable, turn_columns, turn_from
from core.storage.encryption import Seals
from core.storage.engine import Database
from core.storage.locks import lock_conversations
from core.storage.schema import audit, messages, runs, suspensions, user_of, who
from core.storage.statements import upsert

_at = suspensions.c


class _Stored(msgspec.Struct):
    tools: list[str]
    turns: list[tuple[str, str, str | None]]
    """Role, words, parts as JSON."""
    calls: list[ToolCall]
    said: str
    rounds: int
    requested_model: str = msgspec.field(name="wish")  # as older versions have stored it
    temperature: float | None
    effort: Effort | None


class SqlSuspensions:
    """Implements `SuspensionStore`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def suspend(self, suspended: Suspended) -> None:
        now = self._clock.now()
        await self._database.write(lambda c: _suspend(c, suspended, now))

    async def begin(self, run_id: str) -> bool:
        agreed = update(suspensions).where(_at.run_id == run_id, _at.state == "confirm").values(state="begun")
        return await self._database.write(lambda c: c.execute(agreed).rowcount > 0)

    async def resume(self, run_id: str) -> Suspended | None:
        return await self._database.read(lambda c: _resume(c, run_id))


def _suspend(c: Connection, suspended: Suspended, now: float) -> None:
    reply_id = c.execute(select(runs.c.reply_id).where(runs.c.run_id == suspended.run_id)).scalar()
    if reply_id is None:
        return  # forgotten while it was asked
    c.execute(update(suspensions).where(_at.reply_id == reply_id, _at.state == "open").values(state="void"))
    columns = [turn_columns(turn) for turn in suspended.turns]
    stored = _Stored(
        list(suspended.tools),
        [(row["role"], row["words"], row["parts"] and row["parts"].decode()) for row in columns],
        list(suspended.calls),
        suspended.said,
        suspended.rounds,
        suspended.requested_model,
        suspended.temperature,
        suspended.effort,
    )
    row = {
        "run_id": suspended.run_id,
        "reply_id": reply_id,
        **who(suspended.asker),
        "state": "open",
        "expires_at": suspended.expires_at,
        "body": encode(stored),
    }
    c.execute(upsert(suspensions, ("run_id",), ("state", "expires_at", "body")).values(row))
    _note(c, suspended.asker, suspended.run_id, "asked", stored, now)


def decide(
    c: Connection,
    seals: Seals,
    decision: Decision,
    by: UserKey,
    capability: ReplyCapability | None,
    arrival: Arrival,
) -> Taken:
    """See `InboxStore.decide`; `arrival` names the reply and the run that goes on."""
    lock_conversations(c, messages.c.reply_id == arrival.reply_id)
    row = c.execute(select(suspensions).where(_at.reply_id == arrival.reply_id, _at.state == "open")).one_or_none()
    if row is None:
        return Taken("unknown")
    newest = select(runs.c.run_id).where(runs.c.reply_id == arrival.reply_id).order_by(runs.c.seq.desc()).limit(1)
    if c.execute(newest).scalar() != row.run_id:  # the question was edited or answered anew meanwhile
        c.execute(update(suspensions).where(_at.run_id == row.run_id).values(state="void"))
        return Taken("unknown")
    try:
        stored = _stored(row)
    except StorageUnreadable:
        c.execute(update(suspensions).where(_at.run_id == row.run_id).values(state="void"))
        return Taken("unknown")
    if row.expires_at <= arrival.now:
        decision = "expired"
    taken = arrivals.repeat(c, seals, arrival.reply_id, decision, capability, arrival)
    if taken.state == "accepted":
        c.execute(update(suspensions).where(_at.run_id == row.run_id).values(state=decision))
        _note(c, by, row.run_id, decision, stored, arrival.now)
    return taken


def overdue(c: Connection, now: float, limit: int) -> list[tuple[str, UserKey]]:
    rows = c.execute(select(suspensions).where(_at.state == "open", _at.expires_at <= now).limit(limit))
    return [(row.reply_id, user_of(row)) for row in rows]


def _resume(c: Connection, run_id: str) -> Suspended | None:
    reply_id = select(runs.c.reply_id).where(runs.c.run_id == run_id).scalar_subquery()
    decided = _at.state.in_(("confirm", "begun", "decline", "expired"))
    row = c.execute(
        select(suspensions).where(_at.reply_id == reply_id, decided).order_by(_at.expires_at.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return None
    stored = _stored(row)
    return Suspended(
        run_id=row.run_id,
        asker=user_of(row),
        tools=tuple(stored.tools),
        turns=tuple(turn_from(role, words, parts.encode() if parts else None) for role, words, parts in stored.turns),
        calls=tuple(stored.calls),
        said=stored.said,
        rounds=stored.rounds,
        expires_at=row.expires_at,
        requested_model=stored.requested_model,
        temperature=stored.temperature,
        effort=stored.effort,
    )


def _stored(row: Any) -> _Stored:
    with readable("question"):
        return _decoder.decode(row.body)


def _note(c: Connection, by: UserKey, run_id: str, action: str, stored: _Stored, now: float) -> None:
    """Who, what, when. Arguments stand there as a hash: they may hold what the asker later wants forgotten."""
    said = "; ".join(
        f"{call.name} sha256:{hashlib.sha256(call.arguments.encode('utf-8', 'replace')).hexdigest()[:16]}"
        for call in stored.calls
    )
    row: dict[str, Any] = {"at": now, **who(by), "run_id": run_id, "action": f"tool {action}", "detail": said}
    c.execute(insert(audit).values(row))


_decoder = msgspec.json.Decoder(_Stored)
