"""Waiting for an event or for time, whichever comes first."""

from __future__ import annotations

import asyncio
import math

from core.base.clock import Clock


async def wait_for(event: asyncio.Event, clock: Clock, timeout_s: float) -> bool:
    """Wait until *event* is set, *timeout_s* seconds at most (`math.inf`: no limit); return whether it is set."""
    if event.is_set() or timeout_s == math.inf:
        return await event.wait()
    async with asyncio.TaskGroup() as group:
        either = {group.create_task(event.wait()), group.create_task(clock.sleep(timeout_s))}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in either:
            task.cancel()
    return event.is_set()
