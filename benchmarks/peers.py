"""Whole bots from PyPI on the tests' fake Discord beside Tern: `make bench-peers`, written to benchmarks/PEERS.md.
LiteLLM is no bot: its proxy is asked beside our API (gateways.py), and `make bench` measures its Router.

None of them has a setting for Discord's address, but all use discord.py, whose two constants are set before they
start; nothing else in them is touched. Each streams as its own documentation says, with the fake model as its only
one and everything optional left at its default.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import gateways
from benchmarks.bench import ROOT, Bench, llm_server
from benchmarks.bot import until
from benchmarks.figures import Section, Table
from benchmarks.points.channels import (
    LATENCY_S,
    Crowd,
    ask_all,
    caption,
    measure_tern,
    rooms,
    row,
)
from benchmarks.report import machine
from tests.fakes.discord import FakeDiscord
from tests.fakes.discord.limits import Limits

PEERS = ROOT / "benchmarks" / "PEERS.md"

SIZES = (1, 10, 50)
"""Channels that ask at once."""

PATIENCE_S = 240.0
"""How long a bot may take for all answers of one crowd."""

_LAUNCH = """
import sys, yarl, discord.http, discord.gateway
discord.http.Route.BASE = sys.argv.pop(1)
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(sys.argv.pop(1))
"""

Configure = Callable[[Path, Bench, FakeDiscord], Mapping[str, str]]
"""Writes a bot's configuration into its home; returns what its environment needs besides."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A bot from PyPI: where it is installed, how it is set up and how it starts."""

    package: str
    python: Path
    start: str
    """Python that runs its command line."""
    arguments: tuple[str, ...]
    configure: Configure

    @property
    def name(self) -> str:
        return f"{self.package} {version(self.python, self.package)}".strip()


def version(python: Path, package: str) -> str:
    """As installed for that interpreter; "" where it is not."""
    if not python.exists():
        return ""
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False).stdout.strip()


def _nanobot(home: Path, bench: Bench, discord: FakeDiscord) -> Mapping[str, str]:
    config = {
        "agents": {"defaults": {"provider": "custom", "model": "openai/gpt-oss-20b"}},
        "providers": {"custom": {"apiKey": "k", "apiBase": f"{bench.base_url}/openai/v1"}},
        "channels": {"discord": {"enabled": True, "token": discord.token, "allowFrom": ["*"]}},
    }
    (home / ".nanobot").mkdir()
    (home / ".nanobot" / "config.json").write_text(json.dumps(config))
    return {}


def _hermes(home: Path, bench: Bench, discord: FakeDiscord) -> Mapping[str, str]:
    """Threads of its own and streaming are settings; the first would need rights that the fake does not give."""
    model = {"provider": "custom", "default": "openai/gpt-oss-20b", "base_url": f"{bench.base_url}/openai/v1"}
    config = {"model": {**model, "api_key": "k"}, "streaming": {"enabled": True}, "discord": {"auto_thread": False}}
    (home / ".hermes").mkdir()
    (home / ".hermes" / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    return {
        "HERMES_HOME": str(home / ".hermes"),
        "DISCORD_BOT_TOKEN": discord.token,
        "DISCORD_ALLOW_ALL_USERS": "true",
        "DISCORD_AUTO_THREAD": "false",
    }


BOTS = (
    Peer(
        "nanobot-ai",
        ROOT / ".venv-bots" / "bin" / "python",
        "from nanobot.cli.commands import app; app()",
        ("gateway",),
        _nanobot,
    ),
    Peer(
        "hermes-agent",
        ROOT / ".venv-hermes" / "bin" / "python",
        "from hermes_cli.main import main; main()",
        ("gateway", "run"),
        _hermes,
    ),
)


async def measure() -> None:
    began, load = time.monotonic(), os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory(prefix="tern-peers-") as folder:
        async with llm_server() as port:
            bench = Bench(False, 1, port, Path(folder))
            rows += [("Tern", *row(crowd)) for crowd in (await measure_tern(bench)).crowds]
            for peer in BOTS:
                for size in SIZES:
                    rows.append((peer.name, *await _measured(bench, peer, size)))
                    print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
            streams = await gateways.measure(bench, version(gateways.PROXY.with_name("python"), "litellm"))
    head = ("", "channels at once", "first text, median / slowest", "last word, median / slowest", "calls", "429s")
    section = Section(
        "Whole bots on the strict fake Discord, one after the other",
        "Five posts and five edits in five seconds a channel, fifty calls a second over all, each bot in its own "
        "process and asked once before it is measured: " + caption(),
        (Table(head, tuple(rows)), streams),
        (),
        (),
    )
    text = "\n\n".join(
        [
            "# Peers",
            f"Written by `make bench-peers`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
            *machine((load, os.getloadavg()[0])),
            section.markdown(),
        ]
    )
    PEERS.write_text(text + f"\n\nThe run took {(time.monotonic() - began) / 60:.0f} minutes.\n")
    print(PEERS.read_text())


async def _measured(bench: Bench, peer: Peer, channels: int) -> tuple[str, ...]:
    try:
        return row(await _crowd(bench, peer, channels))
    except (TimeoutError, OSError) as error:
        return (f"{channels}", f"not measured: {type(error).__name__} {error}".strip(), "", "", "")


async def _crowd(bench: Bench, peer: Peer, channels: int) -> Crowd:
    async with FakeDiscord(limits=Limits(), latency_s=LATENCY_S, content_intent=True) as discord:
        warm, asked = rooms(discord, 1), rooms(discord, channels)
        async with _running(bench, peer, discord):
            await until(lambda: discord.gateway.sessions, within_s=120)
            await asyncio.sleep(5.0)  # what they do once they are connected
            await ask_all(discord, warm, patience_s=PATIENCE_S)
            return await ask_all(discord, asked, patience_s=PATIENCE_S)


@asynccontextmanager
async def _running(bench: Bench, peer: Peer, discord: FakeDiscord) -> AsyncIterator[None]:
    home = Path(tempfile.mkdtemp(dir=bench.folder))
    environ = peer.configure(home, bench, discord)
    output = None if os.environ.get("BENCH_VERBOSE") else asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *(str(peer.python), "-c", _LAUNCH + peer.start, discord.api_url, discord.gateway_url, *peer.arguments),
        env={"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environ},
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
