"""A unit that runs twice because its neighbour in the group failed."""

from __future__ import annotations

import asyncio
import threading

from sqlalchemy import Connection

from core.ports.storage import Spent
from core.storage import Storage
from tests.core.front_desk import ANN
from tests.core.storage.test_stores import MIDNIGHT, spend


async def test_later_try_that_is_written_twice_is_added_once(storage: Storage) -> None:
    """A unit of work may run twice, when a neighbour in its transaction fails: the sum is the same."""
    await spend(storage, "1", cost=0.5)
    gate = threading.Event()

    def fails(c: Connection) -> None:
        raise LookupError

    held = asyncio.create_task(storage._database.write(lambda c: gate.wait() and None))
    await asyncio.sleep(0)
    again = asyncio.create_task(spend(storage, "1", cost=0.25, at=MIDNIGHT + 60))
    neighbour = asyncio.create_task(storage._database.write(fails))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(held, again, neighbour, return_exceptions=True)

    assert await storage.usage.spent(MIDNIGHT - 1, user=ANN) == Spent(1, 30, 0.75)
