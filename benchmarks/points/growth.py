"""Point 8: nothing grows faster than linearly, and a long history costs what a short one does."""

from __future__ import annotations

from benchmarks.bench import Bench, subject
from benchmarks.figures import Goal, Section, Spread, Table, at_most


async def measure(bench: Bench) -> Section:
    sizes = (1, 10, 100) if bench.quick else (1, 10, 100, 1_000)
    histories = (100, 10_000)
    rows = []
    costs: dict[int, float] = {}
    by_length: dict[int, list[float]] = {length: [] for length in histories}
    async with subject(bench, "house", "asyncio", "running") as house:
        for answers in sizes:
            # As many chunks a second in all sizes, as far as that goes, so that only the number of streams differs.
            every_ms = min(1_000.0, max(20.0, answers * 4.0))  # a longer silence would be a stall
            chunks = 300 if answers < 100 else 60
            got = await house.do(
                "stream", streams=answers, chunks=chunks, burst=10, every_ms=every_ms, hold_ms=500 + answers, lags=False
            )
            costs[answers] = got["us_per_chunk"]
            tasks = await house.do("whole", streams=answers, chunks=40, burst=10, every_ms=50, hold_ms=0, lags=False)
            rows.append((f"{answers:,}", f"{costs[answers]:.1f}", f"{tasks['ms_per_answer']:.1f}"))
        for length in histories:
            await house.do("fill", root=f"long{length}", turns=length)
        for _ in range(max(3, bench.rounds)):
            for length in histories:
                by_length[length].append(await house.do("history", root=f"long{length}", count=15))
    short, long = (Spread(tuple(by_length[length])) for length in histories)
    growth = costs[sizes[-1]] / costs[sizes[1]]
    return Section(
        "8. Growth",
        "CPU per chunk into the Draft with so many answers growing at once, and CPU of one whole answer of 40 tokens "
        "through inbox, middleware stack and screen when so many are asked at once. Below, CPU of one short answer in "
        "a "
        "conversation of so many turns, with the house's own prompt budget.",
        (
            Table(("answers at once", "µs a chunk, bursts", "ms a whole answer"), tuple(rows)),
            Table(
                ("turns in the conversation", "CPU ms an answer"),
                tuple((f"{n:,}", s.text(2)) for n, s in zip(histories, (short, long), strict=True)),
            ),
        ),
        (
            Goal(
                f"nothing faster than linear: a chunk at {sizes[-1]:,} against 10 at once",
                f"{growth:.2f} times",
                growth <= 1.5,
                "per chunk, so linear growth would be 1",
            ),
            at_most("10,000 turns cost no more per answer than 100", long.over(short).middle, 1.1, "times"),
        ),
    )
