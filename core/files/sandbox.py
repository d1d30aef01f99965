"""Runs readers of other people's files in a process of their own, with a deadline, and replaces it when it breaks."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from core.base.clock import Clock
from core.domain.errors import Unreadable
from core.files.sandbox_worker import pack_job, unpack_result
from core.files.values import Failure, Job, Result

MAX_RESULT_BYTES = 512 * 1024 * 1024


class Sandbox:
    """One worker at a time, started by the first job and ended after *idle_s* without any, to give its memory back.

    Jobs queue for it: two cores have better things to do than decode two 100-megapixel pictures side by side.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        job_deadline_s: float = 30.0,
        idle_s: float = 60.0,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """*env* is all the worker's environment; nothing of ours is added."""
        self._clock = clock
        self._env = dict(env)
        self._job_deadline_s = job_deadline_s
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._worker: asyncio.subprocess.Process | None = None
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
            Unreadable: The file is at fault, takes too long, or broke the worker.
        """
        deadline_s = deadline_s or self._job_deadline_s
        async with self._turn:
            worker = self._worker or await self._start()
            self._last_used = self._clock.monotonic()
            try:
                async with asyncio.timeout(deadline_s):
                    answer = await _exchange(worker, pack_job(job))
            except TimeoutError as error:
                raise Unreadable(job.name, f"reading it took longer than {deadline_s:g} seconds") from error
            except (OSError, asyncio.IncompleteReadError) as error:
                raise Unreadable(job.name, "it broke the reader") from error
            finally:
                self._last_used = self._clock.monotonic()
                if sys.exception() is not None:  # also when we are cancelled: its next answer would be for this job
                    await self._end_worker()
        if isinstance(answer, Failure):
            raise Unreadable(job.name, answer.why)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        # -E and an empty environment: the worker must not see keys. -c keeps our own import path.
        command = f"import sys; sys.path[:] = {sys.path!r}; from core.files.sandbox_worker import main; main()"
        self._worker = await asyncio.create_subprocess_exec(
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
        return self._worker

    async def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(self._idle_s / 2)
            async with self._turn:
                if self._clock.monotonic() - self._last_used >= self._idle_s:
                    await self._end_worker()


async def _exchange(worker: asyncio.subprocess.Process, message: bytes) -> Result | Failure:
    if worker.stdin is None or worker.stdout is None:
        raise OSError("the worker has no pipes")
    worker.stdin.write(message)
    await worker.stdin.drain()
    (length,) = struct.unpack(">I", await worker.stdout.readexactly(4))
    if length > MAX_RESULT_BYTES:
        raise OSError("the worker's answer is too large")
    return unpack_result(await worker.stdout.readexactly(length))
