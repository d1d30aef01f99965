"""The small stores of core/ports/, in memory, keeping their promises."""

from __future__ import annotations

from dataclasses import dataclass

from core.base.clock import Clock
from core.domain.errors import StorageError
from core.domain.incoming import UserKey
from core.domain.requests import Usage
from core.ports.storage import Spent


@dataclass(frozen=True, slots=True)
class UsageRow:
    user: UserKey
    channel_key: str
    model: str
    usage: Usage
    at: float


class MemoryUsage:
    """A UsageStore. `broken` is raised instead of every answer."""

    def __init__(self) -> None:
        self.rows: dict[str, UsageRow] = {}
        self.reads = 0
        self.broken: StorageError | None = None

    async def add(self, request_id: str, user: UserKey, channel_key: str, model: str, usage: Usage, at: float) -> None:
        if self.broken is not None:
            raise self.broken
        self.rows[request_id] = UsageRow(user, channel_key, model, usage, at)

    async def spent(self, since: float, *, user: UserKey | None = None, workspace: str | None = None) -> Spent:
        if self.broken is not None:
            raise self.broken
        self.reads += 1
        rows = [
            row
            for row in self.rows.values()
            if row.at >= since
            and (user is None or row.user == user)
            and (workspace is None or f"{row.user.platform}:{row.user.workspace}" == workspace)
        ]
        tokens = sum(row.usage.prompt_tokens + row.usage.output_tokens for row in rows)
        return Spent(len(rows), tokens, sum(row.usage.cost_usd for row in rows))

    async def by_model(self, since: float, user: UserKey) -> list[tuple[str, Spent]]:
        models = sorted({row.model for row in self.rows.values() if row.user == user and row.at >= since})
        return [(model, Spent()) for model in models]


class MemoryCache:
    """A CacheStore: rows expire by the clock, and name their contributors."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.rows: dict[str, tuple[bytes, float, frozenset[UserKey]]] = {}
        self.broken: StorageError | None = None

    async def get(self, key: str) -> bytes | None:
        if self.broken is not None:
            raise self.broken
        value, expires_at, _ = self.rows.get(key, (None, 0.0, frozenset()))
        return value if expires_at > self._clock.now() else None

    async def put(self, key: str, value: bytes, *, expires_at: float, contributors: frozenset[UserKey]) -> None:
        if self.broken is not None:
            raise self.broken
        self.rows[key] = (value, expires_at, contributors)


class MemoryNotes:
    """Small things by name."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str) -> None:
        self.kept[key] = value
