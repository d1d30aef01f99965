"""The open database: one writer, a few readers, each unit of work one hop to a thread.

SQLAlchemy's asyncio layer over aiosqlite hops once per statement (measured: about 130 microseconds each); a unit of
work here is a plain function of a synchronous connection and hops once as a whole.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from core.errors import StorageError
from core.storage import sqlite
from core.storage.failures import translated
from core.storage.writer import GroupWriter

T = TypeVar("T")

_READERS = 3
"""Threads that read. SQLite releases the interpreter lock only inside its own steps, so more would not help."""


class Database:
    """Opened and closed by `core/storage/opening.py`; the stores are handed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_engine = sqlite.open_engine(path, writer=True)
        self._read_engine = sqlite.open_engine(path, writer=False)
        self._writer = GroupWriter(self._write_engine)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="tern-reader")
        self._closed = False
        self._writer.start()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `GroupWriter.write`: *work* touches nothing but the database and is on disk when this returns."""
        return await self._writer.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work* on one consistent snapshot, beside the writer. Raises StorageError."""
        if self._closed:
            raise StorageError("the database is closed already")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def outside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work* on the writer's driver connection, in no transaction."""
        return await self._writer.outside(work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with translated(), self._read_engine.connect() as connection:
            return work(connection)

    def close(self) -> None:
        """Let queued work end, then let go of the file. Blocks meanwhile; safe to repeat."""
        self._closed = True
        self._writer.close()
        self._readers.shutdown()
        self._read_engine.dispose()
        self._write_engine.dispose()
