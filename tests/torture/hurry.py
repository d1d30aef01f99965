"""Time for a whole house in one process: work takes its processor time, waiting takes none.

What else the machine does is no fault of a platform, so a trial on a busy one is a trial like any other.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from core.storage.sqlite.carrier import Carrier

LOOK_S = 0.001
"""How long, in real time, sockets are given to become ready before time jumps."""

JUMP_S = 0.1
"""The farthest jump: what we do not know of (a library's own thread) then loses little."""


class _Hurry:
    """Stands in for the loop's selector: waits a moment, then says that the wait is over and moves the clock."""

    def __init__(self, loop: HurriedLoop) -> None:
        self._loop = loop
        self._selector = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0 or self._loop.threads_at_work:
            return self._selector.select(timeout)
        ready = self._selector.select(0) or self._selector.select(min(LOOK_S, timeout))
        if not ready and not self._loop.threads_at_work:
            self._loop.skipped_s += min(timeout, JUMP_S)
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


class HurriedLoop(asyncio.SelectorEventLoop):
    """A loop whose time runs on while this process works and jumps where everybody only waits.

    Sockets must be loopback, their other ends in this loop. While threads work for it (executors, the database's
    inside `counted_writer`) time does not jump.
    """

    def __init__(self) -> None:
        self.skipped_s = 0.0
        self.threads_at_work = 0
        super().__init__(_Hurry(self))  # type: ignore[arg-type]  # as much of a selector as the loop asks for

    def time(self) -> float:
        return time.process_time() + self.skipped_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        self.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._one_less)
        return future

    def _one_less(self, _: object) -> None:
        self.threads_at_work -= 1


@contextmanager
def counted_writer() -> Iterator[None]:
    """Let a `HurriedLoop` know of the database's threads."""
    carry = Carrier.carry

    async def counted(self: Carrier, work: Any) -> Any:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, HurriedLoop):
            return await carry(self, work)
        loop.threads_at_work += 1
        try:
            return await carry(self, work)
        finally:
            loop.threads_at_work -= 1

    Carrier.carry = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Carrier.carry = carry  # type: ignore[method-assign]


class WorldClock:
    """The platforms' time: the loop's, laid onto a date. The house's threads may read it too."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = at - self._loop.time()

    def now(self) -> float:
        return self._start + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)


class HouseClock(WorldClock):
    """The house's own clock, which somebody may set while it runs."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        super().__init__(at)
        self.off_s = 0.0

    def now(self) -> float:
        return super().now() + self.off_s
