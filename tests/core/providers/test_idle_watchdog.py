"""The watch over an answer's bytes, on a loop whose time jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from core.providers.idle_watchdog import Silence

Run = Callable[[Any], Any]


class Line:
    """Remembers when it was closed."""

    def __init__(self) -> None:
        self.closed_at: float | None = None

    def close(self) -> None:
        self.closed_at = asyncio.get_running_loop().time()


def test_silence_closes_the_body(run_virtual: Run) -> None:
    """Exactly when the limit has passed since the last token."""

    async def scene() -> tuple[float | None, bool]:
        line = Line()
        with Silence(line, 3.0) as silence:
            await asyncio.sleep(2.0)
            silence.heard()
            await asyncio.sleep(10.0)
            return line.closed_at, silence.expired

    assert run_virtual(scene()) == (5.0, True)


def test_tokens_keep_it_open(run_virtual: Run) -> None:
    """However long the answer takes."""

    async def scene() -> bool:
        with Silence(Line(), 3.0) as silence:
            for _ in range(50):
                await asyncio.sleep(2.9)
                silence.heard()
            return silence.expired

    assert run_virtual(scene()) is False


def test_the_consumers_time_does_not_count(run_virtual: Run) -> None:
    """A slow reader is not the model's silence."""

    async def scene() -> float | None:
        line = Line()
        with Silence(line, 3.0) as silence:
            silence.rest()
            await asyncio.sleep(20.0)
            silence.heard()
            await asyncio.sleep(20.0)
        return line.closed_at

    closed_at = run_virtual(scene())
    assert 23.0 <= closed_at <= 24.0


def test_a_shorter_limit_holds_at_once(run_virtual: Run) -> None:
    """After the first token three seconds are enough."""

    async def scene() -> float | None:
        line = Line()
        with Silence(line, 100.0) as silence:
            await asyncio.sleep(5.0)
            silence.allow(3.0)
            await asyncio.sleep(50.0)
        return line.closed_at

    assert run_virtual(scene()) == 8.0


def test_after_the_end_nothing_is_closed(run_virtual: Run) -> None:
    """The timer goes with the watch."""

    async def scene() -> float | None:
        line = Line()
        with Silence(line, 3.0):
            await asyncio.sleep(1.0)
        await asyncio.sleep(10.0)
        return line.closed_at

    assert run_virtual(scene()) is None
