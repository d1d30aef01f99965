"""From an address to a sound database."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from core.base.clock import SystemClock
from core.domain.errors import (
    BadRequest,
    SettingsError,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageTooNew,
)
from core.domain.runs import Settlement
from core.ports.storage import Preferences
from core.storage import Storage, open_storage, restore, schema
from core.storage.failures import as_ours
from core.storage.opening import database_path, open_database
from core.storage.sqlite import dialect
from tests.core.front_desk import ANN, message
from tests.core.storage.rows import accepted, reconnect, said
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/data/tern.db"),
        ("sqlite:///other.db", "other.db"),
        ("sqlite:////abs/other.db", "/abs/other.db"),
        ("sqlite+pysqlite:///other.db", "other.db"),
    ],
)
def test_address_names_a_file(url: str, path: str) -> None:
    """DATABASE_URL names an SQLite file with or without a driver; without it the file lies in the data folder."""
    assert database_path(url, Path("/data")) == Path(path)


@pytest.mark.parametrize("url", ["nonsense", "postgresql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_other_addresses_are_refused_with_advice(url: str) -> None:
    """What cannot be used is told as a setting, with an example."""
    with pytest.raises(SettingsError, match=r"sqlite:///data/tern\.db"):
        database_path(url, Path("/data"))


async def test_migrations_make_the_schema(folder: Path) -> None:
    """The migrations lead to exactly the tables of schema.py."""

    def differences(c: Connection) -> list[Any]:
        context = MigrationContext.configure(c, opts={"include_object": lambda *args: "turns_words" not in args[1]})
        return list(compare_metadata(context, schema.metadata))

    database = await open_database(folder / "tern.db", SystemClock())
    found = await database.read(differences)
    await database.close()

    assert found == []


def test_newest_migration_is_known() -> None:
    """`schema.HEAD` is what Alembic finds, or every start would migrate."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))

    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


