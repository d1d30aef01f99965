"""Files beside the database that nobody claims."""

from __future__ import annotations

import os
from pathlib import Path

from core.storage import Storage
from tests.core.front_desk import ANN
from tests.fakes.clock import FakeClock


async def test_stray_files_are_swept(storage: Storage, folder: Path, clock: FakeClock) -> None:
    """A blob whose row was lost, and a damaged database nobody came for, go after their time; young ones stay."""
    kept = await storage.blobs.put(b"kept", mime="", owner=ANN)
    old, young = storage.blobs.folder / "aa" / ("a" * 64), storage.blobs.folder / "bb" / ("b" * 64)
    damaged = folder / "tern.db.damaged-20200101T000000Z"
    for path in (old, young, damaged):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    for path, age_s in ((old, 7_200), (young, 60), (damaged, 40 * 86_400)):
        os.utime(path, (clock.now() - age_s, clock.now() - age_s))

    await storage.sweep()

    assert [path.exists() for path in (old, young, damaged)] == [False, True, False]
    assert await storage.blobs.get(kept) == b"kept"
