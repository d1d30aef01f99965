"""Books what every request used into the UsageStore, without making anybody wait."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import Any

import structlog

from core.base.clock import Clock
from core.domain.errors import StorageError
from core.domain.requests import RequestRecord, ShownRecord
from core.ports.storage import UsageStore

QUEUE_ROWS = 10_000
"""Rows that may wait for the database; beyond this the oldest is lost, and the log says so."""

SIDE_BY_SIDE = 64
"""Rows written at once: storage commits together what waits together."""

TRIES = 5
FIRST_WAIT_S = 0.5


class UsageObserver:
    """Puts finished requests into a bounded queue that `run` writes from; whoever builds it runs `run` in a TaskGroup.

    Refusals cost nothing and are not booked; a hit is, with nothing used. A row leaves the queue when it is written, so
    a cancelled `run` loses none: it writes what still waits, each once, before it ends. Weakness: a kill loses the
    rows in the queue, so a day's sum may miss the last moment before a crash.
    """

    def __init__(self, store: UsageStore, clock: Clock, logger: Any = None) -> None:
        self._store = store
        self._clock = clock
        self._log = structlog.get_logger("tern") if logger is None else logger
        self._rows: deque[RequestRecord] = deque()
        self._more = asyncio.Event()
        self.lost = 0

    def request(self, record: RequestRecord) -> None:
        if not record.attempts and record.outcome != "cached" and record.usage.cost_usd == 0:
            return
        if len(self._rows) >= QUEUE_ROWS:
            self._lose("the queue is full")
        self._rows.append(record)
        self._more.set()

    def shown(self, record: ShownRecord) -> None:
        """What was shown costs nothing."""

    @property
    def waiting(self) -> int:
        return len(self._rows)

    async def run(self) -> None:
        """Write until cancelled, then write the rest."""
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                await self._write_all(tries=TRIES)
        finally:
            await self._write_all(tries=1)

    async def _write_all(self, tries: int) -> None:
        while self._rows:
            batch = list(islice(self._rows, SIDE_BY_SIDE))
            reasons = await asyncio.gather(*(self._write(record, tries) for record in batch))
            for record, reason in zip(batch, reasons, strict=True):
                if not self._rows or self._rows[0] is not record:
                    continue  # it fell off the full queue meanwhile
                if reason:
                    self._lose(reason)
                else:
                    self._rows.popleft()

    async def _write(self, record: RequestRecord, tries: int) -> str:
        """Return why it could not be written, "" when it was."""
        for tried in range(tries):
            if tried:
                await self._clock.sleep(FIRST_WAIT_S * 2 ** (tried - 1))
            try:
                await self._store.add(
                    record.request_id, record.user, record.channel_key, record.model, record.usage, record.started_at
                )
            except StorageError as error:
                reason = type(error).__name__
            else:
                return ""
        return reason

    def _lose(self, why: str) -> None:
        self._rows.popleft()
        self.lost += 1
        self._log.error("usage row lost", why=why, lost=self.lost)
