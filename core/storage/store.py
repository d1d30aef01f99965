"""The open storage as one value, and what is done with it as a whole: sweep, back up, restore, close."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from core.base.clock import Clock
from core.domain.errors import StorageError
from core.domain.runs import RunRules
from core.storage.api_keys import SqlApiKeys
from core.storage.archive import SqlArchive
from core.storage.blobs import BlobQuota, SqlBlobs
from core.storage.cache import SqlCache
from core.storage.conversations import SqlConversations
from core.storage.encryption import Seals, load_key
from core.storage.engine import Database
from core.storage.failures import translated
from core.storage.history import SqlHistory
from core.storage.inbox import SqlInbox
from core.storage.installations import SqlInstallations, SqlPeople, SqlWorkspaceSettings
from core.storage.memories import SqlMemories
from core.storage.opening import database_path, is_server, open_database, open_server
from core.storage.preferences import SqlNotes, SqlPreferences
from core.storage.responses import SqlResponses
from core.storage.retention import Retention, Sweeper
from core.storage.schedules import SqlSchedules
from core.storage.sqlite import dialect
from core.storage.suspensions import SqlSuspensions
from core.storage.usage import SqlUsage

SERVER_COPIES = "the database is on a PostgreSQL server: back it up with pg_dump and bring it back with pg_restore"

log: Any = structlog.get_logger(__name__)

_SWEEP_EVERY_S = 3600.0
_FIRST_SWEEP_S = 300.0
BLOBS = "blobs"


class Storage:
    """Every store over one database. Made by `open_storage`; `async with` or `close` ends it."""

    def __init__(
        self,
        database: Database,
        data_dir: Path,
        clock: Clock,
        seals: Seals,
        *,
        owner: str,
        rules: RunRules,
        retention: Retention,
        quota: BlobQuota,
    ) -> None:
        self._database = database
        self._clock = clock
        self.path: Path | None = database.path
        self.blobs = SqlBlobs(database, data_dir / BLOBS, clock, quota)
        self.inbox = SqlInbox(database, seals, clock, owner, rules)
        self.history = SqlHistory(database)
        self.preferences = SqlPreferences(database)
        self.usage = SqlUsage(database, seals)
        self.cache = SqlCache(database, clock)
        self.archive = SqlArchive(database, self.blobs, seals, clock)
        self.notes = SqlNotes(database)
        self.api_keys = SqlApiKeys(database)
        self.responses = SqlResponses(database, clock)
        self.memories = SqlMemories(database, seals, clock)
        self.installations = SqlInstallations(database, seals, clock)
        self.workspace_settings = SqlWorkspaceSettings(database)
        self.people = SqlPeople(database)
        self.schedules = SqlSchedules(database)
        self.suspensions = SqlSuspensions(database, clock)
        self.conversations = SqlConversations(database)
        self._sweeper = Sweeper(database, self.blobs, clock, retention)

    @property
    def set_aside(self) -> Path | None:
        """Where a damaged database was put when a new one took its place; None where that never happened."""
        return self._database.set_aside

    async def check_writable(self) -> None:
        """Commit something. Raises StorageError when that is not possible, for example on a full disk."""
        await self.notes.set("storage.checked_at", str(self._clock.now()))

    async def sweep(self) -> int:
        """Remove what retention no longer keeps; returns how many rows and files went."""
        return await self._sweeper.sweep()

    async def keep_swept(self) -> None:
        """Sweep every hour until cancelled, first after some minutes: a machine's clock may be wrong when it starts. A
        sweep that fails is logged and tried again an hour later."""
        await self._clock.sleep(_FIRST_SWEEP_S)
        while True:
            try:
                gone = await self._sweeper.sweep_if_sure()
            except StorageError as error:
                log.warning("sweeping old data failed", error=str(error))
            else:
                if gone:
                    log.info("old data removed", rows_and_files=gone)
            await self._clock.sleep(_SWEEP_EVERY_S)

    async def backup(self, folder: Path) -> Path:
        """Copy database and blobs into *folder* while everything runs on; returns the folder. Raises StorageError."""
        if self.path is None:
            raise StorageError(SERVER_COPIES)
        await asyncio.to_thread(back_up, self.path, self.blobs.folder, folder)
        return folder

    async def close(self) -> None:
        """Let queued writes end, then let go of the files."""
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def open_storage(
    url: str,
    data_dir: Path,
    clock: Clock,
    secret_key: bytes,
    owner: str,
    *,
    rules: RunRules = RunRules(),
    retention: Retention = Retention(),
    quota: BlobQuota = BlobQuota(),
) -> Storage:
    """Open, make, migrate or replace the database: `async with await open_storage(...) as storage`.

    Args:
        url: DATABASE_URL; "" is `tern.db` in *data_dir*.
        secret_key: SECRET_KEY, older ones after it with blanks between; b"" keeps a key of its own in *data_dir*, which
            does for SQLite only.
        owner: Names this process in leases. Unique among all processes that share the database, also over time.

    Raises:
        StorageError: StorageTooNew when a newer Tern wrote it. A damaged database is no error: it is set aside.
        SettingsError: *url* names neither an SQLite file nor a PostgreSQL server, or no key for one is set.
    """
    newest, *older = secret_key.split() or [b""]
    database: Database
    if is_server(url):
        database = await open_server(url, clock, newest)
    else:
        path = database_path(url, data_dir)
        with translated():
            newest = load_key(data_dir, newest)
        database = await open_database(path, clock)
    seals = Seals(newest, *older)
    return Storage(
        database,
        data_dir,
        clock,
        seals,
        owner=owner,
        rules=rules,
        retention=retention,
        quota=quota,
    )


def back_up(path: Path, blobs: Path, folder: Path) -> None:
    """Copy the database at *path*, in use or not, and then the blobs: those are never changed, only added and removed,
    so every blob that the copied database names is there unless it was removed meanwhile. Raises StorageError.

    Only this user of the machine can read the copy. A backup that is there already is not replaced. The key in
    `secret.key` is not copied: without it a stolen backup gives no capability away.
    """
    if not path.exists():
        raise StorageError(f"there is no database at {path}")
    if (folder / "tern.db").exists():
        raise StorageError(f"{folder} holds a backup already; name another folder, or move that one away")
    with translated():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        dialect.copy(path, folder / "tern.db")
        if blobs.exists():
            shutil.copytree(blobs, folder / BLOBS, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.part"))
            (folder / BLOBS).chmod(0o700)


def restore(folder: Path, url: str, data_dir: Path) -> Path:
    """Put a backup back, beside or over what is there; the former database is kept as `*.before-restore`.

    Nothing else may have the database open: stop the bot first. Returns the database's path.

    Raises:
        StorageError: StorageCorrupt when the backup is damaged, StorageBusy when the database is in use.
    """
    if is_server(url):
        raise StorageError(SERVER_COPIES)
    source, path = folder / "tern.db", database_path(url, data_dir)
    if not source.exists():
        raise StorageError(f"there is no backup in {folder}: {source} is missing")
    with translated():
        dialect.require_sound(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            dialect.require_unused(path)
            former = path.with_name(path.name + ".before-restore")
            for old, new in zip(dialect.companions(path), dialect.companions(former), strict=True):
                new.unlink(missing_ok=True)
                if old.exists():
                    old.rename(new)
        dialect.copy(source, path)
        if (folder / BLOBS).exists():
            shutil.copytree(folder / BLOBS, data_dir / BLOBS, dirs_exist_ok=True)
            (data_dir / BLOBS).chmod(0o700)
    return path
