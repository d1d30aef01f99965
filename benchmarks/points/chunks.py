"""Points 1 and 2: what a streamed chunk costs, and how many answers one core carries."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.bench import PEERS_PYTHON, Bench, Remote, subject
from benchmarks.figures import Goal, Section, Spread, Table, at_least, at_most

LOOP = "uvloop" if find_spec("uvloop") else "asyncio"
"""As `python -m bot run` chooses it. The others run as their users run them, on asyncio's own loop."""

HOUSE, HOUSE_ASYNCIO = "Tern", "Tern on asyncio's loop"
GROQ, GROQ_AIOHTTP, OPENAI = "groq SDK", "groq SDK on aiohttp", "openai SDK"
LITELLM = "LiteLLM Router"
FLOOR, FLOOR_ASYNCIO = "floor: Tern's connections", "floor: Tern's connections, asyncio's loop"
RAW, RAW_ASYNCIO = "floor: asyncio streams, uvloop", "floor: asyncio streams"
AIOHTTP = "floor: aiohttp, uvloop"

_SUBJECTS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    HOUSE: ("house", (LOOP, "running"), sys.executable),
    HOUSE_ASYNCIO: ("house", ("asyncio", "running"), sys.executable),
    GROQ: ("sdk", ("groq",), sys.executable),
    GROQ_AIOHTTP: ("sdk", ("groq-aiohttp",), sys.executable),
    OPENAI: ("sdk", ("openai",), sys.executable),
    LITELLM: ("litellm_router", (), str(PEERS_PYTHON)),
    FLOOR: ("floor", ("house", LOOP), sys.executable),
    FLOOR_ASYNCIO: ("floor", ("house", "asyncio"), sys.executable),
    RAW: ("floor", ("streams", "uvloop"), sys.executable),
    RAW_ASYNCIO: ("floor", ("streams", "asyncio"), sys.executable),
    AIOHTTP: ("floor", ("aiohttp", "uvloop"), sys.executable),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How chunks arrive."""

    name: str
    burst: int
    every_ms: float
    chunks: int


PACKETS = Shape("a chunk per packet", 1, 10.0, 200)
BURSTS = Shape("bursts", 10, 20.0, 600)
STREAMS = 8


@asynccontextmanager
async def together(bench: Bench, names: list[str]) -> AsyncIterator[dict[str, Remote]]:
    """The subjects that can be had here, each in its process, all alive so that rounds can be interleaved."""
    async with AsyncExitStack() as stack:
        running = {}
        for name in names:
            module, arguments, python = _SUBJECTS[name]
            if name == LITELLM and not PEERS_PYTHON.exists():
                continue
            try:
                running[name] = await stack.enter_async_context(subject(bench, module, *arguments, python=python))
            except RuntimeError:
                if module == "house":
                    raise  # an optional one that does not install is left out, the house itself never
        yield running


async def measure_cpu(bench: Bench) -> Section:
    names = list(_SUBJECTS) if not bench.quick else [HOUSE, GROQ, FLOOR, RAW_ASYNCIO]
    figures: dict[tuple[str, str], list[float]] = {}
    async with together(bench, names) as running:
        for _ in range(bench.rounds):
            for shape in (PACKETS, BURSTS):
                for name, remote in running.items():
                    got = await remote.do(
                        "stream",
                        streams=STREAMS,
                        chunks=shape.chunks,
                        burst=shape.burst,
                        every_ms=shape.every_ms,
                        hold_ms=300,
                        lags=False,
                    )
                    figures.setdefault((name, shape.name), []).append(got["us_per_chunk"])
    spreads = {key: Spread(tuple(values)) for key, values in figures.items()}
    measured = [name for name in names if (name, BURSTS.name) in spreads]
    rows = []
    for name in measured:
        cells = [name]
        for shape in (PACKETS, BURSTS):
            mine = spreads[name, shape.name]
            cells += [mine.text(), mine.over(spreads[HOUSE, shape.name]).text(2)]
        rows.append(tuple(cells))
    head = ("", "µs a chunk, a chunk per packet", "times Tern", "µs a chunk, bursts", "times Tern")
    return Section(
        "1. CPU per streamed chunk",
        f"Processor time of the subject's process from the moment when all {STREAMS} streams have begun to the last "
        "token, divided by the chunks in between; requests and endings stay outside. Tern: chat service, whole stack "
        "(observe, cache, guard, fallback, retry, provider) over a real database, into a Draft, on the loop that "
        f"`python -m bot run` takes ({LOOP}). The SDKs and LiteLLM's Router (one deployment) as their users run them: "
        "`async for chunk in stream` reading `delta.content`, on asyncio's loop. The floors read bytes and decode one "
        f"field. Packets: {PACKETS.chunks} chunks a stream, one every {PACKETS.every_ms:g} ms. Bursts: "
        f"{BURSTS.chunks} chunks a stream, {BURSTS.burst} in each write every {BURSTS.every_ms:g} ms.",
        (Table(head, tuple(rows)),),
        tuple(cpu_goals(spreads)),
    )


def cpu_goals(spreads: Mapping[tuple[str, str], Spread]) -> list[Goal]:
    """The goals of point 1, from (subject, shape) -> microseconds a chunk."""

    def ratio(name: str, shape: Shape) -> float:
        if (name, shape.name) not in spreads:
            return float("nan")
        return spreads[name, shape.name].over(spreads[HOUSE, shape.name]).middle

    floor = {shape: 1 / ratio(FLOOR, shape) for shape in (PACKETS, BURSTS)}
    return [
        at_least("bursts: 12 times below the groq SDK", ratio(GROQ, BURSTS), 12, "times"),
        at_least("bursts: 40 times below LiteLLM", ratio(LITELLM, BURSTS), 40, "times"),
        at_least("a chunk per packet: 4 times below the groq SDK", ratio(GROQ, PACKETS), 4, "times"),
        at_least("a chunk per packet: 12 times below LiteLLM", ratio(LITELLM, PACKETS), 12, "times"),
        at_most("within 1.5 times the floor of its transport, packets", floor[PACKETS], 1.5, "times"),
        at_most("within 1.5 times the floor of its transport, bursts", floor[BURSTS], 1.5, "times"),
    ]


_MOST = {HOUSE: 400, GROQ: 60, LITELLM: 20}
"""Where the search begins to doubt; above it nobody asked."""


async def measure_capacity(bench: Bench) -> Section:
    names = [HOUSE, GROQ] if bench.quick else [HOUSE, GROQ, LITELLM]
    shapes = (Shape("a chunk per packet", 1, 2.0, 500), Shape("bursts of 20 ms", 10, 20.0, 500))
    found: dict[tuple[str, str], list[float]] = {}
    async with together(bench, names) as running:
        for number in range(1 if bench.quick else 2):
            for shape in shapes:
                for name, remote in running.items():
                    earlier = found.get((name, shape.name), [])
                    guess = int(earlier[-1]) if number else {HOUSE: 16, GROQ: 4, LITELLM: 2}[name]
                    most = await _carried(remote, shape, guess, _MOST[name])
                    found.setdefault((name, shape.name), []).append(float(most))
    spreads = {key: Spread(tuple(values)) for key, values in found.items()}
    rows, goals = [], []
    for name in running:
        cells = [name]
        for shape in shapes:
            mine = spreads[name, shape.name]
            cells += [mine.text(0), spreads[HOUSE, shape.name].over(mine).text(1)]
        rows.append(tuple(cells))
    for shape, wanted in zip(shapes, (4, 10), strict=True):
        mine, sdk = spreads[HOUSE, shape.name], spreads[GROQ, shape.name]
        goals.append(at_least(f"{wanted} times the SDK loop, {shape.name}", mine.over(sdk).middle, wanted, "times"))
    head = ("", "answers, a chunk per packet", "Tern carries", "answers, bursts of 20 ms", "Tern carries")
    return Section(
        "2. Answers of 500 tokens a second that one core carries",
        "One process, one event loop; each token brings the time it was written, and 99 % must reach the Draft within "
        "50 ms. Found by doubling and halving, one second each time. The answers must also come at that speed: where "
        "the server could not write faster, the figure is the server's.",
        (Table(head, tuple(rows)),),
        tuple(goals),
    )


async def _carried(remote: Remote, shape: Shape, guess: int, most: int) -> int:
    async def holds(streams: int) -> bool:
        hold_ms = min(2_000, 200 + 5 * streams)
        lasts_s = hold_ms / 1e3 + shape.chunks / shape.burst * shape.every_ms / 1e3
        for _ in range(2):  # a machine that was busy for a moment is asked again
            got = await remote.do(
                "stream",
                streams=streams,
                chunks=shape.chunks,
                burst=shape.burst,
                every_ms=shape.every_ms,
                hold_ms=hold_ms,
                lags=True,
            )
            # Answers that took longer did not come at 500 tokens a second: then the server is what carries no more.
            if got["on_time"] >= 0.99 and got["wall_s"] < 1.2 * lasts_s:
                return True
        return False

    low, high = 0, guess
    while high <= most and await holds(high):
        low, high = high, high * 2
    high = min(high, most + 1)
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        if await holds(middle):
            low = middle
        else:
            high = middle
    return max(1, low)
