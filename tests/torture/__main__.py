"""The long trials, as `make torture` runs them: `python -m tests.torture --messages 10000 --seed 7`.

Prints seed, counts and figures; ends with 1 when an invariant was broken. `--only faults --trial N` replays one trial.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from tests.torture.crashes import CrashReport, run_crashes
from tests.torture.trial import run_order

PER_TRIAL = 500
"""Messages that one house lives through; each trial ends with a look at what it leaves behind."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=60, help="who ask at the same time, in each trial")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--crashes", type=int, default=200, help="kill -9 trials under load")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=("faults", "crashes"), help="leave the other part out")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    good = True
    if given.only != "crashes":
        good &= faults(given.seed, given.messages, given.people, given.processes)
    if given.only != "faults":
        good &= crashes(given.seed, given.crashes)
    print("every invariant held" if good else "BROKEN: see above")
    return 0 if good else 1


def faults(seed: int, messages: int, people: int, processes: int) -> bool:
    began = time.monotonic()
    orders = [
        (seed + number, min(PER_TRIAL, messages - number * PER_TRIAL), people)
        for number in range(-(-messages // PER_TRIAL))
    ]
    ends: Counter[str] = Counter()
    met: Counter[str] = Counter()
    done = asked = broken = 0
    world_s = 0.0
    # A fresh process each: what one house leaves behind cannot help or hurt the next.
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        for report in pool.imap_unordered(run_order, orders):
            done, asked, broken = done + report.messages, asked + report.asked, broken + len(report.broken)
            world_s += report.world_s
            ends.update(report.ends)
            met.update(report.faults)
            print(
                f"  trial {report.seed}: {report.messages} messages, {sum(report.faults.values())} faults, "
                f"{report.took_s:.0f} s for {report.world_s:.0f} s of theirs, broken: {len(report.broken)}",
                flush=True,
            )
            for line in report.broken:
                print(f"    BROKEN {line}", flush=True)
    took_s = time.monotonic() - began
    print(
        f"{done} messages, {asked} requests to models, {sum(met.values())} faults of {len(met)} kinds; "
        f"{took_s:.0f} s for {world_s:.0f} s of theirs"
    )
    print(f"  ends: {_counts(ends)}")
    print(f"  faults: {_counts(met)}")
    print(f"  broken invariants: {broken}", flush=True)
    return not broken


def crashes(seed: int, trials: int) -> bool:
    report: CrashReport = run_crashes(seed, trials)
    print(f"{report.kills} kill -9 under load, {report.messages} messages, in {report.took_s:.0f} s")
    print(f"  killed at: {_counts(report.points)}")
    print(f"  ends: {_counts(report.ends)}")
    for line in report.broken:
        print(f"    BROKEN {line}")
    print(f"  lost or doubled: {len(report.broken)}", flush=True)
    return not report.broken


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())


if __name__ == "__main__":
    sys.exit(main())
