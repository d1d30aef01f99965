"""Time, handed in so that tests own it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch: for dates (`_at`). May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start: for durations (`_s`). Never goes back."""
        ...

    async def sleep(self, duration_s: float) -> None: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)  # noqa: TID251 - the one place
