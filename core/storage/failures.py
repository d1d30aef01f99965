"""SQLite's error codes and PostgreSQL's SQLSTATEs -> our errors, once, at the border."""

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

_BY_SQLSTATE: dict[str, tuple[type[StorageError], str]] = {
    "53100": (StorageFull, "the disk of the database server is full"),
    "53": (StorageBusy, "the database server has no room for more work; look at its max_connections and memory"),
    "57014": (StorageBusy, "the database took too long"),
    "57": (StorageBusy, "the database server is starting or stopping"),
    "55P03": (StorageBusy, "the database is locked"),
    "25006": (StorageFull, "the database server takes no writes; name the primary in DATABASE_URL"),
    "40": (StorageBusy, "the database is busy"),
    "28": (StorageError, "the database server refuses the user or password in DATABASE_URL"),
    "3D000": (StorageError, "the database that DATABASE_URL names does not exist; make it with createdb"),
    "42501": (StorageError, "the user in DATABASE_URL may not make or use the tables; make it the database's owner"),
}
"""By the code's beginning, the longest first: https://www.postgresql.org/docs/15/errcodes-appendix.html, 2026-12-01."""

_OF_THE_CONNECTION = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR}
)


def as_ours(error: Exception) -> Exception:
    """What a database's or a disk's own error means for us; any other error as it is. Holds no row's content."""
    match error:
        case DBAPIError():
            return _by_code(error.orig)
        case StorageError():
            return error
        case sqlite3.Error():
            return _by_code(error)
        case _ if _sqlstate(error) is not None:
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


def may_be_tried_again(error: BaseException | None) -> bool:
    """Whether a unit of work lost a race and would win or see the other's work now."""
    return _sqlstate(error) in ("40001", "40P01", "23505")


def is_lost_connection(error: BaseException | None) -> bool:
    """Whether the server, or the way to it, went away."""
    state = _sqlstate(error) or ""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (
        state.startswith(("08", "57P"))
        or isinstance(cause, ConnectionError)
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
    )


def _sqlstate(error: BaseException | None) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None)


def _by_code(error: BaseException | None) -> StorageError:
    if is_lost_connection(error):
        return StorageBusy("the database server cannot be reached just now")
    if (state := _sqlstate(error)) is not None:
        # The message of a server may repeat what was stored, so only its code is told.
        for prefix, (kind, sentence) in _BY_SQLSTATE.items():
            if state.startswith(prefix):
                return kind(sentence)
        return StorageError(f"the database failed: {type(error).__name__} {state}")
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
    except Exception as error:
        ours = as_ours(error)
        if ours is error:
            raise
        raise ours from error
