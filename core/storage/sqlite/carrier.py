"""aiosqlite's connection, carrying whole units of work.

aiosqlite hops to its thread once per statement, and a hop costs fifty times what a statement does; a unit of work here
is a plain function that hops once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite
from sqlalchemy import Engine

from core.storage.sqlite import dialect

T = TypeVar("T")

_ROWS_AT_ONCE = 64
"""aiosqlite's own default; nothing here iterates over its cursors."""


class Carrier(aiosqlite.Connection):
    """One connection with its thread. Open it by awaiting it, end it with `close`, which lets what was handed over end.

    `engine` makes SQLAlchemy's connections of it; they belong to the thread.
    """

    def __init__(self, path: Path, *, writer: bool) -> None:
        super().__init__(partial(dialect.connect, path, writer=writer), _ROWS_AT_ONCE)
        # A process that ends without closing (an error at start) must not wait for it for ever.
        self._thread.daemon = True
        self._thread.name = "tern-writer" if writer else "tern-reader"
        self._lent = False
        self.is_stale = False
        """Another file may have taken the place of the one it is connected to; see `renew`."""
        self.waiting = 0
        """Units handed over and not done."""
        self.engine: Engine = dialect.engine_on(self._lend, writer=writer)

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def carry(self, work: Callable[[], T]) -> T:
        """Run *work* on the thread, after all that was handed over before. Raises what it raises.

        `_execute` is protected: aiosqlite has no public way to hand over a function (0.22), and its own docstring is
        the promise that one may. SQLAlchemy's dialect leans on its neighbours.
        """
        self.waiting += 1
        try:
            done: T = await self._execute(work)  # type: ignore[no-untyped-call]  # its internals carry no types
            return done
        finally:
            self.waiting -= 1

    def renew(self) -> None:
        """On the thread, between two units: let go of a connection to a file that was replaced."""
        if self.is_stale:
            self.is_stale = False
            self.engine.dispose()

    def _lend(self) -> sqlite3.Connection:
        """On the thread, for the engine: the connection, opened anew where the engine closed the former one."""
        if self._lent:
            self._connection = self._connector()
        self._lent = True
        return self._conn
