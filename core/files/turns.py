"""One at a time, in turns by person: whoever brings forty files waits for them, and nobody else does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """A lock. Of those who wait the next owner's oldest request goes first, then the owner after that one."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    def waiting(self, owner: Hashable) -> int:
        """How many requests of *owner* wait."""
        return len(self._waiting.get(owner, ()))

    @asynccontextmanager
    async def turn(self, owner: Hashable) -> AsyncIterator[None]:
        await self._take(owner)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, owner: Hashable) -> None:
        if not self._held:
            self._held = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it was our turn already
                self._pass_on()
            else:
                self._leave(owner, mine)
            raise

    def _leave(self, owner: Hashable, one: asyncio.Future[None]) -> None:
        queue = self._waiting[owner]
        queue.remove(one)
        if not queue:
            del self._waiting[owner]

    def _pass_on(self) -> None:
        if not self._waiting:
            self._held = False
            return
        owner = next(iter(self._waiting))
        queue = self._waiting.pop(owner)
        queue.popleft().set_result(None)
        if queue:  # the next of theirs comes after everybody else's
            self._waiting[owner] = queue
