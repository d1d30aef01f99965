"""Implements core/ports/workspaces.py: installations with sealed tokens, workspaces' settings, names of people."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from core.base.clock import Clock
from core.ports.workspaces import Installation
from core.storage.encryption import Seals
from core.storage.engine import Database
from core.storage.schema import installations, oauth_states, people, workspaces
from core.storage.statements import upsert

_PLAIN = ("app", "bot_user", "bot", "scopes", "installed_by", "installed_at", "name")
_SAVE = upsert(
    installations, ("enterprise", "team"), ("token", "refresh_token", "expires_at", "renewing_until", *_PLAIN)
)
_SET = upsert(workspaces, ("platform", "workspace"), ("settings",))
_KEEP = upsert(people, ("platform", "workspace", "user"), ("at", "what"))

_RENEWED_WITHIN_S = 30.0
"""Whoever renews a token and dies leaves the turn to the next one after this."""
_LOOK_EVERY_S = 0.5


class SqlInstallations:
    """Implements `Installations`."""

    def __init__(self, database: Database, seals: Seals, clock: Clock) -> None:
        self._database = database
        self._seals = seals
        self._clock = clock

    async def save(self, installation: Installation) -> None:
        row = self._row(installation)

        def work(c: Connection) -> None:
            c.execute(_SAVE, row)

        await self._database.write(work)

    async def find(self, key: str) -> Installation | None:
        row = await self._database.read(lambda c: c.execute(select(installations).where(_is(key))).one_or_none())
        return self._installation(row) if row else None

    async def all(self) -> Sequence[Installation]:
        query = select(installations).order_by(installations.c.installed_at)
        rows = await self._database.read(lambda c: c.execute(query).all())
        return [found for row in rows if (found := self._installation(row))]

    async def renewed(
        self, key: str, due: Callable[[Installation], bool], renew: Callable[[Installation], Awaitable[Installation]]
    ) -> Installation | None:
        while (current := await self.find(key)) and due(current):
            if await self._take_turn(key):
                # Once more: it may have been renewed between the look and the turn.
                current = await self.find(key)
                try:
                    if current and due(current):
                        current = await renew(current)
                        await self.save(current)
                        return current
                finally:
                    await self._end_turn(key)
            else:
                await self._clock.sleep(_LOOK_EVERY_S)
        return current

    async def _take_turn(self, key: str) -> bool:
        now, at = self._clock.now(), installations.c
        free = or_(
            at.renewing_until.is_(None), at.renewing_until < now, at.renewing_until > now + 2 * _RENEWED_WITHIN_S
        )
        mine = update(installations).where(_is(key), free).values(renewing_until=now + _RENEWED_WITHIN_S)
        return await self._database.write(lambda c: c.execute(mine).rowcount == 1)

    async def _end_turn(self, key: str) -> None:
        def work(c: Connection) -> None:
            c.execute(update(installations).where(_is(key)).values(renewing_until=None))

        await asyncio.shield(self._database.write(work))

    async def remove(self, key: str) -> bool:
        return await self._database.write(lambda c: c.execute(delete(installations).where(_is(key))).rowcount > 0)

    async def new_state(self, expires_at: float) -> str:
        state, now = secrets.token_urlsafe(32), self._clock.now()

        def work(c: Connection) -> None:
            c.execute(delete(oauth_states).where(oauth_states.c.expires_at < now))
            c.execute(oauth_states.insert(), {"digest": _digest(state), "expires_at": expires_at})

        await self._database.write(work)
        return state

    async def take_state(self, state: str) -> bool:
        at, now = oauth_states.c, self._clock.now()
        ours = delete(oauth_states).where(at.digest == _digest(state), at.expires_at >= now)
        return await self._database.write(lambda c: c.execute(ours).rowcount == 1)

    def _row(self, one: Installation) -> dict[str, Any]:
        return {
            "enterprise": one.enterprise,
            "team": one.team,
            "token": self._seals.seal(one.token),
            "refresh_token": self._seals.seal(one.refresh_token) if one.refresh_token else None,
            "expires_at": one.expires_at,
            "renewing_until": None,
            **{name: getattr(one, name) for name in _PLAIN},
        }

    def _installation(self, row: Any) -> Installation | None:
        """None where the tokens were sealed under a key that is no longer listed: it has to be installed again."""
        token = self._seals.open(row.token)
        if token is None:
            return None
        refresh = self._seals.open(row.refresh_token) if row.refresh_token else ""
        plain = {name: getattr(row, name) for name in _PLAIN}
        return Installation(row.enterprise, row.team, token, refresh or "", row.expires_at, **plain)


def _is(key: str) -> Any:
    enterprise, _, team = key.partition(":")
    return (installations.c.enterprise == enterprise) & (installations.c.team == team)


def _digest(state: str) -> str:
    """What is stored is of no use to whoever reads the database."""
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()


class SqlWorkspaceSettings:
    """Implements `WorkspaceSettings`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, platform: str, workspace: str) -> Mapping[str, str]:
        at = workspaces.c
        query = select(at.settings).where(at.platform == platform, at.workspace == workspace)
        kept = await self._database.read(lambda c: c.execute(query).scalar())
        return {str(name): str(value) for name, value in json.loads(kept).items()} if kept else {}

    async def set(self, platform: str, workspace: str, settings: Mapping[str, str]) -> None:
        row = {"platform": platform, "workspace": workspace, "settings": json.dumps(dict(settings))}

        def work(c: Connection) -> None:
            c.execute(_SET, row)

        await self._database.write(work)


class SqlPeople:
    """Implements `PeopleStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, platform: str, workspace: str, since: float) -> Mapping[str, tuple[float, str]]:
        at = people.c
        query = select(at.user, at.at, at.what).where(
            at.platform == platform, at.workspace == workspace, at.at >= since
        )
        rows = await self._database.read(lambda c: c.execute(query).all())
        return {row.user: (row.at, row.what) for row in rows}

    async def keep(self, platform: str, workspace: str, user: str, at: float, what: str) -> None:
        row = {"platform": platform, "workspace": workspace, "user": user, "at": at, "what": what}

        def work(c: Connection) -> None:
            c.execute(_KEEP, row)

        await self._database.write(work)
