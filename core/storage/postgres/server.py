"""What is asked of a server before it is used, each with a sentence that says what to do."""

from __future__ import annotations

from sqlalchemy import Connection, text

from core.domain.errors import StorageError

OLDEST = 14


def require_fit(connection: Connection) -> None:
    """Raises StorageError for a server that is too old, reads only, or keeps no Unicode."""
    version = connection.execute(text("SHOW server_version_num")).scalar_one()
    if int(version) < OLDEST * 10_000:
        raise StorageError(f"PostgreSQL {int(version) // 10_000} is too old; {OLDEST} or newer is needed")
    if connection.execute(text("SELECT pg_is_in_recovery()")).scalar():
        raise StorageError("the PostgreSQL server is a standby and takes no writes; name the primary in DATABASE_URL")
    if (encoding := connection.execute(text("SHOW server_encoding")).scalar()) != "UTF8":
        raise StorageError(f"the database has the encoding {encoding}; make one with ENCODING 'UTF8'")
