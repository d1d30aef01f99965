"""Small choices: of users (model, persona) and of adapters (notes)."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from core.domain.incoming import UserKey
from core.ports.storage import Preferences
from core.storage.engine import Database
from core.storage.prepared import Prepared
from core.storage.schema import notes, preferences, who
from core.storage.statements import upsert

_CHOOSE = upsert(preferences, ("platform", "workspace", "user"), ("model", "persona"))
_CHOSEN = Prepared(
    select(preferences.c.model, preferences.c.persona).where(
        *(preferences.c[name] == bindparam(name) for name in ("platform", "workspace", "user"))
    )
)
_NOTE = upsert(notes, ("key",), ("value",))


class SqlPreferences:
    """Implements `PreferenceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user: UserKey) -> Preferences:
        def work(c: Connection) -> Preferences:
            row = _CHOSEN.row(c, who(user))
            return Preferences() if row is None else Preferences(*row)

        return await self._database.glance(work)

    async def set(self, user: UserKey, preferences: Preferences) -> None:
        row = {**who(user), "model": preferences.model, "persona": preferences.persona}

        def work(c: Connection) -> None:
            c.execute(_CHOOSE, row)

        await self._database.write(work)


class SqlNotes:
    """Implements `NoteStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: str) -> str | None:
        return await self._database.read(lambda c: c.execute(select(notes.c.value).where(notes.c.key == key)).scalar())

    async def set(self, key: str, value: str) -> None:
        def work(c: Connection) -> None:
            c.execute(_NOTE, {"key": key, "value": value})

        await self._database.write(work)
