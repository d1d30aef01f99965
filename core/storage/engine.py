"""What the stores need of a database, whichever it is: units of work are plain functions of a SQLAlchemy connection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


class Database(Protocol):
    """One SQLite file (`sqlite/database.py`) or a PostgreSQL server (`postgres/database.py`); every method raises
    StorageError.

    A unit of work may run twice (its neighbour failed, a deadlock was broken), so it touches nothing but the database.
    With PostgreSQL it runs on the loop, each statement awaited: it must neither block nor decode thousands of rows.
    """

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in a transaction; durable when this returns."""
        ...

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work* on one consistent snapshot."""
        ...

    async def glance(self, work: Callable[[Connection], T]) -> T:
        """As `read`, for one prepared statement that an index answers at once."""
        ...

    async def wipe(self) -> bool:
        """After rows were deleted: make their content vanish from wherever this engine keeps copies of its own. False:
        something still holds on to them; ask again."""
        ...

    def now(self) -> float:
        """The time that all who share this database agree on, epoch seconds: what leases are reckoned in."""
        ...

    async def agree_on_time(self) -> None:
        """Look again how far this machine's clock is from that time."""
        ...

    async def close(self) -> None:
        """Let everything handed over end. Safe to repeat."""
        ...

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        ...

    @property
    def set_aside(self) -> Path | None:
        """Where the newest damaged predecessor lies; None where there was none."""
        ...
