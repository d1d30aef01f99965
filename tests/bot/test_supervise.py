"""A part that crashes comes back; the rest of the house never notices."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.supervise import Backoff, Supervisor
from core.domain.errors import SettingsError, SurfaceBusy
from tests.fakes.clock import LoopClock

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Part:
    """Crashes as often as told, each time after `alive_s`, then returns."""

    def __init__(self, clock: LoopClock, crashes: list[Exception], alive_s: float = 0.0) -> None:
        self.clock = clock
        self.crashes = crashes
        self.alive_s = alive_s
        self.started_at: list[float] = []

    async def run(self) -> None:
        self.started_at.append(self.clock.monotonic())
        await self.clock.sleep(self.alive_s)
        if self.crashes:
            raise self.crashes.pop(0)


def supervise(part: Part, **kwargs: Any) -> Supervisor:
    return Supervisor("slack", part.run, clock=part.clock, random=Random(1), **kwargs)


def test_crashed_part_is_started_again(run_virtual: Run, loop_clock: LoopClock) -> None:
    """After a crash the part runs again, later each time."""
    part = Part(loop_clock, [OSError("a"), OSError("b"), OSError("c")])

    run_virtual(supervise(part).keep_running())

    gaps = [later - earlier for earlier, later in zip(part.started_at, part.started_at[1:], strict=False)]
    assert len(gaps) == 3
    assert 0.5 <= gaps[0] <= 1.0
    assert 1.0 <= gaps[1] <= 2.0
    assert 2.0 <= gaps[2] <= 4.0


def test_long_life_forgives_earlier_crashes(run_virtual: Run, loop_clock: LoopClock) -> None:
    """A part that ran for a minute before it crashed is restarted as quickly as after its first crash."""
    part = Part(loop_clock, [OSError(str(number)) for number in range(5)], alive_s=61.0)

    run_virtual(supervise(part).keep_running())

    gaps = [later - earlier - 61.0 for earlier, later in zip(part.started_at, part.started_at[1:], strict=False)]
    assert all(gap <= 1.0 for gap in gaps)


def test_fatal_problem_is_not_retried(run_virtual: Run, loop_clock: LoopClock) -> None:
    """A token that the platform rejects stops the part for good and is kept as the reason."""
    part = Part(loop_clock, [SettingsError(["SLACK_BOT_TOKEN was rejected"])])
    supervisor = supervise(part)

    run_virtual(supervisor.keep_running())

    assert len(part.started_at) == 1
    assert supervisor.failed
    assert supervisor.problem == "SLACK_BOT_TOKEN was rejected"


def test_crash_of_one_part_leaves_the_other_alone(run_virtual: Run, loop_clock: LoopClock) -> None:
    """Two parts in one task group: one crashes forever, the other works to its end."""
    broken = Part(loop_clock, [OSError("no") for _ in range(1_000)])
    healthy = Part(loop_clock, [], alive_s=500.0)

    async def house() -> None:
        async with asyncio.TaskGroup() as group:
            crashing = group.create_task(supervise(broken).keep_running())
            await group.create_task(supervise(healthy).keep_running())
            crashing.cancel()

    run_virtual(house())

    assert healthy.started_at == [0.0]
    assert len(broken.started_at) > 5


def test_waiting_part_says_why(run_virtual: Run, loop_clock: LoopClock) -> None:
    """While a crashed part waits for its restart, its problem can be read; once it runs, it is gone."""
    part = Part(loop_clock, [OSError("gateway is gone")])
    supervisor = supervise(part)

    async def watch() -> list[str]:
        seen = []
        async with asyncio.TaskGroup() as group:
            group.create_task(supervisor.keep_running())
            await asyncio.sleep(0.1)
            seen.append(supervisor.problem)
        return [*seen, supervisor.problem]

    assert run_virtual(watch()) == ["OSError: gateway is gone", ""]


def _caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (socket.gaierror(-3, "Temporary failure in name resolution"), "Temporary failure in name resolution"),
        (TimeoutError(), "it does not answer in time"),
        (SurfaceBusy("Slack is not connected"), "Slack is not connected"),
        (_caused(RuntimeError("gateway"), ConnectionResetError()), "the connection broke off"),
        (ExceptionGroup("tasks", [ValueError("x"), _caused(KeyError("y"), OSError(113, "No route"))]), "No route"),
        (aiohttp.ServerDisconnectedError(), "it hung up"),
        (RuntimeError("a bug"), ""),
        (OSError(28, "No space left on device"), ""),
        (KeyError("token"), ""),
    ],
)
def test_a_platform_out_of_reach_is_one_sentence(
    run_virtual: Run, loop_clock: LoopClock, error: Exception, why: str
) -> None:
    """However deep the network's word is wrapped: no traceback, tried again; a crash of our own keeps its traceback."""
    part = Part(loop_clock, [error])

    with capture_logs() as logged:
        run_virtual(supervise(part).keep_running())

    [line] = logged
    assert bool(line["exc_info"]) is not bool(why)
    assert ("cannot be reached" in line["event"]) is bool(why)
    assert why in line["problem"]
    assert len(part.started_at) == 2


@pytest.mark.parametrize("crashes", [1, 5, 10, 1_000_000])
def test_wait_never_exceeds_the_cap(crashes: int) -> None:
    """However often a part crashed, the wait stays between half the cap and the cap."""
    assert 0.5 <= Backoff().wait_s(crashes, Random(crashes)) <= 60.0
