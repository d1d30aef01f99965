"""The open server: a pool of asyncpg's connections, units of work retried where that is safe, the server's time.

PostgreSQL shares commits by itself, and groups of two processes would deadlock, so each unit is a transaction of its
own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import asyncpg
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.base.clock import Clock
from core.domain.errors import StorageBusy, StorageError
from core.storage.failures import is_lost_connection, may_be_tried_again, translated
from core.storage.migrating import migrate
from core.storage.postgres.server import require_fit

T = TypeVar("T")

log: Any = structlog.get_logger(__name__)

_CONNECTIONS = 8
_CONNECT_S = 5.0
_STATEMENT_S = 30.0
_TRIES = 4
_MIGRATING = 0x7465726E
"""The advisory lock under which one of several processes that start at once migrates ("tern")."""


class PostgresDatabase:
    """Implements `Database`. Opened and closed by `core/storage/opening.py`."""

    path = None
    set_aside = None

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self._clock = clock
        self._ahead_s = 0.0
        """How far the server's clock is ahead of ours."""
        self._closed = False
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_recycle=1_800,
            pool_timeout=_STATEMENT_S,
        )
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._single = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def open(self) -> None:
        """Look whether the server is fit, bring the tables up to date, agree on the time."""
        await self.read(require_fit)
        await self.write(_migrate_alone)
        await self.agree_on_time()

    async def _connect(self) -> Any:
        try:
            return await asyncpg.connect(
                self.url,  # asyncpg reads it as libpq does: sslmode, host=/folder, passfile
                timeout=_CONNECT_S,
                command_timeout=_STATEMENT_S,
                server_settings={"application_name": "tern", "jit": "off"},
            )
        except (OSError, TimeoutError) as error:  # of the way there; what the server says has a code of its own
            raise StorageBusy("the database server cannot be reached; see DATABASE_URL") from error

    async def write(self, work: Callable[[Connection], T]) -> T:
        """A unit that lost a race (deadlock, serialization, a key that another inserted) or whose connection was gone
        before it began to commit runs again. A connection that is cut *while* it commits is StorageBusy: whoever is
        told so tries again, and what was committed after all is a duplicate then."""
        return await self._tried(self._engine, work, commits=True)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._tried(self._snapshots, work, commits=False)

    async def glance(self, work: Callable[[Connection], T]) -> T:
        return await self._tried(self._single, work, commits=False)

    async def _tried(self, engine: AsyncEngine, work: Callable[[Connection], T], *, commits: bool) -> T:
        if self._closed:
            raise StorageError("the database is closed already")
        for attempt in range(1, _TRIES + 1):
            committing = False
            try:
                with translated():
                    async with engine.connect() as connection:
                        await connection.begin()  # what runs on the driver's own cursor begins nothing by itself
                        result = await connection.run_sync(work)
                        committing = commits
                        await _end(connection, commit=commits)
                    return result
            except StorageError as error:
                cause = error.__cause__
                again = may_be_tried_again(cause) or (is_lost_connection(cause) and not committing)
                if not again or attempt == _TRIES:
                    raise
                log.debug("a unit of work is tried again", attempt=attempt, why=type(cause).__name__)
        raise StorageBusy("the database is busy")

    async def wipe(self) -> bool:
        """Rows are gone from every query at once; from its pages PostgreSQL takes them with the next vacuum, and from
        its log and backups with their owner's retention."""
        return True

    def now(self) -> float:
        return self._clock.now() + self._ahead_s

    async def agree_on_time(self) -> None:
        asked_at = self._clock.now()
        server = await self.glance(lambda c: c.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar())
        self._ahead_s = float(server or 0) - (asked_at + self._clock.now()) / 2

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._engine.dispose()


async def _end(connection: AsyncConnection, *, commit: bool) -> None:
    await (connection.commit() if commit else connection.rollback())


def _migrate_alone(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
    migrate(connection)
