"""Responses of the API that may be read again and gone on from (`/v1/responses` with `store`)."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from core.base.clock import Clock
from core.domain.incoming import UserKey
from core.storage.engine import Database
from core.storage.schema import is_who, responses, who


class SqlResponses:
    """Implements `ResponseStore`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def save(self, response_id: str, user: UserKey, body: bytes) -> None:
        row = {"id": response_id, **who(user), "at": self._clock.now(), "body": body}
        await self._database.write(lambda c: c.execute(insert(responses), row) and None)

    async def load(self, response_id: str, user: UserKey) -> bytes | None:
        found = select(responses.c.body).where(responses.c.id == response_id, is_who(responses, user))

        def work(c: Connection) -> bytes | None:
            return c.execute(found).scalar()

        return await self._database.read(work)

    async def delete(self, response_id: str, user: UserKey) -> bool:
        statement = delete(responses).where(responses.c.id == response_id, is_who(responses, user))
        return await self._database.write(lambda c: bool(c.execute(statement).rowcount))
