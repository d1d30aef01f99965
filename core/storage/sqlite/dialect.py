"""Everything that only SQLite understands: how it is opened, searched, checked, copied and wiped.

A server database would bring a file like this one; the other files speak plain SQLAlchemy Core.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import ColumnElement

from core.domain.errors import StorageBusy, StorageCorrupt
from core.storage import schema

BUSY_S = 5.0
"""How long a statement waits for another process's write before it gives up with StorageBusy."""

_HEAD_BYTES = 100

_PADDED_AT_MOST = 1_000
"""A head that says more is damaged itself."""

CHECK_S = 5.0
"""How long the check at start may take; a database too large for it is opened unchecked."""

_PROGRESS_STEPS = 100_000
"""Virtual machine instructions between two looks at the clock while checking: some milliseconds."""


def connect(path: Path, *, writer: bool, busy_s: float | None = None) -> sqlite3.Connection:
    """A connection whose statements wait *busy_s* for another process. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_S if busy_s is None else busy_s,
        isolation_level=None,  # we say BEGIN ourselves
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL makes every commit wait for the disk: "accepted" has to survive a power cut, and NORMAL would lose the
    # newest commits then. Group commit shares the wait (https://www.sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -4096")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    if not writer:
        connection.execute("PRAGMA query_only = ON")
    return connection


def engine_on(connecting: Callable[[], sqlite3.Connection], *, writer: bool) -> Engine:
    """An engine over the one connection that *connecting* makes, made anew when the engine closed it.

    The writer's transactions take the write lock at once (BEGIN IMMEDIATE): a transaction that began reading and then
    wants to write can only fail when another process wrote in between.
    """
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connecting,
        poolclass=StaticPool,
        pool_reset_on_return="rollback",
        query_cache_size=500,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # On the driver itself: through Core this one word costs as much as SQLite's part of accepting a message.
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


# --- full-text search ----------------------------------------------------------------------------------------------

SEARCH_DDL = (
    "CREATE VIRTUAL TABLE turns_words USING fts5("
    "words, content='turns', content_rowid='id', tokenize='unicode61 remove_diacritics 2')",
    "CREATE TRIGGER turns_words_in AFTER INSERT ON turns BEGIN "
    "INSERT INTO turns_words(rowid, words) VALUES (new.id, new.words); END",
    "CREATE TRIGGER turns_words_out AFTER DELETE ON turns BEGIN "
    "INSERT INTO turns_words(turns_words, rowid, words) VALUES ('delete', old.id, old.words); END",
)
"""Turns are never updated, so there is no third trigger."""


def matches(words: Sequence[str]) -> ColumnElement[bool]:
    """See `searching.matches`. Each word is quoted, so that nothing in it is read as FTS5's own query language."""
    query = " ".join('"' + word.replace('"', '""') + '"' for word in words) + "*"
    found = select(text("rowid")).select_from(text("turns_words")).where(text("turns_words MATCH :words"))
    return schema.turns.c.id.in_(found.params(words=query).scalar_subquery())


# --- care ----------------------------------------------------------------------------------------------------------


def is_sound(path: Path, *, within_s: float = CHECK_S) -> bool:
    """Whether SQLite finds the file whole. True as well when the check takes longer than *within_s*.

    Raises sqlite3.Error for anything but damage (locked, no right to read).
    """
    if not path.exists() or path.stat().st_size == 0:
        return True
    connection = sqlite3.connect(path, timeout=BUSY_S)
    give_up_at = time.monotonic() + within_s  # a bound on processor time, no date: the handed-in clock has no say here
    connection.set_progress_handler(lambda: time.monotonic() > give_up_at, _PROGRESS_STEPS)
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        match error.sqlite_errorcode & 0xFF:
            case sqlite3.SQLITE_INTERRUPT:
                return True
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return False
            case _:
                raise
    finally:
        connection.close()


def set_aside(path: Path, at: float) -> Path:
    """Rename a damaged database, with what belongs to it, and return its new name. Raises OSError.

    Args:
        at: The date for the name, epoch seconds.
    """
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for old, new in zip(companions(path), companions(aside), strict=True):
        if old.exists():
            old.rename(new)
    return aside


@contextmanager
def whole_pages(path: Path) -> Iterator[None]:
    """Meanwhile the file is as long as its head says: SQLite reads nothing at all of one that was cut, though every
    page before the cut is whole. The padding is holes and goes again. Raises OSError."""
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    page_bytes, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    whole = pages * (65_536 if page_bytes == 1 else page_bytes)  # https://www.sqlite.org/fileformat2.html 1.3
    cut = len(head) == _HEAD_BYTES and length < whole <= _PADDED_AT_MOST * length
    if cut:
        os.truncate(path, whole)
    try:
        yield
    finally:
        if cut:
            os.truncate(path, length)


def require_sound(path: Path) -> None:
    """Raises StorageCorrupt for a damaged file."""
    if not is_sound(path, within_s=60.0):
        raise StorageCorrupt(f"{path} is damaged")


def require_unused(path: Path) -> None:
    """Raises StorageBusy when another process has the database open.

    Leaving WAL mode takes the file for itself alone, which fails beside any other connection.
    """
    if not is_sound(path):
        return
    connection = sqlite3.connect(path, timeout=0.2)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        raise StorageBusy(f"{path} is in use; stop the bot first") from error
    finally:
        connection.close()


def wipe(connection: sqlite3.Connection) -> bool:
    """After rows were deleted: make their content vanish from the search index and from the write-ahead log.

    secure_delete has overwritten the rows in the file itself. Returns False when a reader still held an old snapshot,
    so that the log could not be emptied; ask again then.
    """
    connection.execute("INSERT INTO turns_words(turns_words) VALUES ('optimize')")
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def copy(source: Path, target: Path) -> None:
    """A consistent copy of a database that is in use (SQLite's backup API), written beside *target* and renamed."""
    unfinished = target.with_name(target.name + ".part")
    unfinished.unlink(missing_ok=True)
    try:
        keep_private(unfinished)
        reading, writing = sqlite3.connect(source, timeout=BUSY_S), sqlite3.connect(unfinished)
        try:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")
        finally:
            writing.close()
            reading.close()
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def keep_private(path: Path) -> None:
    """See to it that no other user of the machine can read the database, made here where it is not there yet. SQLite
    gives the two files beside it the same rights. Raises OSError."""
    if not path.exists():
        path.touch(mode=0o600)
    for file in companions(path):
        if file.exists() and (mode := file.stat().st_mode) & 0o077:
            file.chmod(mode & 0o700)


def companions(path: Path) -> tuple[Path, ...]:
    """The database's file and the two that SQLite keeps beside it."""
    return (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))
