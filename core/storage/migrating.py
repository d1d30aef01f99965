"""Bringing the tables up to date."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from core.domain.errors import StorageTooNew
from core.storage import schema


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
