"""Time that tests own."""

from __future__ import annotations

import asyncio
import heapq


class FakeClock:
    """A clock that moves only when told to; sleepers wake in order.

    Use it where real threads or sockets take part (storage, HTTP). Pure asyncio code is simpler to test with
    `VirtualTimeLoop`, where time jumps by itself.
    """

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self._wall = at
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, duration_s: float) -> None:
        if duration_s <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + duration_s, self._count, future))
        await future

    async def advance(self, duration_s: float) -> None:
        """Let *duration_s* pass, waking each sleeper at its moment."""
        target = self._elapsed + duration_s
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            self._wall += due - self._elapsed
            self._elapsed = due
            if not future.done():
                future.set_result(None)
            await settle()
        self._wall += target - self._elapsed
        self._elapsed = target
        await settle()

    def jump(self, duration_s: float) -> None:
        """Move the wall clock alone, as an administrator or NTP does."""
        self._wall += duration_s


async def settle(rounds: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer as soon as nothing else can run.

    `asyncio.sleep` and `asyncio.timeout` cost nothing and stay exact. For code without threads and sockets: it would
    not wait for those.
    """

    def __init__(self) -> None:
        super().__init__()
        self._virtual = 0.0

    def time(self) -> float:
        return self._virtual

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        scheduled = self._scheduled  # type: ignore[attr-defined]
        if not ready and scheduled:
            live = [handle for handle in scheduled if not handle._cancelled]
            if live:
                self._virtual = max(self._virtual, min(handle.when() for handle in live))
        super()._run_once()  # type: ignore[misc]


class LoopClock:
    """The clock that goes with `VirtualTimeLoop`: every reading is the loop's own time."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self._start = at

    def now(self) -> float:
        return self._start + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)


class LoopbackTimeLoop(VirtualTimeLoop):
    """Virtual time for code that talks over sockets to a server in this very loop.

    On loopback what one side wrote can be read by the other at once, so time may jump as soon as no socket is ready.
    Not for threads and not for other processes: it would not wait for those, name look-ups included.
    """

    def _run_once(self) -> None:
        selector = self._selector  # type: ignore[attr-defined]
        if not self._ready and selector.select(0):  # type: ignore[attr-defined]
            asyncio.SelectorEventLoop._run_once(self)  # type: ignore[attr-defined]
        else:
            super()._run_once()
