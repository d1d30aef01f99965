"""One model behind two OpenAI-compatible addresses, Tern's API and LiteLLM's proxy, as a caller of each sees it.

For `make bench-peers`. LiteLLM is no bot, so this is the place where both can be asked the same thing.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

import aiohttp

from benchmarks.bench import ROOT, Bench, free_port
from benchmarks.bot import bot, until
from benchmarks.figures import Table
from benchmarks.points.channels import EVERY_MS, FIRST_TOKEN_S, QUESTION, TOKENS

PROXY = ROOT / ".venv-proxy" / "bin" / "litellm"

CALLERS = (1, 10, 30)
"""Streams at once. Tern lets one caller have 32 open (adapters/web/settings.py)."""

_MODEL = "openai/gpt-oss-20b"

_UNLIMITED = "[limits]\nrequests_per_minute = 0\ntokens_per_minute = 0\ntokens_per_day = 0\ncost_per_day_usd = 0\n"
"""One caller asks for all of them here; LiteLLM's proxy has no limits either unless one sets them."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where to ask, and with which key."""

    name: str
    url: str
    key: str


@dataclass(frozen=True, slots=True)
class Stream:
    """What one caller saw; seconds from the question. Zeros where there was no text."""

    first_s: float
    last_s: float
    chars: int


@asynccontextmanager
async def tern(bench: Bench) -> AsyncIterator[Gateway]:
    async with bot(bench, settings=_UNLIMITED) as house:
        await house.ready()
        yield Gateway("Tern", house.url, "not needed on this machine")


@asynccontextmanager
async def litellm(bench: Bench, version: str) -> AsyncIterator[Gateway]:
    """Its proxy with one deployment and one worker, everything optional at its default."""
    home = bench.folder / "litellm"
    home.mkdir()
    key = f"sk-{secrets.token_hex(24)}"
    deployment = {"model": f"openai/{_MODEL}", "api_base": f"{bench.base_url}/v1", "api_key": "k"}
    config = {"model_list": [{"model_name": _MODEL, "litellm_params": deployment}]}
    (home / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(str(PROXY), "--config", str(home / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "LITELLM_MASTER_KEY": key,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        cwd=home,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=None if os.environ.get("BENCH_VERBOSE") else asyncio.subprocess.DEVNULL,
    )
    gateway = Gateway(f"LiteLLM proxy {version}", f"http://127.0.0.1:{port}", key)
    try:
        async with aiohttp.ClientSession() as session:
            await until(lambda: _lives(session, gateway), within_s=120)
        yield gateway
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _lives(session: aiohttp.ClientSession, gateway: Gateway) -> bool:
    try:
        async with session.get(f"{gateway.url}/health/liveliness") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def measure(bench: Bench, version: str) -> Table:
    rows = []
    for opened in (tern(bench), litellm(bench, version)):
        async with opened as gateway:
            await _crowd(gateway, 1)  # imports and connections
            rows += [_row(gateway, await _crowd(gateway, callers)) for callers in CALLERS]
    caption = (
        f"### Streams through an OpenAI-compatible address: {TOKENS} tokens at {1000 // EVERY_MS} a second, first "
        f"token after {FIRST_TOKEN_S:g} s, all callers at once"
    )
    return Table(
        ("", "callers", "first text, median / slowest", "last word, median / slowest", "whole"), tuple(rows), caption
    )


def _row(gateway: Gateway, streams: list[Stream]) -> tuple[str, ...]:
    whole = [stream for stream in streams if stream.chars == max(one.chars for one in streams)]
    first, last = [stream.first_s for stream in whole], [stream.last_s for stream in whole]
    return (
        gateway.name,
        f"{len(streams)}",
        f"{median(first):.3f} / {max(first):.3f} s",
        f"{median(last):.2f} / {max(last):.2f} s",
        f"{len(whole)} of {len(streams)}",
    )


async def _crowd(gateway: Gateway, callers: int) -> list[Stream]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        asked = [group.create_task(_ask(session, gateway)) for _ in range(callers)]
    return [task.result() for task in asked]


async def _ask(session: aiohttp.ClientSession, gateway: Gateway) -> Stream:
    began, first, last, chars = time.monotonic(), 0.0, 0.0, 0
    body = {"model": _MODEL, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"Authorization": f"Bearer {gateway.key}"}
    async with session.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers) as answer:
        async for line in answer.content:
            if text := _text_of(line):
                last = time.monotonic() - began
                first = first or last
                chars += len(text)
    return Stream(first, last, chars)


def _text_of(line: bytes) -> str:
    if not line.startswith(b"data: {"):
        return ""
    choices = json.loads(line[6:]).get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""
