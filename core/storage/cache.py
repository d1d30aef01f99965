"""Answers kept for a while, each with the names of everybody whose words shaped it."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from core.base.clock import Clock
from core.domain.incoming import UserKey
from core.storage.engine import Database
from core.storage.schema import cache, cache_contributors, is_who, who
from core.storage.statements import insert_or_ignore, upsert

_SAVE = upsert(cache, ("key",), ("value", "expires_at"))
_NAME = insert_or_ignore(cache_contributors)


class SqlCache:
    """Implements `CacheStore`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, key: str) -> bytes | None:
        query = select(cache.c.value).where(cache.c.key == key, cache.c.expires_at > self._clock.now())
        return await self._database.read(lambda c: c.execute(query).scalar())

    async def put(self, key: str, value: bytes, *, expires_at: float, contributors: frozenset[UserKey]) -> None:
        def work(c: Connection) -> None:
            c.execute(_SAVE, {"key": key, "value": value, "expires_at": expires_at})
            c.execute(delete(cache_contributors).where(cache_contributors.c.key == key))
            if contributors:
                c.execute(_NAME, [{"key": key, **who(user)} for user in contributors])

        await self._database.write(work)


def forget_answers(c: Connection, user: UserKey) -> int:
    """Remove every cached answer that *user*'s words shaped."""
    keys = c.execute(select(cache_contributors.c.key).where(is_who(cache_contributors, user))).scalars().all()
    for key in keys:
        drop_answer(c, key)
    return len(keys)


def drop_expired(c: Connection, now: float) -> int:
    keys = c.execute(select(cache.c.key).where(cache.c.expires_at <= now)).scalars().all()
    for key in keys:
        drop_answer(c, key)
    return len(keys)


def drop_answer(c: Connection, key: str) -> None:
    c.execute(delete(cache).where(cache.c.key == key))
    c.execute(delete(cache_contributors).where(cache_contributors.c.key == key))
