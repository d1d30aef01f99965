"""The embedded default: a small model in a process of our own, so that the bot answers before anybody has a key.

`LocalModel` owns the process (started on first need, stopped when idle, started again after it died); it is a Provider
whose failures are ordinary provider failures. What runs inside the process is in server.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Protocol

import structlog

from bot.local.choice import EMBEDDED
from bot.local.loops import goes_round
from bot.local.server import Start, as_json, threads_for
from bot.supervise import Backoff
from core.base.clock import Clock
from core.domain.errors import Overloaded, ProviderError, TernError
from core.domain.events import Event, Send, TextDelta
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply, Usage
from core.gateway.tokens import estimate_tokens
from core.ports.gateway import Provider

log: Any = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-m", "bot", "local-model")

START_WITHIN_S = 90.0
"""The embedded model is ready in one or two seconds; a large file of the user's own on a slow disk takes longer."""

_END_WITHIN_S = 5.0
"""A process that does not end when asked (it is stopped, or stuck in its arithmetic) is killed then."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running model listens."""

    base_url: str
    api_key: str


class _Round(TernError):
    """The model repeats itself; what it would go on to say is what it has said."""


class _Said:
    """Hands on what a model says, and ends it where it goes round in circles."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.text = ""

    async def __call__(self, event: Event) -> None:
        await self._send(event)
        if isinstance(event, TextDelta):
            self.text += event.text
            if goes_round(self.text):
                raise _Round


class ClosableProvider(Provider, Protocol):
    async def close(self) -> None: ...


class LocalModel:
    """A Provider around a child process. `run` must be running for idle stops; leaving it ends the process."""

    name = "local"

    def __init__(
        self,
        start: Start,
        *,
        connect: Callable[[Endpoint], ClosableProvider],
        clock: Clock,
        random: Random,
        environ: Mapping[str, str],
        keep_warm: bool,
        idle_stop_s: float = 600.0,
        preamble: Callable[[], ChatRequest] | None = None,
        backoff: Backoff = Backoff(cap_s=30.0),
        command: Sequence[str] = COMMAND,
    ) -> None:
        """
        Args:
            start: Which file, and how; its key is replaced by a new random one at every start.
            connect: Makes the HTTP client of a running model; closed by us.
            environ: The child's whole environment; give it no secrets.
            keep_warm: Start at once and never stop: it is the only model there is.
            preamble: With `keep_warm`, a request that begins as every question does. It is asked after each start: a
                processor reads some hundred tokens a second, and the server keeps what it has read of a prompt.
        """
        self._start = start
        self._connect = connect
        self._clock = clock
        self._random = random
        self._environ = dict(environ)
        self._keep_warm = keep_warm
        self._idle_stop_s = idle_stop_s
        self._preamble = preamble
        self._warmed: ClosableProvider | None = None
        self._backoff = backoff
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None
        self._client: ClosableProvider | None = None
        self._starting = asyncio.Lock()
        self._in_use = 0
        self._used_at = 0.0
        self._crashes = 0
        self._not_before = 0.0
        self._problem = ""

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        async with self._using() as client:
            said = _Said(send)
            try:
                return await client(request, model, said)
            except _Round:
                usage = Usage(output_tokens=estimate_tokens(said.text), estimated=True)
                return Reply(said.text, model.id, model.provider, usage, "stop")

    async def run(self) -> None:
        """Stop the process when idle, or keep it warm; until cancelled."""
        try:
            while True:
                if self._keep_warm:
                    with contextlib.suppress(ProviderError):  # said in the log; tried again below
                        await self._warm_up(await self._ready())
                elif self._idle:
                    log.info("local model stopped, it was idle")
                    await self._stop()
                await self._clock.sleep(2.0)
        finally:
            await self._stop()

    async def _warm_up(self, client: ClosableProvider) -> None:
        if self._preamble is None or client is self._warmed:
            return
        self._warmed = client
        await client(self._preamble(), EMBEDDED, _unheard)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def problem(self) -> str:
        """Why it cannot answer at the moment; "" when it runs or has not been needed yet."""
        return "" if self.running else self._problem

    @property
    def _idle(self) -> bool:
        # Without a client it is starting: somebody waits for it.
        unused = self._client is not None and self.running and not self._in_use
        return unused and self._clock.monotonic() - self._used_at >= self._idle_stop_s

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncIterator[ClosableProvider]:
        client = await self._ready()
        self._in_use += 1
        try:
            yield client
        finally:
            self._in_use -= 1
            self._used_at = self._clock.monotonic()

    async def _ready(self) -> ClosableProvider:
        """Raises Overloaded while it cannot be started; that names the reason."""
        async with self._starting:
            if self._client is not None and self.running:
                return self._client
            if self._process is not None:
                await self._note_death()
            wait_s = self._not_before - self._clock.monotonic()
            if wait_s > 0:
                raise Overloaded(self._problem, provider=self.name, retry_after_s=wait_s)
            try:
                async with asyncio.timeout(START_WITHIN_S):
                    return await self._start_process()
            except (OSError, TimeoutError, ValueError) as error:
                await self._stop()
                self._back_off(str(error) or f"not ready within {START_WITHIN_S:.0f} s")
                raise Overloaded(self._problem, provider=self.name) from error
            except asyncio.CancelledError:
                await self._stop()  # a half-started process would look like a crash to the next request
                raise

    async def _start_process(self) -> ClosableProvider:
        """Raises OSError or ValueError with the reason when it does not come up."""
        started = self._clock.monotonic()
        start = replace(self._start, api_key=secrets.token_urlsafe(24))
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environ,
        )
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise OSError("its pipes could not be opened")
        stdin.write(as_json(start))
        await stdin.drain()
        line = await stdout.readline()
        if not line:
            raise OSError(f"its process ended with status {await process.wait()} before it was ready")
        answer = json.loads(line)
        if "error" in answer:
            raise OSError(answer["error"])
        self._client = self._connect(Endpoint(f"http://127.0.0.1:{answer['port']}/v1", start.api_key))
        self._used_at = self._clock.monotonic()
        self._problem = ""
        log.info("local model ready", after_s=round(self._used_at - started, 1), threads=start.threads)
        return self._client

    async def _note_death(self) -> None:
        """The process ended by itself: the next start waits, the longer the oftener it happened."""
        lived_s = self._clock.monotonic() - self._used_at
        status = self._process.returncode if self._process is not None else None
        await self._stop()
        if lived_s >= self._backoff.stable_s:
            self._crashes = 0
        self._back_off(f"its process ended with status {status}")

    def _back_off(self, problem: str) -> None:
        self._crashes += 1
        self._problem = f"the local model does not run: {problem}"
        wait_s = self._backoff.wait_s(self._crashes, self._random)
        self._not_before = self._clock.monotonic() + wait_s
        log.warning("local model does not run", problem=problem, wait_s=round(wait_s, 1))

    async def _stop(self) -> None:
        process, self._process = self._process, None
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(_END_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
        await process.wait()


async def _unheard(event: Event) -> None:
    """Nobody reads what the warm-up says."""


def wanted_start(path: str, *, threads: int | None, cores: int) -> Start:
    """What to start for LOCAL_MODEL=*path* ("" for the embedded model)."""
    return Start(
        model=path,
        api_key="",
        threads=threads or threads_for(cores),
        context_window=EMBEDDED.context_window,
        parallel=4,
        temperature=0.7 if path else 0.2,  # the embedded model's card asks for 0.2
        breaks_loops=not path,
    )


def usable_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such limit, or "max"
        return cores
