"""Point 7: the durable inbox and the cache."""

from __future__ import annotations

from benchmarks.bench import Bench, subject
from benchmarks.figures import Section, Spread, Table


async def measure(bench: Bench) -> Section:
    count = 300 if bench.quick else 1_500
    one, many, busy, hits = [], [], [], []
    async with (
        subject(bench, "house", "uvloop", "closed") as closed,
        subject(bench, "house", "uvloop", "running") as running,
    ):
        for _ in range(bench.rounds):
            one.append(await closed.do("accepts", count=count // 3, tasks=1))
            many.append(await closed.do("accepts", count=count, tasks=64))
            busy.append(await running.do("accept_while_growing", answers=100, count=100))
            hits.append(await running.do("cache_hits", count=200))
    rows = (
        ("messages accepted a second, 1 task", Spread(tuple(got["per_s"] for got in one)).text(0)),
        ("messages accepted a second, 64 tasks", Spread(tuple(got["per_s"] for got in many)).text(0)),
        ("CPU µs of one, 1 task", Spread(tuple(got["cpu_us"] for got in one)).text(0)),
        ("CPU µs of one, 64 tasks", Spread(tuple(got["cpu_us"] for got in many)).text(0)),
        ("accept while 100 answers grow, ms, median", Spread(tuple(got[0] for got in busy)).text()),
        ("accept while 100 answers grow, ms, 99 %", Spread(tuple(got[1] for got in busy)).text()),
        ("cache hit, request to reply, µs, median", Spread(tuple(got[0] for got in hits)).text(0)),
        ("cache hit, request to reply, µs, 99 %", Spread(tuple(got[1] for got in hits)).text(0)),
    )
    return Section(
        "7. Storage",
        "SQLite in WAL on this machine's disk; a message counts when its commit is done (group commit, one writer). "
        "While 100 answers grow at 50 tokens a second each, a message is accepted every 10 ms and answered as well. "
        "The cached answer has 200 tokens and is in memory.",
        (Table(("", ""), rows),),
    )
