"""The open database: one writer, a few readers, each unit of work one hop to a thread.

SQLAlchemy's asyncio layer over aiosqlite hops once per statement; a unit of work here is a plain function of a
synchronous connection and hops once as a whole.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from core.clock import Clock
from core.errors import StorageCorrupt, StorageError
from core.storage import sqlite
from core.storage.failures import translated
from core.storage.migrating import migrate
from core.storage.writer import GroupWriter

T = TypeVar("T")

log: Any = structlog.get_logger(__name__)

_READERS = 3
"""Threads that read. SQLite releases the interpreter lock only inside its own steps, so more would not help."""


class Database:
    """Opened and closed by `core/storage/opening.py`; the stores are handed it.

    Damage that shows while it runs is handled here: the file is set aside, a new one takes its place, and the unit of
    work that met it runs again there.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.set_aside: Path | None = None
        """Where the newest damaged predecessor lies, None where there was none."""
        self._clock = clock
        self._write_engine = sqlite.open_engine(path, writer=True)
        self._read_engine = sqlite.open_engine(path, writer=False)
        self._writer = GroupWriter(self._write_engine)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="tern-reader")
        self._closed = False
        self._writer.start()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `GroupWriter.write`: *work* touches nothing but the database and is on disk when this returns."""
        try:
            return await self._writer.write(work)
        except StorageCorrupt:
            await self._writer.between(self.start_anew_if_damaged)
            return await self._writer.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work* on one consistent snapshot, beside the writer. Raises StorageError."""
        if self._closed:
            raise StorageError("the database is closed already")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers, self._read, work)
        except StorageCorrupt:
            await self._writer.between(self.start_anew_if_damaged)
            return await loop.run_in_executor(self._readers, self._read, work)

    async def outside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* on the writer's driver connection, in no transaction."""
        return await self._writer.between(lambda: self._on_driver(work))

    def _on_driver(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._write_engine.raw_connection()
        try:
            driver: Any = connection.driver_connection
            return work(driver)
        finally:
            connection.close()

    def _read(self, work: Callable[[Connection], T]) -> T:
        with translated(), self._read_engine.connect() as connection:
            return work(connection)

    def replace_if_damaged(self) -> None:
        """Set a damaged file aside, so that the next connection makes a new one. Raises StorageError."""
        with translated():
            if not sqlite.is_sound(self.path):
                self.set_aside = sqlite.set_aside(self.path, self._clock.now())
                log.error("the database was damaged: set aside, going on with a new one", set_aside=str(self.set_aside))

    def start_anew_if_damaged(self) -> None:
        """On the writer's thread. Another process, or another unit, may have replaced the file already: then only the
        old connections are dropped."""
        self.replace_if_damaged()
        self._read_engine.dispose()
        self._write_engine.dispose()
        with self._write_engine.begin() as connection:
            migrate(connection)

    def close(self) -> None:
        """Let queued work end, then let go of the file. Blocks meanwhile; safe to repeat."""
        self._closed = True
        self._writer.close()
        self._readers.shutdown()
        self._read_engine.dispose()
        self._write_engine.dispose()
