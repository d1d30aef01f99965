"""Bytes that cannot be fetched again: files named by the hash of their content, their owners in the database."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, delete, exists, func, select

from core.base.clock import Clock
from core.domain.errors import TooLarge, Unreadable
from core.domain.incoming import UserKey
from core.storage.engine import Database
from core.storage.failures import translated
from core.storage.schema import blob_owners, blobs, is_who, who
from core.storage.statements import insert_or_ignore, upsert

PREFIX = "blob:"
_HASH = re.compile(r"[0-9a-f]{64}")
_SAVE = upsert(blobs, ("hash",), ("mime", "used_at"))
_OWN = insert_or_ignore(blob_owners)


@dataclass(frozen=True, slots=True)
class BlobQuota:
    """How many bytes may lie here, for everybody and for one person."""

    total_bytes: int = 2 * 1024**3
    owner_bytes: int = 256 * 1024**2


class SqlBlobs:
    """Implements `BlobStore`. The file is complete and on disk before its row exists."""

    def __init__(self, database: Database, folder: Path, clock: Clock, quota: BlobQuota) -> None:
        self._database = database
        self.folder = folder
        self._clock = clock
        self._quota = quota
        if folder.exists():
            folder.chmod(0o700)  # other users of the machine get no farther, whatever the rights within

    async def put(self, content: bytes, *, mime: str, owner: UserKey) -> str:
        name = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        await self._database.read(lambda c: self._check_quota(c, name, len(content), owner))
        with translated():
            await asyncio.to_thread(_write, self.path(name), content)
        row = {"hash": name, "mime": mime, "size_bytes": len(content), "used_at": self._clock.now()}

        def work(c: Connection) -> None:
            c.execute(_SAVE, row)
            c.execute(_OWN, {"hash": name, **who(owner)})

        await self._database.write(work)
        return PREFIX + name

    async def get(self, ref: str) -> bytes:
        """Raises Unreadable when nothing (any more) lies under *ref*."""
        name = ref.removeprefix(PREFIX)
        # The name becomes part of a path, so nothing but a hash passes.
        if not _HASH.fullmatch(name):
            raise Unreadable("the file", "that is no reference to a stored file")
        with translated():
            try:
                return await asyncio.to_thread(self.path(name).read_bytes)
            except FileNotFoundError:
                raise Unreadable("the file", "it is no longer stored") from None

    async def owned(self, ref: str, owner: UserKey) -> bool:
        name = ref.removeprefix(PREFIX)
        mine = select(exists().where(blob_owners.c.hash == name, is_who(blob_owners, owner)))
        return bool(await self._database.read(lambda c: c.execute(mine).scalar()))

    def path(self, name: str) -> Path:
        return self.folder / name[:2] / name

    def _check_quota(self, c: Connection, name: str, size_bytes: int, owner: UserKey) -> None:
        if c.execute(select(exists().where(blob_owners.c.hash == name, is_who(blob_owners, owner)))).scalar():
            return
        total = c.execute(select(func.coalesce(func.sum(blobs.c.size_bytes), 0))).scalar_one()
        mine = c.execute(
            select(func.coalesce(func.sum(blobs.c.size_bytes), 0))
            .join(blob_owners, blob_owners.c.hash == blobs.c.hash)
            .where(is_who(blob_owners, owner))
        ).scalar_one()
        if mine + size_bytes > self._quota.owner_bytes:
            raise TooLarge("everything you have sent together", limit=self._quota.owner_bytes, unit="bytes")
        if total + size_bytes > self._quota.total_bytes:
            raise TooLarge("everything stored here together", limit=self._quota.total_bytes, unit="bytes")

    def remove_files(self, names: Iterable[str]) -> None:
        """After their rows went. Raises StorageError."""
        with translated():
            for name in names:
                self.path(name).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write through to the disk under another name, then rename: a crash leaves the whole file or none."""
    if path.exists():
        return
    path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a power cut takes the name away again
        finally:
            os.close(folder)
    finally:
        unfinished.unlink(missing_ok=True)


def disown(c: Connection, user: UserKey, names: Iterable[str] | None = None) -> tuple[int, list[str]]:
    """Take *user* off the owners of *names* (of everything: None). Returns how many there were, and which blobs
    nobody owns now: their rows are gone, their files are the caller's to remove after the commit."""
    mine = select(blob_owners.c.hash).where(is_who(blob_owners, user))
    owned = list(c.execute(mine).scalars())
    if names is not None:
        wanted = set(names)
        owned = [name for name in owned if name in wanted]
    orphans = []
    for name in owned:
        c.execute(delete(blob_owners).where(blob_owners.c.hash == name, is_who(blob_owners, user)))
        if not c.execute(select(exists().where(blob_owners.c.hash == name))).scalar():
            c.execute(delete(blobs).where(blobs.c.hash == name))
            orphans.append(name)
    return len(owned), orphans


def drop_unused(c: Connection, before: float) -> list[str]:
    """Remove the rows of blobs last handed in before *before*; returns their names."""
    names = list(c.execute(select(blobs.c.hash).where(blobs.c.used_at < before)).scalars())
    for name in names:
        c.execute(delete(blobs).where(blobs.c.hash == name))
        c.execute(delete(blob_owners).where(blob_owners.c.hash == name))
    return names
