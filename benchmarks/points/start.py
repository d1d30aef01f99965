"""tmp"""
from benchmarks.figures import Section
from benchmarks.bench import Bench
async def measure(bench: Bench) -> Section:
    return Section("x","x")
