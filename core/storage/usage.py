"""What was spent: one row per request, and sums per UTC day, person and model that outlive the rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    union_all,
    update,
)

from core.domain.incoming import UserKey
from core.domain.requests import Usage
from core.ports.storage import Spent
from core.storage.encryption import Seals
from core.storage.engine import Database
from core.storage.prepared import Prepared, columns
from core.storage.schema import is_who, usage, usage_days, user_of, who
from core.storage.statements import add_up, insert_or_ignore

DAY_S = 86_400

_DAY_KEY, _SUMS = ("day", "platform", "workspace", "user", "model"), ("requests", "tokens", "cost_usd")
_ADD_TO_DAY = Prepared(add_up(usage_days, _DAY_KEY, _SUMS).values(columns(*_DAY_KEY, *_SUMS)))
_ADD = Prepared(insert_or_ignore(usage).values(columns(*usage.c.keys())))
_SAVE = update(usage).where(usage.c.request_id == bindparam("same_id"))

_day = usage_days.c
_is_theirs = and_(
    _day.platform == bindparam("platform"),
    _day.workspace == bindparam("workspace"),
    or_(_day.user == bindparam("user"), _day.user == bindparam("before")),
)
_sums = [_day[name] for name in _SUMS]
_days = union_all(
    # Apart, so that each is a search in the primary key: "from today on" alone would look at everybody's rows.
    select(*_sums).where(_day.day == bindparam("day"), _is_theirs),
    select(*_sums).where(_day.day > bindparam("day"), _is_theirs),
).subquery()
_SPENT_BY = Prepared(select(*(func.coalesce(func.sum(_days.c[name]), 0) for name in _SUMS)))

_FIGURES = ("prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "audio_s", "cost_usd")


def day_of(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


class SqlUsage:
    """Implements `UsageStore`."""

    def __init__(self, database: Database, seals: Seals) -> None:
        self._database = database
        self._seals = seals

    async def add(self, request_id: str, user: UserKey, channel_key: str, model: str, usage: Usage, at: float) -> None:
        row = {
            "request_id": request_id,
            **who(user),
            "place": channel_key,
            "model": model,
            "at": at,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_s": usage.audio_s,
            "cost_usd": usage.cost_usd,
            "estimated": int(usage.estimated),
        }
        await self._database.write(lambda c: _add(c, row))

    async def spent(self, since: float, *, user: UserKey | None = None, workspace: str | None = None) -> Spent:
        """Cheap when *since* is a UTC midnight: sums only. Otherwise the rest of that day is added up row by row."""
        if user and since % DAY_S == 0:  # asked before every answer
            theirs = {**who(user), "before": self._seals.nobody(user), "day": day_of(since)}
            return await self._database.glance(lambda c: _spent_by(c, theirs))
        return await self._database.read(lambda c: _spent(c, since, lambda table: self._scope(table, user, workspace)))

    async def by_model(self, since: float, user: UserKey) -> Sequence[tuple[str, Spent]]:
        """Dearest first."""

        def work(c: Connection) -> list[tuple[str, Spent]]:
            names = c.execute(select(usage_days.c.model).where(is_who(usage_days, user)).distinct()).scalars().all()
            sums = [
                (name, _spent(c, since, lambda table, name=name: and_(is_who(table, user), table.c.model == name)))
                for name in names
            ]
            return sorted((one for one in sums if one[1].requests), key=lambda one: -one[1].cost_usd)

        return await self._database.read(work)

    def _scope(self, table: FromClause, user: UserKey | None, workspace: str | None) -> ColumnElement[bool] | None:
        if user:
            # What somebody spent before `forget` still counts against today's limit, under an opaque name.
            before = UserKey(user.platform, user.workspace, self._seals.nobody(user))
            return or_(is_who(table, user), is_who(table, before))
        if workspace is not None:
            platform, _, name = workspace.partition(":")
            return and_(table.c.platform == platform, table.c.workspace == name)
        return None


def _add(c: Connection, row: dict[str, Any]) -> None:
    """Write the request's row, or add a later try to it, and keep the day's sums true."""
    if not _ADD.count(c, row):
        former = c.execute(select(usage).where(usage.c.request_id == row["request_id"])).one()
        _ADD_TO_DAY.count(c, _share(former._mapping, sign=-1))
        if former.at != row["at"]:  # equal: the same try, written again because nobody knew whether it was
            figures = {name: former._mapping[name] + row[name] for name in _FIGURES}
            row = {**row, **figures, "estimated": row["estimated"] | former.estimated}
        c.execute(_SAVE.values(row), {"same_id": row["request_id"]})
    _ADD_TO_DAY.count(c, _share(row, sign=1))


def _share(row: Any, *, sign: int) -> dict[str, Any]:
    """What a row adds to its day's sums, or takes away."""
    return {
        "day": day_of(row["at"]),
        **{name: row[name] for name in ("platform", "workspace", "user", "model")},
        "requests": sign,
        "tokens": sign * (row["prompt_tokens"] + row["output_tokens"]),
        "cost_usd": sign * row["cost_usd"],
    }


def _spent_by(c: Connection, theirs: dict[str, str]) -> Spent:
    requests, tokens, cost_usd = _SPENT_BY.row(c, theirs) or (0, 0, 0.0)
    return Spent(int(requests), int(tokens), float(cost_usd))


def _spent(c: Connection, since: float, scope: Any) -> Spent:
    midnight = since - since % DAY_S
    days: Any = select(func.sum(usage_days.c.requests), func.sum(usage_days.c.tokens), func.sum(usage_days.c.cost_usd))
    if since == midnight:
        return _sum(c, days.where(usage_days.c.day >= day_of(since)), scope(usage_days))
    rest: Any = select(
        func.count(), func.sum(usage.c.prompt_tokens + usage.c.output_tokens), func.sum(usage.c.cost_usd)
    ).where(usage.c.at >= since, usage.c.at < midnight + DAY_S)
    later = _sum(c, days.where(usage_days.c.day > day_of(since)), scope(usage_days))
    first = _sum(c, rest, scope(usage))
    return Spent(
        first.requests + later.requests, first.tokens + later.tokens, round(first.cost_usd + later.cost_usd, 12)
    )


def _sum(c: Connection, query: Any, scope: ColumnElement[bool] | None) -> Spent:
    row = c.execute(query if scope is None else query.where(scope)).one()
    return Spent(int(row[0] or 0), int(row[1] or 0), float(row[2] or 0))


def forget_spending(c: Connection, user: UserKey, seals: Seals, now: float) -> int:
    """Remove a person's spending, but let that of today and yesterday count on under an opaque name, so that
    forgetting is no way round a daily limit and the bot's own daily total stays true."""
    gone = c.execute(delete(usage).where(is_who(usage, user))).rowcount
    rows = c.execute(select(usage_days).where(is_who(usage_days, user))).all()
    c.execute(delete(usage_days).where(is_who(usage_days, user)))
    keep_from = day_of(now - DAY_S)
    for row in rows:
        if row.day >= keep_from:
            someone = UserKey(user.platform, user.workspace, seals.nobody(user_of(row)))
            figures = {"requests": row.requests, "tokens": row.tokens, "cost_usd": row.cost_usd}
            _ADD_TO_DAY.count(c, {"day": row.day, **who(someone), "model": "", **figures})
    return gone + len(rows)
