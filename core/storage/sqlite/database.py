"""The open database: one writer, a few readers, each unit of work one hop to a thread (see carrier.py)."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from core.base.clock import Clock
from core.domain.errors import StorageCorrupt, StorageError
from core.storage.failures import may_outlast_its_cause, translated
from core.storage.migrating import migrate
from core.storage.sqlite import dialect
from core.storage.sqlite.carrier import Carrier
from core.storage.sqlite.recovery import salvage
from core.storage.sqlite.writer import GroupWriter

T = TypeVar("T")

log: Any = structlog.get_logger(__name__)

_READERS = 3
"""Threads that read. SQLite releases the interpreter lock only inside its own steps, so more would not help."""


class SqliteDatabase:
    """Implements `Database`. Opened and closed by `core/storage/opening.py`; the stores are handed it.

    Damage that shows while it runs is handled here: the file is set aside, a new one with what could be read takes its
    place, and the unit of work that met the damage runs again there.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.set_aside: Path | None = None
        """Where the newest damaged predecessor lies, None where there was none."""
        self._clock = clock
        self._carrier = Carrier(path, writer=True)
        self._writer = GroupWriter(self._carrier)
        self._readers = tuple(Carrier(path, writer=False) for _ in range(_READERS))
        self._near_engine = dialect.engine_on(partial(dialect.connect, path, writer=False, busy_s=0.0), writer=False)
        self._near: Connection | None = None
        """The loop's own connection, for `glance`."""
        self._near_is_stale = False
        """As `Carrier.is_stale`."""
        self._closed = False
        self._remedies = 0
        """How often damage was met and something was done about it."""

    async def open(self) -> None:
        """Set a damaged file aside, connect, bring the tables up to date. Raises StorageError."""
        self.replace_if_damaged()
        with translated():
            dialect.keep_private(self.path)
            for carrier in (self._carrier, *self._readers):
                await carrier
        await self.write(migrate)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `GroupWriter.write`: *work* touches nothing but the database and is on disk when this returns."""
        self._require_open()
        return await self._in_spite_of_damage(lambda: self._writer.write(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work* on one consistent snapshot, beside the writer. Raises StorageError."""
        self._require_open()
        return await self._in_spite_of_damage(lambda: self._read(work))

    async def glance(self, work: Callable[[Connection], T]) -> T:
        """As `read`, for one prepared statement that an index answers within microseconds: here on the loop's thread,
        where it costs a tenth of what a hop to another thread does. A file that is busy or damaged is left to `read`.

        Weakness: a page that is in no cache is fetched from the disk while everybody waits.
        """
        self._require_open()
        try:
            with translated():
                return work(self._near_connection())
        except StorageError:
            self._near_is_stale = True
            return await self.read(work)

    def _require_open(self) -> None:
        if self._closed:
            raise StorageError("the database is closed already")

    def _near_connection(self) -> Connection:
        if self._near_is_stale:
            self._near_is_stale = False
            self._let_go_of_near()
        if self._near is None:
            self._near = self._near_engine.connect()
        return self._near

    def _let_go_of_near(self) -> None:
        near, self._near = self._near, None
        if near is not None:
            near.invalidate()  # else the pool would hand it out again
            near.close()

    async def wipe(self) -> bool:
        return await self.outside(dialect.wipe)

    def now(self) -> float:
        """One machine, one clock."""
        return self._clock.now()

    async def agree_on_time(self) -> None:
        return

    async def outside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* on the writer's driver connection, in no transaction."""
        self._require_open()
        return await self._in_spite_of_damage(lambda: self._writer.between(lambda: self._on_driver(work)))

    async def _in_spite_of_damage(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again in a new file when *attempt* runs into damage that a check finds, then also when none does."""
        for without_check in (False, True):
            seen = self._remedies
            try:
                return await attempt()
            except StorageCorrupt:
                await self._writer.between(partial(self._remedy, seen, without_check))
        return await attempt()

    def _on_driver(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._carrier.engine.raw_connection()
        try:
            driver: Any = connection.driver_connection
            return work(driver)
        finally:
            connection.close()

    async def _read(self, work: Callable[[Connection], T]) -> T:
        reader = min(self._readers, key=lambda one: one.waiting)

        def one_snapshot() -> T:
            reader.renew()
            with translated(), reader.engine.connect() as connection:
                try:
                    return work(connection)
                except DBAPIError as error:
                    if may_outlast_its_cause(error):
                        connection.invalidate()
                    raise

        return await reader.carry(one_snapshot)

    def _remedy(self, seen: int, without_check: bool) -> None:
        """On the writer's thread. Many meet the same damage; the first one's remedy is everybody's.

        Another process may have replaced the file already: then the first remedy drops the old connections, no more.
        A check neither reads indexes nor reaches the end of a large file, hence the second.
        """
        if seen != self._remedies:
            return
        self._remedies += 1
        self._carrier.engine.dispose()
        for reader in self._readers:
            reader.is_stale = True
        self.replace_if_damaged(without_check=without_check)
        self._near_is_stale = True

    def replace_if_damaged(self, *, without_check: bool = False) -> None:
        """Set a damaged file aside and put a new one in its place, with every row that can still be read.

        Raises StorageError.
        """
        with translated():
            if not without_check and dialect.is_sound(self.path):
                return
            fresh, saved = _rescued(self.path)
            aside = self.set_aside = dialect.set_aside(self.path, self._clock.now())
            fresh.rename(self.path)
        log.error(
            "the database was damaged: set aside, going on with a new one", set_aside=str(aside), rows_saved=saved
        )

    async def close(self) -> None:
        """Let everything handed over end, then let go of the file. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        if self._carrier.is_open:
            await self._writer.close()
        for carrier in (*self._readers, self._carrier):  # the last connection takes the write-ahead log along
            await carrier.close()
        self._let_go_of_near()
        self._near_engine.dispose()


def _rescued(damaged: Path) -> tuple[Path, int]:
    """A new database beside *damaged* with what can be read of it: complete before it takes its place, so that whoever
    reads meanwhile meets no half of it. Returns its path and how many rows were saved."""
    fresh = damaged.with_name(f"{damaged.name}.new")
    for left_over in dialect.companions(fresh):
        left_over.unlink(missing_ok=True)
    dialect.keep_private(fresh)
    engine = dialect.engine_on(partial(dialect.connect, fresh, writer=True), writer=True)
    try:
        with engine.begin() as connection:
            migrate(connection)
            with dialect.whole_pages(damaged):
                return fresh, salvage(damaged, connection)
    finally:
        engine.dispose()  # the last connection takes the write-ahead log along
