"""The worker process: its answers, its end, and what it does not know."""

from __future__ import annotations

import os

import pytest

from core.base.clock import SystemClock
from core.domain.errors import Unreadable
from core.files import sandbox_worker as worker
from core.files.sandbox import Sandbox
from core.files.values import Document, Failure, Job, Picture, PictureLimits, ReadLimits
from tests.core.files import samples


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


@pytest.mark.parametrize("result", [Document("t", "all", complete=True), Failure("why"), Picture(b"x", "m", 1, 2, 3)])
def test_results_survive_the_pipe(result: Document | Failure | Picture) -> None:
    """What the worker packs is what the parent unpacks."""
    assert worker.unpack_result(worker.pack_result(result)[4:]) == result
