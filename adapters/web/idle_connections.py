"""Lets go of whoever holds a connection and does nothing with it.

aiohttp gives a first request all the time in the world, and so it does to whoever does not read a plain response (our
streams have a limit of their own, adapters/web/sse.py). A thousand such connections use up the sockets of a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
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
    has_asked: bool = False
    unsent_bytes: int = 0
    unread_since: float | None = None


class Patience:
    """Looks at *connections* now and then; each of these calls is cheap, `look` the more so.

    Args:
        connections: Those that are open now.
        unread_s: How long a reader may take nothing of what waits for it.
        first_request_s: How long the head of a connection's first request may take.
    """

    def __init__(
        self, connections: Callable[[], Iterable[Connection]], *, unread_s: float, first_request_s: float
    ) -> None:
        self._connections = connections
        self._unread_s = unread_s
        self._first_request_s = first_request_s
        self._known: dict[Connection, _Known] = {}

    async def watch(self, clock: Clock) -> None:
        """Until cancelled."""
        while True:
            await clock.sleep(LOOK_EVERY_S)
            self.look(clock.monotonic())

    def heard(self, connection: Connection) -> None:
        """A whole head came: from now on aiohttp's own limit between requests holds."""
        self._known.setdefault(connection, _Known(0.0)).has_asked = True

    def look(self, now: float) -> None:
        connections = list(self._connections())
        self._known = {connection: self._known.get(connection) or _Known(now) for connection in connections}
        for connection in connections:
            transport = connection.transport
            if transport is not None and self._is_over(connection, transport.get_write_buffer_size(), now):
                transport.abort()  # `close` would wait for the reader to take the rest

    def _is_over(self, connection: Connection, unsent_bytes: int, now: float) -> bool:
        known = self._known[connection]
        if not known.has_asked:
            return now - known.since >= self._first_request_s
        if not unsent_bytes or unsent_bytes != known.unsent_bytes:
            known.unread_since = None
        elif known.unread_since is None:
            known.unread_since = now - LOOK_EVERY_S  # it was as much at the last look
        known.unsent_bytes = unsent_bytes
        return known.unread_since is not None and now - known.unread_since >= self._unread_s
