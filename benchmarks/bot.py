"""`python -m bot run` as an operator starts it, pointed at the tests' fakes, and watched from outside."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.bench import ROOT, Bench, free_port
from tests.fakes.discord import FakeDiscord
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Bot:
    """A running bot."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, began: float) -> None:
        self._process = process
        self._port = port
        self._began = began

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def rss_mb(self) -> float:
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE / 1e6

    @property
    def cpu_s(self) -> float:
        """Since its start."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    async def ready(self, *adapters: str) -> tuple[float, float]:
        """Wait until it takes work and the adapters are connected; (seconds, CPU seconds) since the process began."""
        for path in ("/readyz", *(f"/readyz?adapter={name}" for name in adapters)):
            await until(lambda path=path: self._says_ok(path), within_s=60)  # type: ignore[misc]
        return time.monotonic() - self._began, self.cpu_s

    async def _says_ok(self, path: str) -> bool:
        if self._process.returncode is not None:
            raise RuntimeError("the bot has gone")
        return b" 200 " in (await self.request(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n")).split(b"\r\n")[0]

    async def request(self, head: str, body: bytes = b"") -> bytes:
        """Send a request of our own making; b"" where nobody listens yet."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return b""
        writer.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
        writer.close()
        return answer

    async def ask(self, question: str) -> bytes:
        """Ask through the API and read the answer to its end."""
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        return await self.request(
            head, b'{"model":"auto","messages":[{"role":"user","content":"%b"}]}' % question.encode()
        )


async def until(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Wait for a condition, plain or to be awaited, looked at every few milliseconds."""
    async with asyncio.timeout(within_s):
        while not (await said if asyncio.iscoroutine(said := condition()) else said):
            await asyncio.sleep(0.005)


@asynccontextmanager
async def bot(bench: Bench, *environs: Mapping[str, str], home: str = "", settings: str = "") -> AsyncIterator[Bot]:
    """A bot with Groq's key and whatever the *environs* add; killed in the end.

    Args:
        home: Name of its data folder, so that a later one finds the same; "" for a new one.
        settings: Added to its tern.toml.
    """
    folder = bench.folder / (home or f"bot-{os.urandom(4).hex()}")
    folder.mkdir(exist_ok=True)
    port = free_port()
    config = folder / "tern.toml"
    config.write_text('[models."openai/gpt-oss-20b"]\nlimits = { TPM = 100000000 }\n' + settings)
    environ = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "LANG": "C.UTF-8",
        "GROQ_API_KEY": "k", "GROQ_BASE_URL": bench.base_url, "LOCAL_MODEL": "off", "DATA_DIR": str(folder),
        "TERN_CONFIG": str(config), "PORT": str(port), "LOG_FORMAT": "json", "LOG_LEVEL": "error",
    }  # fmt: skip
    for more in environs:
        environ |= more
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "run",
        cwd=folder,
        env=environ,
        stderr=None if os.environ.get("BENCH_VERBOSE") else asyncio.subprocess.DEVNULL,
    )
    try:
        yield Bot(process, port, began)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def with_slack(fake: FakeSlack) -> dict[str, str]:
    return {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": fake.api_url}


def with_discord(fake: FakeDiscord) -> dict[str, str]:
    return {
        "DISCORD_BOT_TOKEN": fake.token,
        "DISCORD_API_URL": fake.api_url,
        "DISCORD_GATEWAY_URL": fake.gateway_url,
    }


def with_openai(bench: Bench) -> dict[str, str]:
    return {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{bench.base_url}/v1"}
