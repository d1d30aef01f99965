"""Whole bots from PyPI on the tests' fake Discord: `make bench-peers`. Prints; RESULTS.md is `make bench`'s alone.

nanobot-ai has no setting for Discord's address, but it uses discord.py, whose two constants are set before it starts;
nothing else in it is touched. hermes-agent is not among them yet: nobody has written its set-up for the fakes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.bench import ROOT, Bench, llm_server
from benchmarks.bot import until
from benchmarks.points.channels import LATENCY_S, Crowd, Crowds, ask_all, measure_tern, rooms
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.limits import Limits

NANOBOT = ROOT / ".venv-bots" / "bin" / "python"

_LAUNCH = """
import sys, yarl, discord.http, discord.gateway
discord.http.Route.BASE = sys.argv.pop(1)
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(sys.argv.pop(1))
from nanobot.cli.commands import app
app()
"""


async def measure() -> None:
    with tempfile.TemporaryDirectory(prefix="tern-peers-") as folder:
        async with llm_server() as port:
            bench = Bench(False, 1, port, Path(folder))
            print("Tern\n\n" + (await measure_tern(bench)).table().markdown())
            try:
                crowds = [await _nanobot(bench, size) for size in (1, 10, 50)]
            except (TimeoutError, OSError) as error:
                print(f"\nnanobot-ai could not be measured: {error!r}", file=sys.stderr)
            else:
                print("\nnanobot-ai\n\n" + Crowds(tuple(crowds)).table().markdown())


async def _nanobot(bench: Bench, channels: int) -> Crowd:
    async with FakeDiscord(limits=Limits(), latency_s=LATENCY_S, content_intent=True) as discord:
        warm, asked = rooms(discord, 1), rooms(discord, channels)
        async with _running(bench, discord):
            await until(lambda: discord.gateway.sessions, within_s=60)
            await asyncio.sleep(3.0)
            await ask_all(discord, warm)
            return await ask_all(discord, asked)


@asynccontextmanager
async def _running(bench: Bench, discord: FakeDiscord) -> AsyncIterator[None]:
    home = Path(tempfile.mkdtemp(dir=bench.folder))
    config = {
        "agents": {"defaults": {"provider": "custom", "model": "openai/gpt-oss-20b"}},
        "providers": {"custom": {"apiKey": "k", "apiBase": f"{bench.base_url}/openai/v1"}},
        "channels": {"discord": {"enabled": True, "token": discord.token, "allowFrom": ["*"]}},
    }
    (home / ".nanobot").mkdir()
    (home / ".nanobot" / "config.json").write_text(json.dumps(config))
    output = None if os.environ.get("BENCH_VERBOSE") else asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *(str(NANOBOT), "-c", _LAUNCH, discord.api_url, discord.gateway_url, "gateway"),
        env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        cwd=home,
        stdout=output,
        stderr=output,
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
