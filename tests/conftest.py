"""What every test may use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.fakes.clock import FakeClock, LoopClock, VirtualTimeLoop

# The same commit gives the same verdict; `pytest --hypothesis-profile=explore` looks for what nobody has seen yet.
# No deadlines: machines are shared and noisy.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2_000, deadline=None)
settings.load_profile("steady")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves by hand."""
    return FakeClock()


@pytest.fixture
def loop_clock() -> LoopClock:
    """Reads the loop's own time; combine with `run_virtual`."""
    return LoopClock()


@pytest.fixture
def run_virtual() -> Iterator[object]:
    """`run_virtual(coroutine)`: run it on a loop whose time jumps, from a plain (not async) test."""
    runners: list[asyncio.Runner] = []

    def run(coroutine: object) -> object:
        runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        runners.append(runner)
        return runner.run(coroutine)  # type: ignore[arg-type]

    yield run
    for runner in runners:
        runner.close()
