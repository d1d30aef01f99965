"""What only the server engine does: races, its own time, sentences about what is wrong with a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from core.base.clock import SystemClock
from core.domain.errors import SettingsError, StaleFence, StorageBusy, StorageError, StorageTooNew
from core.domain.runs import Settlement
from core.storage import Storage, open_storage
from core.storage.failures import as_ours
from core.storage.postgres.database import PostgresDatabase
from tests.core.front_desk import ANN, message
from tests.core.storage.rows import accepted
from tests.database import Server
from tests.fakes.clock import FakeClock


@pytest.fixture
def url(server: Server, tmp_path: Path) -> object:
    with server.database(tmp_path) as address:
        yield address


@pytest.fixture
async def replicas(url: str, tmp_path: Path) -> AsyncIterator[list[Storage]]:
    """Four processes' storages on one database."""
    async with AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(
                await open_storage(url, tmp_path, SystemClock(), b"key", f"replica{number}")
            )
            for number in range(4)
        ]


async def test_message_at_four_replicas_at_once_is_accepted_once(replicas: list[Storage]) -> None:
    """Whoever comes second hears "duplicate", never an error."""
    for number in range(25):
        incoming = message(message_id=f"m{number}", root=f"r{number}")
        taken = await asyncio.gather(
            *(
                one.inbox.accept(incoming, None, f"run{number}{at}", f"rep{number}{at}", claim=True)
                for at, one in enumerate(replicas)
            )
        )

        assert sorted(each.state for each in taken) == ["accepted", "duplicate", "duplicate", "duplicate"]


async def test_two_runs_of_one_conversation_never_start_together(replicas: list[Storage]) -> None:
    """Each is claimed by another replica at the same moment; the older one wins."""
    for number in range(25):
        for which in ("a", "b"):
            incoming = message(message_id=f"{which}{number}", root=f"r{number}")
            await replicas[0].inbox.accept(incoming, None, f"run{which}{number}", f"rep{which}{number}", claim=False)

        claims = await asyncio.gather(
            *(replicas[at].inbox.claim([f"run{which}{number}"]) for at, which in enumerate("ab"))
        )

        assert [claim.run_id for each in claims for claim in each] == [f"runa{number}"]


async def test_question_is_decided_once(replicas: list[Storage]) -> None:
    """Confirm and Decline pressed at two replicas at once: one of them counts."""
    from core.ports.storage import Suspended

    for number in range(10):
        claim = await accepted(replicas[0], message(root=f"r{number}"))
        suspended = Suspended(claim.run_id, ANN, ("send",), (), (), "", 1, SystemClock().now() + 900)
        await replicas[0].suspensions.suspend(suspended)
        await replicas[0].inbox.settle(claim, Settlement("answered"))

        taken = await asyncio.gather(
            replicas[1].inbox.decide(claim.reply_id, "confirm", ANN, None, f"c{number}"),
            replicas[2].inbox.decide(claim.reply_id, "decline", ANN, None, f"d{number}"),
        )

        assert sorted(each.state for each in taken) == ["accepted", "unknown"]


async def test_stale_owner_writes_nothing(url: str, tmp_path: Path) -> None:
    """Whoever lost a run learns it at the next ledger write, and nothing of it is kept."""
    async with AsyncExitStack() as opened:
        clock = FakeClock(SystemClock().now())
        old, new = [
            await opened.enter_async_context(await open_storage(url, tmp_path, clock, b"key", name))
            for name in ("old", "new")
        ]
        claim = await accepted(old, message())
        await clock.advance(11)

        [taken] = await new.inbox.claim([claim.run_id])

        with pytest.raises(StaleFence):
            await old.inbox.ledger(claim).posting(0, "nonce")
        assert await new.inbox.ledger(taken).pages() == []


async def test_leases_are_reckoned_in_the_servers_time(url: str, tmp_path: Path) -> None:
    """A machine whose clock is 30 s ahead takes nobody's living run."""
    async with AsyncExitStack() as opened:
        right = await opened.enter_async_context(await open_storage(url, tmp_path, SystemClock(), b"key", "right"))
        ahead = FakeClock(SystemClock().now() + 30)
        wrong = await opened.enter_async_context(await open_storage(url, tmp_path, ahead, b"key", "wrong"))
        claim = await accepted(right, message())

        assert await wrong.inbox.claim([claim.run_id]) == []


