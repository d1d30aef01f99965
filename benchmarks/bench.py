"""What every point is handed: rounds, the fake model's server, and subjects in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_LIMITS = """
[limits]
messages_per_minute = 0
requests_per_minute = 0
tokens_per_minute = 0
tokens_per_day = 0
cost_per_day_usd = 0
"""
"""For tern.toml: nobody is held back, so that what is measured is the house."""

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Bench:
    """One run."""

    quick: bool
    rounds: int
    port: int
    """Of the fake model."""
    folder: Path
    """For databases; deleted at the end."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Remote:
    """A subject in its own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        await self._read()

    async def do(self, command: str, **arguments: Any) -> Any:
        """Raises RuntimeError with the subject's own traceback."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        return (await self._read())["figures"]

    async def _read(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(180):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the subject has gone")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


@asynccontextmanager
async def subject(bench: Bench, name: str, *arguments: str, python: str = sys.executable) -> AsyncIterator[Remote]:
    """`python -m benchmarks.subjects.NAME PORT FOLDER ARGUMENTS`, ready for commands; killed in the end."""
    folder = bench.folder / f"{name}-{'-'.join(arguments)}-{os.urandom(3).hex()}"
    folder.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        f"benchmarks.subjects.{name}",
        str(bench.port),
        str(folder),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None if os.environ.get("BENCH_VERBOSE") else asyncio.subprocess.DEVNULL,
        env=environ,
        cwd=ROOT,
        limit=2**24,
    )
    try:
        remote = Remote(process)
        await remote.ready()
        yield remote
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def llm_server() -> AsyncIterator[int]:
    """The fake model in its process; gives its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.llm_server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()
