"""A thousand schedules over a year in five zones, 200 kills, two processes: each due time once."""

from __future__ import annotations

import asyncio

from tests.core.schedules.test_ticker import trial

if __name__ == "__main__":
    print(f"{asyncio.run(trial(schedules=1_000, days=366, kills_wanted=200)):,} times came due; each was taken once")
