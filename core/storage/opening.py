"""From an address to an open, sound, up-to-date database, or a sentence why not."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from core.base.clock import Clock
from core.domain.errors import SettingsError
from core.storage.engine import Database
from core.storage.failures import translated
from core.storage.sqlite.database import SqliteDatabase


def database_path(url: str, data_dir: Path) -> Path:
    """The file that DATABASE_URL names; `tern.db` in *data_dir* where it is empty.

    Raises SettingsError for another kind of database.
    """
    if not url:
        return data_dir / "tern.db"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(["DATABASE_URL is not an address; try sqlite:///data/tern.db"]) from None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise SettingsError(["DATABASE_URL must name an SQLite file, for example sqlite:///data/tern.db"])
    return Path(parsed.database)


async def open_database(path: Path, clock: Clock) -> SqliteDatabase:
    """Open *path*, made and migrated as needed; a damaged file is set aside first (`Database.set_aside`).

    Raises StorageError; StorageTooNew when a newer Tern wrote it. Blocks the loop while a large file is checked, for
    `sqlite.CHECK_S` at most: it belongs to the start, before anything is served.
    """
    with translated():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = SqliteDatabase(path, clock)
    try:
        await database.open()
    except BaseException:
        await database.close()
        raise
    return database


def is_server(url: str) -> bool:
    """Whether DATABASE_URL names a PostgreSQL server."""
    return url.startswith(("postgresql://", "postgres://"))


async def open_server(url: str, clock: Clock, secret_key: bytes) -> Database:
    """Connect to the server that *url* names, its tables made and migrated as needed.

    Raises StorageError; SettingsError without SECRET_KEY: a key in the data folder is no key of the other processes.
    """
    if not secret_key:
        raise SettingsError(
            ["SECRET_KEY must be set with a PostgreSQL DATABASE_URL: every process that shares it needs the same one"]
        )
    from core.storage.postgres.database import PostgresDatabase  # its driver costs a SQLite start 13 MB

    database = PostgresDatabase(url, clock)
    try:
        await database.open()
    except BaseException:
        await database.close()
        raise
    return database
