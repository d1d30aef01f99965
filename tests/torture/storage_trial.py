"""A whole house over a disk that fills up, is locked or breaks while people write.

`python -m tests.torture.storage_trial`. Each trouble begins among questions, outlasts what Slack repeats, and ends;
then everybody has an answer. Where the system lets us mount one, the full disk is a real one of a few megabytes.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.domain.errors import StorageBusy, StorageError, StorageFull
from core.storage.sqlite import dialect
from core.wording import not_stored_yet
from tests.core.storage.rows import reconnect
from tests.torture.hurry import HurriedLoop, counted_writer
from tests.torture.invariants import Evidence, broken
from tests.torture.people import Asker, Question
from tests.torture.plan import CALM, Plan
from tests.torture.trial import CONFIG, crowd_of, quiet
from tests.torture.world import House, Trial, open_house, open_worlds

PEOPLE = 12
LASTS_S = 1_000.0
"""Slack gives up after 360 s (facts/slack.md 1.10)."""

Undo = Callable[[], Awaitable[None]]
Trouble = Callable[[House], Awaitable[Undo]]


async def limited(house: House) -> Undo:
    """No file may grow: what a full disk is to a process, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    return _later(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)))


async def full(house: House) -> Undo:
    """Every free block of the disk is taken."""
    filler = house.folder / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(handle, b"x" * 4_096):
            pass
    except OSError:
        os.close(handle)
    return _later(filler.unlink)


async def read_only(house: House) -> Undo:
    """The folder can be written no more, and connections are opened anew on it: a remount after an error."""
    folder = str(house.folder)
    _mount("--bind", folder, folder)
    _mount("-o", "remount,bind,ro", folder)
    await reconnect(house.app.storage)
    return _later(lambda: subprocess.run(["umount", "--lazy", folder], check=True))


async def locked(house: House) -> Undo:
    """Another process holds the write lock."""
    other = sqlite3.connect(house.folder / "tern.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return _later(other.close)


async def search_index_broken(house: House) -> Undo:
    """No check finds it; every answer that is stored meets it."""
    broken_index = "UPDATE turns_words_data SET block = x'ffffffffffff'"
    await house.app.storage._database.outside(lambda c: c.execute(broken_index))
    return _later(lambda: None)


async def page_broken(house: House) -> Undo:
    """The root page of an index is overwritten under the running house."""

    def spoil(c: sqlite3.Connection) -> None:
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_runs_1'").fetchone()
        with (house.folder / "tern.db").open("r+b") as file:
            file.seek((page - 1) * 4_096)
            file.write(b"\xff" * 4_096)

    await house.app.storage._database.outside(spoil)
    await reconnect(house.app.storage)
    return _later(lambda: None)


def _later(undo: Callable[[], object]) -> Undo:
    async def undone() -> None:
        undo()

    return undone


TROUBLES: dict[str, Trouble] = {
    "no file may grow": limited,
    "disk full": full,
    "disk read-only": read_only,
    "locked by another process": locked,
    "search index broken": search_index_broken,
    "page of an index broken": page_broken,
}
NEED_A_DISK = {"disk full", "disk read-only"}


def run_storage_trial(name: str, *, seed: int = 3, lasts_s: float = LASTS_S) -> list[str] | None:
    """Every broken promise, one line each; None where the system lets us mount no disk."""
    patience, dialect.BUSY_S = dialect.BUSY_S, 0.002
    try:
        with counted_writer(), a_disk(needed=name in NEED_A_DISK) as folder:
            if folder is None:
                return None
            with asyncio.Runner(loop_factory=HurriedLoop) as runner:
                return runner.run(_trial(TROUBLES[name], seed, lasts_s, folder))
    finally:
        dialect.BUSY_S = patience


async def _trial(trouble: Trouble, seed: int, lasts_s: float, folder: Path) -> list[str]:
    plan = Plan(seed, CALM)
    async with open_worlds(plan) as worlds:
        trial = Trial(plan, worlds, folder)
        askers = crowd_of(plan, worlds, PEOPLE)
        questions: list[Question] = []
        async with open_house(trial, CONFIG, level="info") as house:
            await _ask(askers, questions, 18)
            undo = await trouble(house)
            await _ask(askers, questions, 6)
            await asyncio.sleep(lasts_s)
            await undo()
            await asyncio.sleep(60)
            await _ask(askers, questions, 6)
            await worlds.slack.deliveries.idle()
            await quiet(house)
        found = broken(Evidence(trial, house, questions))
    # A sentence to the asker is no answer, so it belongs to no reply.
    sentences = [not_stored_yet(kind(""))[:40] for kind in (StorageBusy, StorageFull, StorageError)]
    return [line for line in found if not any(sentence in line for sentence in sentences)]


async def _ask(askers: list[Asker], questions: list[Question], count: int) -> None:
    for _ in range(count):
        questions.append(await askers[len(questions) % PEOPLE].ask(len(questions)))
        await asyncio.sleep(0.4)


@contextmanager
def a_disk(*, needed: bool) -> Iterator[Path | None]:
    """A folder; with *needed* on a disk of its own, None where the system lets us mount none."""
    with tempfile.TemporaryDirectory() as folder:
        if not needed:
            yield Path(folder)
            return
        try:
            _mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", folder)
        except (OSError, subprocess.CalledProcessError):
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*how: str) -> None:
    subprocess.run(["mount", *how], check=True, capture_output=True)


def main() -> int:
    good = True
    for name in TROUBLES:
        found = run_storage_trial(name)
        if found is None:
            print(f"{name}: left out, no disk can be mounted here", flush=True)
            continue
        good &= not found
        print(f"{name}, for {LASTS_S:.0f} s: 30 questions, broken promises: {len(found)}", flush=True)
        for line in found:
            print(f"    BROKEN {line}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
