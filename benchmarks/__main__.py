"""`python -m benchmarks [--quick | --peers] [--only POINT ...]`; see the Makefile."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from benchmarks.bench import ROOT, Bench, llm_server
from benchmarks.figures import Section
from benchmarks.points import chunks, first_token, growth, memory, screen, start, storage
from benchmarks.report import report

RESULTS = ROOT / "benchmarks" / "RESULTS.md"

POINTS: Mapping[str, Callable[[Bench], Awaitable[Section]]] = {
    "chunks": chunks.measure_cpu,
    "capacity": chunks.measure_capacity,
    "first_token": first_token.measure,
    "screen": screen.measure,
    "memory": memory.measure,
    "start": start.measure,
    "storage": storage.measure,
    "growth": growth.measure,
}


async def run(names: list[str], *, quick: bool, rounds: int) -> str:
    began, load = time.monotonic(), os.getloadavg()[0]
    sections = []
    with tempfile.TemporaryDirectory(prefix="tern-bench-") as folder:
        async with llm_server() as port:
            bench = Bench(quick, rounds, port, Path(folder))
            for name in names:
                print(f"... {name}", file=sys.stderr, flush=True)
                sections.append(await _measured(name, bench))
                print(sections[-1].markdown(), end="\n\n", flush=True)
    return report(sections, loads=(load, os.getloadavg()[0]), took_s=time.monotonic() - began, rounds=rounds)


async def _measured(name: str, bench: Bench) -> Section:
    """The point's section; where it broke, a section that says so, so that the others are not lost."""
    try:
        return await POINTS[name](bench)
    except (RuntimeError, OSError) as error:  # TimeoutError is an OSError
        return Section(f"{name}: not measured", f"It broke off: {type(error).__name__} {error}".strip())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument(
        "--quick", action="store_true", help="fewer subjects, one round, under a minute; writes nothing"
    )
    parser.add_argument("--peers", action="store_true", help="whole bots from PyPI on the fake Discord")
    parser.add_argument("--only", nargs="*", choices=POINTS, default=[], help="some points; writes nothing")
    parser.add_argument("--rounds", type=int, default=2, help="of each comparison; two take nine minutes")
    asked = parser.parse_args()
    if asked.peers:
        from benchmarks.peers import measure

        asyncio.run(measure())
        return
    names = asked.only or [name for name in POINTS if not (asked.quick and name in _SLOW)]
    written = asyncio.run(run(names, quick=asked.quick, rounds=1 if asked.quick else asked.rounds))
    if not (asked.quick or asked.only):
        RESULTS.write_text(written)
        print(f"Written to {RESULTS.relative_to(ROOT)}.")


_SLOW = {"memory", "capacity"}

if __name__ == "__main__":
    main()
