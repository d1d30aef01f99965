"""Lets go of whoever holds a connection and does nothing with it, and keeps the number of connections bounded.

aiohttp gives a first request all the time in the world, and so it does to whoever does not read a plain response (our
streams have a limit of their own, adapters/web/sse.py). A thousand such connections use up the sockets of a process,
and they can be opened within a second: so there are only so many, and room for a new one is made by closing the one
that has been idle for longest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.base.clock import Clock

LOOK_EVERY_S = 5.0


class Connection(Protocol):
    """As much of aiohttp's RequestHandler as is needed."""

    @property
    def transport(self) -> asyncio.Transport | None: ...


@dataclass(slots=True)
class _Known:
    since: float
    """When it was opened, or when its last request ended."""
    address: str = ""
    has_asked: bool = False
    asking: int = 0
    """Requests that are being answered."""
    unsent_bytes: int = 0
    unread_since: float | None = None


class IdleConnections:
    """Told of every connection, and looks at all of them now and then; each of these calls is cheap.

    Args:
        connections: Those that are open now.
        total, per_address: How many may be open at once.
        unread_s: How long a reader may take nothing of what waits for it.
        first_request_s: How long the head of a connection's first request may take.
    """

    def __init__(
        self,
        connections: Callable[[], Iterable[Connection]],
        *,
        unread_s: float,
        first_request_s: float,
        total: int,
        per_address: int,
    ) -> None:
        self._connections = connections
        self._total = total
        self._per_address = per_address
        self._unread_s = unread_s
        self._first_request_s = first_request_s
        self._known: dict[Connection, _Known] = {}

    async def watch(self, clock: Clock) -> None:
        """Until cancelled."""
        while True:
            await clock.sleep(LOOK_EVERY_S)
            self.look(clock.monotonic())

    def opened(self, connection: Connection, address: str, now: float) -> None:
        """A connection was made; room for it was made before (`make_room`)."""
        self._known[connection] = _Known(now, address)

    def heard(self, connection: Connection) -> None:
        """A whole head came: from now on aiohttp's own limit between requests holds."""
        known = self._known.setdefault(connection, _Known(0.0))
        known.has_asked = True
        known.asking += 1

    def answered(self, connection: Connection, now: float) -> None:
        if known := self._known.get(connection):
            known.asking -= 1
            known.since = now

    def has_room(self, address: str) -> bool:
        """Whether one more connection from *address* may stay; closes the longest idle one where that makes room.

        Over all addresses when there are too many in all, else among its own: nobody's crowd closes another's.
        """
        if len(self._known) >= min(self._total, self._per_address):
            self._forget_closed()
        same = [connection for connection, known in self._known.items() if known.address == address]
        if len(same) >= self._per_address and not self._drop_idle(same):
            return False
        return len(self._known) < self._total or self._drop_idle(list(self._known))

    def _forget_closed(self) -> None:
        still_open = set(self._connections())
        self._known = {one: known for one, known in self._known.items() if one in still_open}

    def _drop_idle(self, among: Sequence[Connection]) -> bool:
        idle = [connection for connection in among if not self._known[connection].asking]
        if not idle:
            return False
        longest = min(idle, key=lambda connection: self._known[connection].since)
        del self._known[longest]
        if longest.transport is not None:
            longest.transport.abort()
        return True

    def look(self, now: float) -> None:
        self._forget_closed()
        for connection, known in list(self._known.items()):
            transport = connection.transport
            if transport is not None and self._is_over(known, transport.get_write_buffer_size(), now):
                transport.abort()  # `close` would wait for the reader to take the rest

    def _is_over(self, known: _Known, unsent_bytes: int, now: float) -> bool:
        if not known.has_asked:
            return now - known.since >= self._first_request_s
        if not unsent_bytes or unsent_bytes != known.unsent_bytes:
            known.unread_since = None
        elif known.unread_since is None:
            known.unread_since = now - LOOK_EVERY_S  # it was as much at the last look
        known.unsent_bytes = unsent_bytes
        return known.unread_since is not None and now - known.unread_since >= self._unread_s
