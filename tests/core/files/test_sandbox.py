"""The worker process: its answers, its end, and what it does not know."""

from __future__ import annotations

import asyncio
import os
import struct

import pytest

from core.base.clock import SystemClock
from core.domain.errors import Unreadable
from core.domain.incoming import UserKey
from core.files import sandbox_worker as worker
from core.files.confinement import GUARDS
from core.files.sandbox import MAX_WAITING, Sandbox
from core.files.values import Document, Failure, Job, Picture, PictureLimits, ReadLimits
from tests.core.files import samples
from tests.fakes.clock import FakeClock, settle


async def test_worker_reads_one_file_after_the_other() -> None:
    """Files of different kinds are read by one worker."""
    async with Sandbox(SystemClock()) as sandbox:
        text = await sandbox.run(Job("text", "a.txt", b"hello", ReadLimits()))
        picture = await sandbox.run(Job("picture", "a.jpg", samples.picture(), PictureLimits()))

    assert text == Document("hello", "all", complete=True)
    assert isinstance(picture, Picture)


async def test_unreadable_file_is_named_and_the_worker_lives_on() -> None:
    """A bad file raises for its own caller only."""
    async with Sandbox(SystemClock()) as sandbox:
        with pytest.raises(Unreadable, match="damaged"):
            await sandbox.run(Job("pdf", "a.pdf", b"%PDF-", ReadLimits()))
        assert await sandbox.run(Job("text", "a.txt", b"next", ReadLimits())) == Document("next", "all", complete=True)


async def test_file_that_takes_too_long_costs_only_the_worker() -> None:
    """Past the deadline the worker is replaced and the next file is read."""
    async with Sandbox(SystemClock(), job_deadline_s=30) as sandbox:
        with pytest.raises(Unreadable, match="longer"):
            await sandbox.run(Job("text", "a.txt", b"slow", ReadLimits()), deadline_s=0.000_001)
        assert await sandbox.run(Job("text", "a.txt", b"next", ReadLimits())) == Document("next", "all", complete=True)


async def test_killed_worker_is_replaced() -> None:
    """A worker that dies in between is started anew at the next file but one at the latest."""
    async with Sandbox(SystemClock()) as sandbox:
        await sandbox.run(Job("text", "a.txt", b"first", ReadLimits()))
        assert sandbox._worker is not None
        os.kill(sandbox._worker.pid, 9)
        await sandbox._worker.wait()
        with pytest.raises(Unreadable, match="broke"):
            await sandbox.run(Job("text", "a.txt", b"lost", ReadLimits()))
        assert await sandbox.run(Job("text", "a.txt", b"next", ReadLimits())) == Document("next", "all", complete=True)


async def test_worker_sees_no_environment() -> None:
    """Keys in our environment are not in the child's."""
    async with Sandbox(SystemClock()) as sandbox:
        await sandbox.run(Job("text", "a.txt", b"x", ReadLimits()))
        assert sandbox._worker is not None
        with open(f"/proc/{sandbox._worker.pid}/environ", "rb") as environ:
            assert b"PATH=" not in environ.read()


ANNA, BEN = UserKey("slack", "T", "anna"), UserKey("slack", "T", "ben")


async def test_each_person_has_a_worker_of_their_own() -> None:
    """The next person's file is opened in another process; the same person's next one is not."""
    async with Sandbox(SystemClock()) as sandbox:
        pids = []
        for owner in (ANNA, ANNA, BEN):
            await sandbox.run(Job("text", "a.txt", b"x", ReadLimits(), owner))
            assert sandbox._worker is not None
            pids.append(sandbox._worker.pid)

    assert pids[0] == pids[1] != pids[2]


async def test_whoever_keeps_the_reader_busy_is_asked_to_come_back() -> None:
    """A person's files may take so long within ten minutes; others are read meanwhile."""
    clock = FakeClock()
    async with Sandbox(clock, owner_budget_s=5.0) as sandbox:
        sandbox._spent.use(str(ANNA), 6_000)
        with pytest.raises(Unreadable, match="again in"):
            await sandbox.run(Job("text", "a.txt", b"x", ReadLimits(), ANNA))
        await sandbox.run(Job("text", "a.txt", b"x", ReadLimits(), BEN))
        await clock.advance(1_300)
        await sandbox.run(Job("text", "a.txt", b"x", ReadLimits(), ANNA))


async def test_only_so_many_files_of_one_person_wait() -> None:
    """Past that the next is refused at once, and the others' are not."""
    async with Sandbox(SystemClock()) as sandbox, sandbox._turns.turn(None):
        waiting = [
            asyncio.create_task(sandbox.run(Job("text", "a.txt", b"x", ReadLimits(), ANNA))) for _ in range(MAX_WAITING)
        ]
        await settle()
        with pytest.raises(Unreadable, match="waiting"):
            await sandbox.run(Job("text", "a.txt", b"x", ReadLimits(), ANNA))
        with pytest.raises(Unreadable, match="other files"):  # its deadline counts from asking
            await sandbox.run(Job("text", "a.txt", b"x", ReadLimits(), BEN), deadline_s=0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("error", [IndexError("secret words"), ValueError("x"), AssertionError(), struct.error("x")])
def test_whatever_a_reader_raises_is_an_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A library that stumbles costs its file alone; where it stumbled is told, the file's words are not."""

    def stumbles(*_: object) -> Document:
        raise error

    monkeypatch.setattr("core.files.documents.read_text", stumbles)

    answer = worker._answer(Job("text", "a.txt", b"x", ReadLimits()))

    assert isinstance(answer, Failure)
    assert answer.defect.startswith(f"{type(error).__name__} in files/test_sandbox.py:")
    assert "secret" not in answer.defect + answer.why


async def test_worker_tells_what_holds() -> None:
    """`python -m bot doctor` asks a real one."""
    async with Sandbox(SystemClock()) as sandbox:
        told = await sandbox.run(Job("guards", "", b"", ReadLimits()))

    assert isinstance(told, Document)
    assert set(told.text.splitlines()) <= set(GUARDS)


@pytest.mark.parametrize("result", [Document("t", "all", complete=True), Failure("why"), Picture(b"x", "m", 1, 2, 3)])
def test_results_survive_the_pipe(result: Document | Failure | Picture) -> None:
    """What the worker packs is what the parent unpacks."""
    assert worker.unpack_result(worker.pack_result(result)[4:]) == result
