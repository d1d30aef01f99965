"""The API keys that have a name. What is stored is a key's hash; the key itself is shown once, where it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, insert, select

from core.domain.api_keys import ApiKey
from core.storage.engine import Database
from core.storage.schema import api_keys


class SqlApiKeys:
    """Implements `ApiKeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[ApiKey]:
        def work(c: Connection) -> list[ApiKey]:
            return [ApiKey(**row) for row in c.execute(select(api_keys).order_by(api_keys.c.name)).mappings()]

        return await self._database.read(work)

    async def put(self, key: ApiKey) -> None:
        def work(c: Connection) -> None:
            c.execute(delete(api_keys).where(api_keys.c.name == key.name))
            c.execute(insert(api_keys), asdict(key))

        await self._database.write(work)

    async def revoke(self, name: str) -> bool:
        statement = delete(api_keys).where(api_keys.c.name == name)
        return await self._database.write(lambda c: bool(c.execute(statement).rowcount))
