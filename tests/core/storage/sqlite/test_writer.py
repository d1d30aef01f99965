"""Writes share a commit, and nobody suffers for a neighbour."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from core.base.clock import SystemClock
from core.domain.errors import StorageBusy, StorageError, StorageFull
from core.storage.opening import open_database
from core.storage.prepared import Prepared
from core.storage.sqlite.database import SqliteDatabase
from core.storage.sqlite.writer import GroupWriter


@pytest.fixture
async def database(folder: Path):
    opened = await open_database(folder / "tern.db", SystemClock())
    yield opened
    await opened.close()


def note(key: str, value: str = "x"):
    def work(c: Connection) -> str:
        c.execute(text("INSERT INTO notes (key, value) VALUES (:key, :value)"), {"key": key, "value": value})
        return key

    return work


async def count(database: SqliteDatabase) -> int:
    return await database.read(lambda c: c.execute(text("SELECT count(*) FROM notes")).scalar_one())


async def test_what_waits_together_is_committed_together(database: SqliteDatabase) -> None:
    """64 writes at once take far fewer commits than 64, and each caller gets its own result."""
    commits = []
    event.listen(database._carrier.engine, "commit", lambda _: commits.append(1))

    results = await asyncio.gather(*(database.write(note(str(number))) for number in range(64)))

    assert results == [str(number) for number in range(64)]
    assert await count(database) == 64
    assert len(commits) < 16


async def test_failing_write_harms_no_neighbour(database: SqliteDatabase) -> None:
    """In a group one unit may fail: it alone gets its error and leaves nothing, the others are committed."""

    def fails(c: Connection) -> None:
        note("half")(c)
        raise LookupError("mine")

    results = await asyncio.gather(
        database.write(note("a")), database.write(fails), database.write(note("b")), return_exceptions=True
    )

    assert [type(result) for result in results] == [str, LookupError, str]
    assert await count(database) == 2


async def test_connection_that_cannot_write_is_not_used_again(folder: Path) -> None:
    """One that was opened while the disk was read-only stays read-only for as long as it lives."""
    opened = await open_database(folder / "tern.db", SystemClock())
    connector = opened._carrier._connector

    def read_only() -> sqlite3.Connection:
        opened._carrier._connector = connector
        return sqlite3.connect(f"file:{folder}/tern.db?mode=ro", uri=True, check_same_thread=False)

    opened._carrier._connector = read_only
    await opened._writer.between(opened._carrier.engine.dispose)
    try:
        with pytest.raises(StorageFull, match="read-only"):
            await opened.write(note("lost"))

        await opened.write(note("kept"))

        assert await count(opened) == 1
    finally:
        await opened.close()


async def test_lock_of_another_process_is_waited_for_once(
    database: SqliteDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many writes that wait together are told together: their patience does not add up."""
    tries = []
    connected = GroupWriter._connected
    monkeypatch.setattr(GroupWriter, "_connected", lambda writer: (tries.append(1), connected(writer))[1])
    await database.outside(lambda c: c.execute("PRAGMA busy_timeout = 20"))
    other = sqlite3.connect(folder / "tern.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    told = await asyncio.gather(*(database.write(note(str(number))) for number in range(50)), return_exceptions=True)
    other.execute("ROLLBACK")
    other.close()

    assert {type(one) for one in told} == {StorageBusy}
    assert len(tries) <= 3
    assert await database.write(note("after")) == "after"


async def test_constraint_is_a_storage_error(database: SqliteDatabase) -> None:
    """What the database refuses reaches the caller as one of our errors, without SQL classes."""
    await database.write(note("a"))

    with pytest.raises(StorageError):
        await database.write(note("a"))


async def test_cancelled_caller_leaves_the_writer_well(database: SqliteDatabase) -> None:
    """A caller that goes away does not disturb the next."""
    task = asyncio.create_task(database.write(note("a")))
    await asyncio.sleep(0)
    task.cancel()

    await database.write(note("b"))

    assert await count(database) == 2


async def test_closed_database_says_so(database: SqliteDatabase) -> None:
    """After closing, writes and reads are refused with a StorageError."""
    await database.close()

    with pytest.raises(StorageError):
        await database.write(note("a"))
    with pytest.raises(StorageError):
        await database.read(lambda c: None)
    with pytest.raises(StorageError):
        await database.glance(lambda c: None)


async def test_queued_writes_are_done_before_closing(database: SqliteDatabase, folder: Path) -> None:
    """Closing waits for what was handed over before."""
    tasks = [asyncio.create_task(database.write(note(str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*tasks)

    again = await open_database(folder / "tern.db", SystemClock())
    assert await count(again) == 20
    await again.close()


async def test_unit_that_runs_again_begins_anew(database: SqliteDatabase) -> None:
    """When a neighbour fails after it, a unit runs a second time, in a transaction that knows nothing of the first."""
    runs = []
    gate = threading.Event()

    def counted(c: Connection) -> None:
        runs.append(1)
        note("a")(c)

    def fails(c: Connection) -> None:
        raise LookupError("mine")

    held = asyncio.create_task(database.write(lambda c: gate.wait() and None))
    await asyncio.sleep(0)
    both = asyncio.gather(database.write(counted), database.write(fails), return_exceptions=True)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(held, both)

    assert len(runs) == 2
    assert await count(database) == 1


async def test_glance_sees_what_was_just_written(database: SqliteDatabase) -> None:
    """A read on the loop's thread finds every commit before it, though its connection stays open."""
    select = Prepared(text("SELECT count(*) FROM notes"))

    before = await database.glance(lambda c: select.value(c, {}))
    await database.write(note("a"))

    assert (before, await database.glance(lambda c: select.value(c, {}))) == (0, 1)


async def test_glance_that_cannot_be_had_at_once_becomes_a_read(database: SqliteDatabase) -> None:
    """A file in somebody's hands is waited for in another thread, not on the loop's."""
    threads = []

    def work(c: Connection) -> str:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise StorageBusy("locked")
        return "found"

    assert await database.glance(work) == "found"
    assert threads[0] is threading.main_thread() is not threads[1]


async def test_reader_cannot_write(database: SqliteDatabase) -> None:
    """The read pool refuses writes: a unit handed to the wrong side is found at once."""
    with pytest.raises(StorageError):
        await database.read(note("a"))


async def test_unit_is_carried_whole(database: SqliteDatabase) -> None:
    """What we rest on in aiosqlite, though it is protected there: its thread takes any plain callable, gives back what
    that returns and raises what that raises."""
    threads: list[threading.Thread] = []

    def fails() -> None:
        raise LookupError("mine")

    assert await database._carrier.carry(lambda: (threads.append(threading.current_thread()), "done")[1]) == "done"
    with pytest.raises(LookupError, match="mine"):
        await database._carrier.carry(fails)

    assert threads == [database._carrier._thread]


async def test_carrier_ends_with_its_process(database: SqliteDatabase) -> None:
    """A process that ends without closing its database is not kept by the threads."""
    assert all(carrier._thread.daemon for carrier in (database._carrier, *database._readers))
