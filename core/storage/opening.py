"""From an address to an open, sound, up-to-date database, or a sentence why not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from core.clock import Clock
from core.errors import SettingsError, StorageTooNew
from core.storage import schema, sqlite
from core.storage.database import Database
from core.storage.failures import translated

log: Any = structlog.get_logger(__name__)


def database_path(url: str, data_dir: Path) -> Path:
    """The file that DATABASE_URL names; `tern.db` in *data_dir* where it is empty.

    Raises SettingsError for another kind of database: only SQLite is built so far.
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


def set_aside(path: Path, clock: Clock) -> Path:
    """Rename a damaged database, with what belongs to it, and return its new name. Raises OSError."""
    stamp = datetime.fromtimestamp(clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for old, new in zip(sqlite.companions(path), sqlite.companions(aside), strict=True):
        if old.exists():
            old.rename(new)
    return aside


async def open_database(path: Path, clock: Clock) -> tuple[Database, Path | None]:
    """Open *path*, made and migrated as needed. Beside it: where a damaged predecessor was set aside, if there was one.

    Raises StorageError; StorageTooNew when a newer Tern wrote it. Blocks the loop while a large file is checked, for
    `sqlite.CHECK_S` at most: it belongs to the start, before anything is served.
    """
    aside: Path | None = None
    with translated():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not sqlite.is_sound(path):
            aside = set_aside(path, clock)
            log.error("the database was damaged: set aside, going on with a new one", set_aside=str(aside))
    database = Database(path)
    try:
        await database.write(migrate)
    except BaseException:
        database.close()
        raise
    return database, aside


def migrate(connection: Connection) -> None:
    """Bring the tables up to `schema.HEAD`; nothing to do on most starts, and then Alembic is not even imported.

    The write lock is held, so two processes that start at once migrate once.
    """
    version = _version(connection)
    if version == schema.HEAD:
        return
    if version > schema.HEAD:
        raise StorageTooNew(
            f"the database was written by a newer Tern (its form is {version}, this program knows {schema.HEAD}); "
            "install that version, or restore a backup made before the update"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str:
    """The newest migration that was applied, "" on a new file."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")
