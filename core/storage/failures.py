"""SQLite's error codes -> our errors, once, at the border."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from core.domain.errors import BadRequest, StorageBusy, StorageCorrupt, StorageError, StorageFull

_PRIMARY = 0xFF
# Extended codes carry the primary one in their low byte: https://www.sqlite.org/rescode.html (read 2026-11-23).

_BY_CODE: dict[int, tuple[type[StorageError], str]] = {
    sqlite3.SQLITE_BUSY: (StorageBusy, "the database is locked by another process"),
    sqlite3.SQLITE_LOCKED: (StorageBusy, "the database is locked"),
    sqlite3.SQLITE_FULL: (StorageFull, "the disk with the database is full"),
    sqlite3.SQLITE_READONLY: (StorageFull, "the database is read-only; check the rights of its file and folder"),
    sqlite3.SQLITE_CANTOPEN: (
        StorageFull,
        "the database cannot be opened; check that its folder exists and is writable",
    ),
    sqlite3.SQLITE_PERM: (StorageFull, "the database may not be written; check the rights of its file and folder"),
    sqlite3.SQLITE_IOERR: (StorageFull, "the disk with the database does not read or write"),
    sqlite3.SQLITE_CORRUPT: (StorageCorrupt, "the database file is damaged"),
    sqlite3.SQLITE_NOTADB: (StorageCorrupt, "the database file is not a database"),
}

_OF_THE_CONNECTION = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}
)


def as_ours(error: Exception) -> Exception:
    """What a database's or a disk's own error means for us; any other error as it is. Holds no row's content."""
    match error:
        case DBAPIError():
            return _by_code(error.orig)
        case sqlite3.Error():
            return _by_code(error)
        case OSError():
            return StorageFull(f"the disk does not take it: {error.strerror}")
        case UnicodeEncodeError():
            return BadRequest("it holds characters that are no valid Unicode")
        case _:
            return error


def may_outlast_its_cause(error: Exception) -> bool:
    """Whether the connection that raised *error* may go on raising it when all is well again: one that was opened while
    the disk was read-only stays read-only for as long as it lives."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlite_errorcode", 0) & _PRIMARY in _OF_THE_CONNECTION


def _by_code(error: BaseException | None) -> StorageError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (known := _BY_CODE.get(code & _PRIMARY)):
        kind, sentence = known
        return kind(sentence)
    return StorageError(f"the database failed: {type(error).__name__}: {error}")


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever the database or the disk raises into our own errors."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError, UnicodeEncodeError) as error:
        raise as_ours(error) from error