async def test_units_that_block_each_other_are_done_again(replicas: list[Storage]) -> None:
    """A deadlock costs nobody a write."""
    for name in ("a", "b"):
        await replicas[0].notes.set(name, "0")

    def locking(first: str, second: str):
        def work(c) -> None:
            for name in (first, second):
                c.execute(text("UPDATE notes SET value = value || '1' WHERE key = :key"), {"key": name})
                c.execute(text("SELECT pg_sleep(0.02)"))

        return work

    await asyncio.gather(replicas[0]._database.write(locking("a", "b")), replicas[1]._database.write(locking("b", "a")))

    assert (await replicas[0].notes.get("a"), await replicas[0].notes.get("b")) == ("011", "011")


async def test_lost_connections_are_replaced(replicas: list[Storage], server: Server) -> None:
    """All sessions are cut, as by a restart: the next write goes through."""
    await replicas[0].notes.set("a", "1")
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tern'")

    await replicas[0].notes.set("a", "2")

    assert await replicas[0].notes.get("a") == "2"


async def test_two_that_start_at_once_make_the_tables_once(server: Server, tmp_path: Path) -> None:
    """On an empty database."""
    with server.database(tmp_path, "template0") as address:
        opened = await asyncio.gather(
            *(open_storage(address, tmp_path, SystemClock(), b"key", f"new{number}") for number in range(3))
        )
        for storage in opened:
            await storage.close()

    assert len(opened) == 3


async def test_newer_database_is_refused(url: str, tmp_path: Path) -> None:
    """With the sentence that SQLite's has."""
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()

    with pytest.raises(StorageTooNew, match="written by a newer Tern"):
        await open_storage(url, tmp_path, SystemClock(), b"key", "me")


async def test_key_of_the_folder_is_no_key_for_many(url: str, tmp_path: Path) -> None:
    """SECRET_KEY must be set."""
    with pytest.raises(SettingsError, match="SECRET_KEY must be set"):
        await open_storage(url, tmp_path, SystemClock(), b"", "me")


async def test_missing_database_is_a_sentence(server: Server, tmp_path: Path) -> None:
    """Not a driver's traceback."""
    with pytest.raises(StorageError, match="does not exist; make it with createdb"):
        await open_storage(server.url("nowhere"), tmp_path, SystemClock(), b"key", "me")


async def test_server_that_is_not_there_is_busy(tmp_path: Path) -> None:
    """It may come: the bot waits and tries again."""
    with pytest.raises(StorageBusy, match="cannot be reached"):
        await open_storage(f"postgresql://tern@/x?host={tmp_path}", tmp_path, SystemClock(), b"key", "me")


async def test_backup_names_the_servers_own(replicas: list[Storage], tmp_path: Path) -> None:
    """A file copy would hold nothing."""
    with pytest.raises(StorageError, match=r"pg_dump.*pg_restore"):
        await replicas[0].backup(tmp_path / "copy")


@pytest.mark.parametrize(
    ("sqlstate", "sentence"),
    [
        ("53100", "disk of the database server is full"),
        ("53300", "no room for more work"),
        ("57P01", "cannot be reached"),
        ("08006", "cannot be reached"),
        ("57014", "took too long"),
        ("40P01", "is busy"),
        ("28P01", "refuses the user or password"),
        ("25006", "takes no writes"),
        ("22021", "failed"),
    ],
)
def test_sqlstates_are_sentences(sqlstate: str, sentence: str) -> None:
    """And none repeats what the server said, which may hold people's words."""
    error = asyncpg.PostgresError.new({"C": sqlstate, "M": "secret words"})

    told = as_ours(error)

    assert sentence in str(told)
    assert "secret" not in str(told)


def test_password_is_not_shown(tmp_path: Path) -> None:
    """Whoever prints the database sees no address."""
    assert "hunter2" not in repr(PostgresDatabase("postgresql://tern:hunter2@db/tern", SystemClock()))