async def test_newer_database_is_refused_with_a_sentence(folder: Path, clock: FakeClock) -> None:
    """A database of a later version is left alone."""
    with sqlite3.connect(folder / "tern.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(StorageTooNew, match="newer Tern"):
        await open_storage("", folder, clock, b"key", "me")


@pytest.mark.parametrize("damage", ["no database at all, but text" * 100, "\0" * 4096])
async def test_damaged_database_is_set_aside(folder: Path, clock: FakeClock, damage: str) -> None:
    """A file that is no database is renamed with the date, reported, and the bot goes on with a new one."""
    (folder / "tern.db").write_text(damage)

    async with await open_storage("", folder, clock, b"key", "me") as storage:
        assert storage.set_aside is not None
        assert storage.set_aside.read_text() == damage
        await accepted(storage, message())


async def test_damage_in_the_middle_is_found(folder: Path, clock: FakeClock) -> None:
    """Pages overwritten in the middle of a real database are found at the start."""
    async with await open_storage("", folder, clock, b"key", "me") as storage:
        for number in range(40):
            await said(storage, f"question {number} " * 50, "answer " * 100, root=str(number))
    raw = bytearray((folder / "tern.db").read_bytes())
    raw[(at := len(raw) * 5 // 8) : at + 16_384] = b"\xff" * 16_384
    (folder / "tern.db").write_bytes(raw)

    async with await open_storage("", folder, clock, b"key", "me") as storage:
        assert storage.set_aside is not None


async def filled(storage: Storage) -> list[str]:
    """Forty conversations, each with a question, an answer and what hangs on them; their replies."""
    return [
        (await said(storage, f"question {number} " * 50, "answer " * 100, root=str(number))).reply_id
        for number in range(40)
    ]


async def test_what_can_be_read_of_a_damaged_database_is_kept(folder: Path, clock: FakeClock) -> None:
    """Four broken pages cost a few conversations, not all of them; no answer is left without its question."""
    async with await open_storage("", folder, clock, b"key", "me") as storage:
        replies = await filled(storage)
        await accepted(storage, message("waiting", root="waiting"))
    raw = bytearray((folder / "tern.db").read_bytes())
    raw[(at := len(raw) * 5 // 8) : at + 16_384] = b"\xff" * 16_384
    (folder / "tern.db").write_bytes(raw)

    async with await open_storage("", folder, clock, b"key", "me") as storage:
        known = [await storage.inbox.reply(reply_id) for reply_id in replies]
        orphans = await storage._database.read(
            lambda c: c.execute(text("SELECT count(*) FROM turns WHERE message_seq NOT IN (SELECT seq FROM messages)"))
        )
        assert sum(one is not None for one in known) >= 30
        assert orphans.scalar() == 0
        assert len(await storage.inbox.open_runs()) == 1
        assert await storage.history.search([message(root="39").conversation], "question 39", limit=5)


@pytest.mark.parametrize("table", ["messages", "runs", "conversations", "turns", "pages", "tombstones"])
async def test_any_broken_table_leaves_a_database_that_works(folder: Path, clock: FakeClock, table: str) -> None:
    """Whichever table loses its root page, the others are kept as far as they mean something, and work goes on."""
    async with await open_storage("", folder, clock, b"key", "me") as storage:
        await filled(storage)
        await storage._database.outside(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        page = await storage._database.outside(
            lambda c: c.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        )
    with (folder / "tern.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)

    async with await open_storage("", folder, clock, b"key", "me") as storage:
        claim = await said(storage, "again", "and answered", root="39")

        assert storage.set_aside is not None
        assert await storage.inbox.reply(claim.reply_id) is not None
        assert [run for run in await storage.inbox.pending(100) if run.user is None] == []


async def test_sound_database_is_kept(storage: Storage) -> None:
    """Nothing is set aside without need."""
    assert storage.set_aside is None


async def test_two_processes_may_open_a_new_database_at_once(tmp_path: Path, clock: FakeClock) -> None:
    """The second one waits for the first one's migration."""
    opened = await asyncio.gather(*(open_storage("", tmp_path, clock, b"key", name) for name in ("one", "two")))

    await asyncio.gather(*(accepted(storage, message(root=str(id(storage)))) for storage in opened))
    for storage in opened:
        await storage.close()


async def test_accepted_is_on_disk(storage: Storage) -> None:
    """Commits wait for the disk (synchronous = FULL) and go to the write-ahead log."""

    def settings(connection: sqlite3.Connection) -> list[Any]:
        names = ("synchronous", "journal_mode", "secure_delete")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await storage._database.outside(settings) == [2, "wal", 1]


async def test_database_locked_by_another_is_busy(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that outlasts the timeout is told as such; afterwards everything works again."""
    monkeypatch.setattr(dialect, "BUSY_S", 0.05)
    async with await open_storage("", folder, clock, b"key", "me") as storage:
        other = sqlite3.connect(folder / "tern.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StorageBusy):
            await storage.notes.set("a", "b")

        other.execute("ROLLBACK")
        other.close()
        await storage.notes.set("a", "b")
        assert await storage.notes.get("a") == "b"


async def test_full_disk_loses_nothing_that_was_accepted(storage: Storage, folder: Path, clock: FakeClock) -> None:
    """When the disk is full a message is refused with StorageFull; what was accepted stays, and room helps."""
    claim = await accepted(storage, message("kept"))
    pages = await storage._database.outside(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await storage._database.outside(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    with pytest.raises(StorageFull):
        await accepted(storage, message("x" * 200_000, root="2"))
    with pytest.raises(StorageFull):
        await storage.notes.set("big", "x" * 200_000)

    await storage._database.outside(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchone())
    await accepted(storage, message("x" * 200_000, root="2"))
    assert await storage.inbox.reply(claim.reply_id) is not None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StorageBusy),
        (sqlite3.SQLITE_READONLY_DBMOVED, StorageFull),
        (sqlite3.SQLITE_IOERR_WRITE, StorageFull),
        (sqlite3.SQLITE_CORRUPT_INDEX, StorageCorrupt),
        (sqlite3.SQLITE_NOTADB, StorageCorrupt),
    ],
)
def test_extended_codes_are_understood(code: int, kind: type[Exception]) -> None:
    """SQLite's extended codes mean what their primary one means."""
    error = sqlite3.OperationalError("text that is not shown")
    error.sqlite_errorcode = code

    assert type(as_ours(error)) is kind


async def test_readiness_writes(storage: Storage) -> None:
    """`check_writable` is a real commit."""
    await storage.check_writable()

    assert await storage.notes.get("storage.checked_at") == "1800000000.0"


# --- back up and restore ---


async def test_backup_works_while_everything_runs(storage: Storage, tmp_path: Path, clock: FakeClock) -> None:
    """A copy made in the middle of writing opens as a sound database with what was committed, blobs included."""
    claim = await accepted(storage, message("kept"))
    ref = await storage.blobs.put(b"picture", mime="image/png", owner=claim.incoming.user)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(storage.notes.set(str(number), "x"))
        group.create_task(storage.backup(tmp_path / "copy"))

    async with await open_storage("", tmp_path / "copy", clock, b"key", "two") as copy:
        assert copy.set_aside is None
        assert await copy.inbox.reply(claim.reply_id) is not None
        assert await copy.blobs.get(ref) == b"picture"


async def test_restored_backup_is_what_it_was(folder: Path, tmp_path: Path, clock: FakeClock) -> None:
    """Restoring puts rows and blobs back; the database that stood there is kept beside it."""
    async with await open_storage("", folder, clock, b"key", "me") as storage:
        claim = await said(storage, "kept", "answer")
        ref = await storage.blobs.put(b"picture", mime="image/png", owner=claim.incoming.user)
        await storage.backup(tmp_path / "copy")
        await storage.archive.forget(user=claim.incoming.user)

    path = restore(tmp_path / "copy", "", folder)

    assert path == folder / "tern.db"
    assert (folder / "tern.db.before-restore").exists()
    async with await open_storage("", folder, clock, b"key", "me") as storage:
        assert await storage.inbox.reply(claim.reply_id) is not None
        assert await storage.blobs.get(ref) == b"picture"


async def test_restoring_beside_a_running_bot_is_refused(storage: Storage, folder: Path, tmp_path: Path) -> None:
    """A database in use is not replaced under the feet of whoever uses it."""
    await storage.backup(tmp_path / "copy")

    with pytest.raises(StorageBusy, match="stop the bot"):
        restore(tmp_path / "copy", "", folder)

    await storage.notes.set("still", "works")


def test_damaged_or_missing_backup_is_refused(tmp_path: Path, folder: Path) -> None:
    """What stands there is not touched for a backup that cannot be used."""
    before = (folder / "tern.db").read_bytes()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "tern.db").write_text("nothing of use" * 1_000)

    with pytest.raises(StorageCorrupt):
        restore(tmp_path / "bad", "", folder)
    with pytest.raises(StorageError, match="no backup"):
        restore(tmp_path / "none", "", folder)
    assert (folder / "tern.db").read_bytes() == before


# --- damage while it runs ---


async def spoil(storage: Storage) -> None:
    """Overwrite most of the database file under the running program's feet, its log and its caches emptied first."""
    await storage._database.outside(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    raw = bytearray(storage.path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    storage.path.write_bytes(raw)
    await reconnect(storage)


async def test_damage_while_running_is_set_aside_and_work_goes_on(storage: Storage) -> None:
    """The write that meets the damage is done in a new database; the old file is kept and named."""
    await said(storage, "one", "ONE")
    await spoil(storage)

    await accepted(storage, message())

    assert storage.set_aside is not None
    assert storage.set_aside.exists()
    assert await storage.history.recent(message().conversation, max_tokens=100, max_turns=9) == []


async def test_reader_that_meets_damage_gets_an_answer_too(storage: Storage) -> None:
    """A read finds the new, empty database."""
    await said(storage, "one", "ONE")
    await spoil(storage)

    assert await storage.conversations.messages(message().conversation) == []
    assert storage.set_aside is not None


async def test_damage_that_no_check_finds_is_noticed_by_who_meets_it(storage: Storage) -> None:
    """A broken search index would else refuse every answer, and count its question out as what crashes us."""
    before = await said(storage, "one tern", "ONE")
    await storage._database.outside(lambda c: c.execute("UPDATE turns_words_data SET block = x'ffffffffffff'"))
    await reconnect(storage)

    await said(storage, "two terns", "TWO")
    found = await storage.history.search([message().conversation], "tern", limit=9)

    assert [turn.turn.text for turn in found if turn.turn.role == "user"] == ["two terns", "one tern"]
    assert await storage.inbox.reply(before.reply_id) is not None
    assert storage.set_aside is not None


async def test_glance_after_damage_looks_into_the_new_database(storage: Storage) -> None:
    """The loop's own connection does not go on with the file that was set aside."""
    await said(storage, "one", "ONE")
    await storage.preferences.set(ANN, Preferences("quality", ""))
    assert await storage.preferences.get(ANN) == Preferences("quality", "")
    await spoil(storage)

    await accepted(storage, message())

    assert await storage.preferences.get(ANN) == Preferences()


async def test_many_that_meet_damage_replace_the_file_once(storage: Storage, folder: Path) -> None:
    """All at once they end in the same new database."""
    await said(storage, "one", "ONE")
    await spoil(storage)

    await asyncio.gather(*(accepted(storage, message(root=str(number))) for number in range(10)))

    assert len(list(folder.glob("tern.db.damaged-*[0-9Z]"))) == 1
    assert await storage.inbox.open_count() == 0
    assert len(await storage.inbox.open_runs()) == 10


async def test_ids_that_are_no_text_are_no_obstacle(storage: Storage) -> None:
    """Ids with lone surrogates, from a forged event, are stored with them replaced and found no more: no crash."""
    claim = await accepted(storage, message(message_id="m\ud800"))

    assert claim.incoming.message_id == "m?"
    with pytest.raises(BadRequest):
        await storage.inbox.seen("discord", "guild", "channel", "m\ud800")


# --- who may read the files ---


async def test_files_are_their_owners_alone(folder: Path, tmp_path: Path, clock: FakeClock) -> None:
    """A database and files that other users could read are closed to them at the next start, and a copy is so from the
    beginning, whatever the umask."""
    (folder / "blobs" / "ab").mkdir(parents=True)
    (folder / "tern.db").chmod(0o644)
    former = os.umask(0o022)
    try:
        async with await open_storage("", folder, clock, b"key", "me") as storage:
            await storage.blobs.put(b"content", mime="text/plain", owner=ANN)
            await storage.backup(tmp_path / "copy")
            made = [*folder.glob("tern.db*"), folder / "blobs", tmp_path / "copy", *(tmp_path / "copy").iterdir()]

            assert [path for path in made if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(former)


async def test_backup_replaces_none(storage: Storage, tmp_path: Path) -> None:
    """The copy of yesterday is not lost in silence to that of today."""
    await storage.backup(tmp_path / "copy")
    before = (tmp_path / "copy" / "tern.db").read_bytes()
    await storage.notes.set("later", "word")

    with pytest.raises(StorageError, match="holds a backup already; name another folder"):
        await storage.backup(tmp_path / "copy")

    assert (tmp_path / "copy" / "tern.db").read_bytes() == before


# --- a file that was cut ---


@pytest.mark.parametrize("pages_lost", [1, 2, 5])
async def test_file_that_was_cut_gives_what_is_whole(folder: Path, clock: FakeClock, pages_lost: int) -> None:
    """A copy that ended early, at a page's end or within one: every page before the cut is read."""
    async with await open_storage("", folder, clock, b"key", "me") as storage:
        for number in range(40):
            await said(storage, f"question {number} " + "x" * 300, "answer", root=str(number))
        await storage._database.outside(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    whole = (folder / "tern.db").read_bytes()
    (folder / "tern.db").write_bytes(whole[: -4_096 * pages_lost])

    async with await open_storage("", folder, clock, b"key", "me") as storage:
        saved = await storage._database.read(lambda c: c.execute(text("SELECT count(*) FROM messages")).scalar_one())
        aside = storage.set_aside

    assert saved > 20
    assert aside is not None
    assert aside.stat().st_size == len(whole) - 4_096 * pages_lost


# --- clocks that jump ---


async def test_lease_from_before_the_clock_was_set_back_is_over(folder: Path, clock: FakeClock) -> None:
    """A dead process's run is taken up at once, and one that waits for a model is due, though their dates lie hours
    ahead now."""
    async with await open_storage("", folder, clock, b"key", "dead") as dead:
        held = await accepted(dead, message("held", root="a"))
        waits = await accepted(dead, message("waits", root="b"))
        await dead.inbox.settle(waits, Settlement("waiting", next_try_at=clock.now() + 60))
    clock.jump(-3 * 3_600)

    async with await open_storage("", folder, clock, b"key", "me") as storage:
        taken = await storage.inbox.claim([held.run_id, waits.run_id])

    assert [claim.run_id for claim in taken] == [held.run_id, waits.run_id]


async def test_living_lease_is_not_taken(folder: Path, clock: FakeClock) -> None:
    """Nor when the other's clock is a few seconds ahead."""
    async with await open_storage("", folder, clock, b"key", "other") as other:
        clock.jump(5)
        held = await accepted(other, message("held"))
        clock.jump(-5)

        async with await open_storage("", folder, clock, b"key", "me") as storage:
            assert await storage.inbox.claim([held.run_id]) == []


async def test_clock_far_ahead_for_one_sweep_erases_nothing(storage: Storage, clock: FakeClock) -> None:
    """A clock that is 100 days ahead when the sweep looks, and right at the next look, costs nobody a word."""
    await storage.inbox.settle(await accepted(storage, message()), Settlement("answered"))
    clock.jump(100 * 86_400)
    gone = await storage._sweeper.sweep_if_sure()
    clock.jump(-100 * 86_400)
    await clock.advance(3_600.0)

    assert (gone, await storage._sweeper.sweep_if_sure()) == (0, 0)


async def test_clock_that_jumps_at_every_look_is_never_believed(storage: Storage, clock: FakeClock) -> None:
    """Two looks that disagree about the time between them confirm nothing."""
    await storage.inbox.settle(await accepted(storage, message()), Settlement("answered"))
    gone = 0
    for _ in range(4):
        clock.jump(100 * 86_400)
        await clock.advance(3_600.0)
        gone += await storage._sweeper.sweep_if_sure()

    assert gone == 0


async def test_long_silence_is_believed_at_the_second_look(storage: Storage, clock: FakeClock) -> None:
    """Where nothing was stored for months and the clock only goes on, what is too old goes an hour later."""
    await storage.inbox.settle(await accepted(storage, message()), Settlement("answered"))
    clock.jump(200 * 86_400)
    first = await storage._sweeper.sweep_if_sure()
    await clock.advance(3_600.0)

    assert first == 0
    assert await storage._sweeper.sweep_if_sure() > 0
