"""The sandbox: runs readers of other people's files in a process of their own, with a deadline, and replaces it when it
breaks."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import struct
import sys
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Self

import structlog

from core.base.clock import Clock
from core.domain.errors import Unreadable
from core.domain.incoming import UserKey
from core.files.sandbox_worker import pack_job, unpack_result
from core.files.turns import Turns
from core.files.values import Document, Failure, Job, ReadLimits, Result
from core.gateway.sliding_window import SlidingWindows

log: Any = structlog.get_logger(__name__)

MAX_RESULT_BYTES = 512 * 1024 * 1024

MAX_WAITING = 16
"""Jobs of one person that wait at once: two messages full of files."""

_BUDGET_WINDOW_S = 600
_WITH_PROGRAMS = frozenset({"letters"})
"""Tasks that start a program of the system's."""


class Sandbox:
    """One worker at a time, started by the first job and ended after *idle_s* without any, to give its memory back.

    Jobs queue for it, in turns by person: two cores have better things to do than decode two 100-megapixel pictures
    side by side. Each person gets a worker of their own, so that a file that takes one over meets nobody else's.

    Args:
        job_deadline_s: From asking on, the wait for others included.
        owner_budget_s: How long the worker may read for one person within ten minutes.
        reads: Folders that the worker may read beside Python's and the system's own.
        fresh: Whether the next person gets another worker. Not for jobs that are a few hundred characters for code
            of ours, where starting one would cost more than it could save.
        env: All the worker's environment; nothing of ours is added.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        job_deadline_s: float = 30.0,
        owner_budget_s: float = math.inf,
        idle_s: float = 60.0,
        reads: Sequence[str] = (),
        fresh: bool = True,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._clock = clock
        self._env = dict(env)
        self._job_deadline_s = job_deadline_s
        self._owner_budget_s = owner_budget_s
        self._idle_s = idle_s
        self._reads = tuple(reads)
        self._fresh = fresh
        self._turns = Turns()
        self._spent = SlidingWindows(clock, _BUDGET_WINDOW_S)
        self._worker: asyncio.subprocess.Process | None = None
        self._worker_for: tuple[Hashable, bool] | None = None
        self._last_used = 0.0
        self._tasks = asyncio.TaskGroup()
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._sweeper = self._tasks.create_task(self._sweep(), name="sandbox-sweeper")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._end_worker()

    async def run(self, job: Job, *, deadline_s: float | None = None) -> Result:
        """Do *job* in the worker, within *deadline_s* or the sandbox's own deadline.

        Raises:
            Unreadable: The file is at fault, takes too long, or broke the worker; or its owner has brought too much.
        """
        deadline_s = deadline_s or self._job_deadline_s
        self._refuse_too_much(job)
        begun = False
        try:
            async with asyncio.timeout(deadline_s), self._turns.turn(job.owner):
                begun = True
                answer = await self._ask(job, deadline_s)
        except TimeoutError as error:
            why = f"reading it took longer than {deadline_s:g} seconds" if begun else "too many other files are waiting"
            raise Unreadable(job.name, why) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Unreadable(job.name, "it broke the reader") from error
        if isinstance(answer, Failure):
            if answer.defect:
                log.warning("a reader failed", task=job.task, bytes=len(job.content), defect=answer.defect)
            raise Unreadable(job.name, answer.why)
        return answer

    def _refuse_too_much(self, job: Job) -> None:
        if self._turns.waiting(job.owner) >= MAX_WAITING:
            raise Unreadable(job.name, f"{MAX_WAITING} of your files are waiting to be read already")
        if job.owner is None or self._owner_budget_s == math.inf:
            return
        wait_s = self._spent.wait_s(str(job.owner), round(1_000 * self._owner_budget_s), 0)
        if wait_s > 0:
            minutes = math.ceil(wait_s / 60)
            raise Unreadable(job.name, f"your files took me very long just now; send it again in {minutes} minutes")

    async def _ask(self, job: Job, deadline_s: float) -> Result | Failure:
        started = self._last_used = self._clock.monotonic()
        try:
            worker = await self._worker_of(job)
            return await _exchange(worker, pack_job(job, processor_s=deadline_s * (os.cpu_count() or 1)))
        finally:
            self._last_used = self._clock.monotonic()
            self._spent.use(str(job.owner), round(1_000 * (self._last_used - started)))
            if sys.exception() is not None:  # also when we are cancelled: its next answer would be for this job
                await self._end_worker()

    async def _worker_of(self, job: Job) -> asyncio.subprocess.Process:
        """The worker at hand where it was this person's and may do what *job* needs, a new one otherwise."""
        wanted = (job.owner if self._fresh else None, job.task in _WITH_PROGRAMS)
        if self._worker is None or self._worker_for != wanted:
            await self._end_worker()
            self._worker, self._worker_for = await self._start(programs=wanted[1]), wanted
        return self._worker

    async def _start(self, *, programs: bool) -> asyncio.subprocess.Process:
        # -E and an empty environment: the worker must not see keys. -c keeps our own import path.
        command = (
            f"import sys; sys.path[:] = {sys.path!r}; from core.files.sandbox_worker import main; "
            f"main({os.getpid()}, {self._reads!r}, programs={programs})"
        )
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-E",
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # tracebacks may quote the file
            env=self._env,
            start_new_session=True,  # Ctrl-C is for us; we end the worker ourselves
        )

    async def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            if worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    _end_group(worker.pid)
            await worker.wait()

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(self._idle_s / 2)
            async with self._turns.turn(None):
                if self._clock.monotonic() - self._last_used >= self._idle_s:
                    await self._end_worker()


async def check_schema(sandbox: Sandbox, content: bytes, owner: UserKey | None, within_s: float) -> bytes:
    """`core.domain.schema_checks.Elsewhere` in *sandbox*."""
    found = await sandbox.run(Job("schema", "the schema", content, ReadLimits(), owner), deadline_s=within_s)
    return found.text.encode() if isinstance(found, Document) else b"[]"


async def decode_text(sandbox: Sandbox, content: bytes, owner: UserKey) -> str:
    """The text of a file in whatever encoding, whole. Raises Unreadable."""
    read = await sandbox.run(Job("text", "the table", content, ReadLimits(max_chars=len(content)), owner))
    return read.text if isinstance(read, Document) else ""


def _end_group(pid: int) -> None:
    """Kill a worker and what it started: it leads a session of its own."""
    if hasattr(os, "killpg"):
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGTERM)


async def _exchange(worker: asyncio.subprocess.Process, message: bytes) -> Result | Failure:
    if worker.stdin is None or worker.stdout is None:
        raise OSError("the worker has no pipes")
    worker.stdin.write(message)
    await worker.stdin.drain()
    (length,) = struct.unpack(">I", await worker.stdout.readexactly(4))
    if length > MAX_RESULT_BYTES:
        raise OSError("the worker's answer is too large")
    return unpack_result(await worker.stdout.readexactly(length))
