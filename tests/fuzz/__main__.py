"""Runs the parts of `make fuzz`: `python -m tests.fuzz [PART ...] --seed 7 --count 500`. Ends with 1 if one failed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import pkgutil
import random
import sys
import time
import traceback
from types import ModuleType

from tests import fuzz

MAX_SHOWN = 5
"""Faults told in full for each part; the others are counted."""

DEFAULT_SEED = 20_261_201


def main() -> int:
    parts = [found.name for found in pkgutil.iter_modules(fuzz.__path__) if not found.name.startswith("_")]
    modules = {name: importlib.import_module(f"tests.fuzz.{name}") for name in parts}
    modules = {name: module for name, module in modules.items() if hasattr(module, "COUNT")}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*modules, []], help="all of them, if none is named")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--count", type=int, help="inputs of each part")
    parser.add_argument("--only", type=int, metavar="N", help="try input N alone, and show its traceback")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    faults = 0
    for name in given.part or modules:
        module = modules[name]
        numbers = range(given.count or module.COUNT) if given.only is None else [given.only]
        began = time.monotonic()
        broken = run(name, module, given.seed, numbers)
        faults += broken
        print(f"{name}: {len(numbers)} tried, {broken} broken, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if faults else 0


def run(name: str, module: ModuleType, seed: int, numbers: range | list[int]) -> int:
    """Try the inputs of one part; how many were broken."""
    broken = 0
    with asyncio.Runner() as runner:
        for number in numbers:
            rng = random.Random(f"{seed}/{name}/{number}")
            try:
                found = module.check(rng)
                if inspect.isawaitable(found):
                    runner.run(_awaited(found))
            except Exception as error:
                broken += 1
                if broken <= MAX_SHOWN:
                    print(f"  {name} --only {number}: {type(error).__name__}: {str(error)[:1_500]}", flush=True)
                    if len(numbers) == 1:
                        traceback.print_exc()
    return broken


async def _awaited(found: object) -> None:
    await found  # type: ignore[misc]


if __name__ == "__main__":
    sys.exit(main())
