"""Point 3: what the house adds before the first token is seen."""

from __future__ import annotations

from benchmarks.bench import Bench, subject
from benchmarks.figures import Section, Spread, Table, at_most


async def measure(bench: Bench) -> Section:
    count = 50 if bench.quick else 150
    halves: dict[str, list[tuple[float, float]]] = {}
    loops = ("asyncio",) if bench.quick else ("asyncio", "uvloop")
    for loop in loops:
        async with subject(bench, "house", loop, "running") as house:
            await house.do("first_token", count=20)
            for _ in range(bench.rounds):
                for half, (median, p99) in (await house.do("first_token", count=count)).items():
                    halves.setdefault(f"{loop} {half}", []).append((median, p99))
    names = {
        "before": "accepted until the request has arrived",
        "after": "chunk written until shown",
        "both": "together",
    }
    rows = []
    for key, values in halves.items():
        loop, half = key.split()
        medians, worst = Spread(tuple(v[0] for v in values)), Spread(tuple(v[1] for v in values))
        rows.append((f"{names[half]}, {loop}", medians.text(2), worst.text(2)))
    loop = loops[-1]
    both = halves[f"{loop} both"]
    return Section(
        "3. Time added before the first token",
        f"One question after the other, {count} a round, each from another person in a new conversation, through the "
        "durable inbox (SQLite on disk, committed), history, personas and the whole stack; a platform without network "
        "shows at once. The first half ends when the model's server, in another process, has read the request; the "
        "second begins when it has written the first chunk. Both therefore contain the server's share. `python -m bot "
        "run` takes uvloop where it is installed (`make setup` does).",
        (Table(("ms", "median", "99 %"), tuple(rows)),),
        (
            at_most("under 3 ms together at the median", Spread(tuple(v[0] for v in both)).middle, 3.0, "ms"),
            at_most("under 10 ms at 99 %", Spread(tuple(v[1] for v in both)).middle, 10.0, "ms"),
        ),
    )
