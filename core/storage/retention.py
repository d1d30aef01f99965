"""What goes by itself: by age, a little at a time, so that nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Table, delete, exists, func, select

from core.base.clock import Clock
from core.storage.blobs import SqlBlobs, drop_unused
from core.storage.cache import drop_expired
from core.storage.engine import Database
from core.storage.failures import translated
from core.storage.removal import remove_messages
from core.storage.schema import (
    audit,
    blobs,
    capabilities,
    conversations,
    is_open,
    messages,
    people,
    responses,
    runs,
    tombstones,
    usage,
    usage_days,
)
from core.storage.usage import DAY_S, day_of

_AT_ONCE = 200
_PEOPLE_DAYS = 30.0
"""How long what a platform said of somebody is kept without their being seen."""
"""Messages in one transaction: some milliseconds, between which others write."""

_UNCLAIMED_FILE_S = 3600.0
"""A blob's file without a row is younger than this while its hand-over is under way, and rubbish when older."""


_SILENCE_S = 3 * DAY_S
"""A weekend without a message is nothing strange."""

_CONFIRMED_AFTER_S = 1_800.0
"""A clock that is wrong for a moment at start (no battery, NTP not there yet) is right by then."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each kind is kept, in days; 0 keeps it for ever."""

    turns_days: float = 90.0
    """Messages, their turns, runs and figures, from their arrival."""
    usage_days: float = 400.0
    blobs_days: float = 30.0
    """From when they were last handed in."""
    tombstones_days: float = 400.0
    audit_days: float = 400.0
    damaged_days: float = 30.0
    """Damaged databases that were set aside."""


class Sweeper:
    """Removes what is older than `Retention` says. What is still waiting for an answer is never too old."""

    def __init__(self, database: Database, blobs: SqlBlobs, clock: Clock, retention: Retention) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._retention = retention
        self._doubted_at: tuple[float, float] | None = None
        """Wall and monotonic clock when the date was first doubted."""

    async def sweep_if_sure(self) -> int:
        """As `sweep`, unless the clock may have jumped; then nothing goes."""
        return await self.sweep() if await self._is_time_sure() else 0

    async def _is_time_sure(self) -> bool:
        """Whether the clock may be believed with what cannot be undone.

        Far beyond the newest thing that was stored either nothing happened for long, or the clock jumped. Then a later
        look decides: where wall and monotonic clock agree on the time between the two, it was no jump that ended.
        """
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        newest = await self._database.read(_newest)
        if newest is None or wall - newest < _SILENCE_S:
            self._doubted_at = None
            return True
        if self._doubted_at is None:
            self._doubted_at = wall, monotonic
            return False
        former_wall, former_monotonic = self._doubted_at
        if monotonic - former_monotonic < _CONFIRMED_AFTER_S:
            return False
        agrees = abs((wall - former_wall) - (monotonic - former_monotonic)) < _CONFIRMED_AFTER_S
        self._doubted_at = wall, monotonic
        return agrees

    async def sweep(self) -> int:
        """Returns how many rows and files went."""
        now, keep = self._clock.now(), self._retention
        gone = await self._database.write(lambda c: drop_expired(c, now) + _drop_capabilities(c, now))
        if keep.turns_days:
            gone += await self._until_none(lambda c: _drop_messages(c, now - keep.turns_days * DAY_S))
            gone += await self._database.write(lambda c: _drop_older(c, responses, now - keep.turns_days * DAY_S))
        if keep.usage_days:
            gone += await self._database.write(lambda c: _drop_usage(c, now - keep.usage_days * DAY_S))
        if keep.tombstones_days:
            gone += await self._database.write(lambda c: _drop_older(c, tombstones, now - keep.tombstones_days * DAY_S))
        gone += await self._database.write(lambda c: _drop_older(c, people, now - _PEOPLE_DAYS * DAY_S))
        if keep.audit_days:
            gone += await self._database.write(lambda c: _drop_older(c, audit, now - keep.audit_days * DAY_S))
        if keep.blobs_days:
            names = await self._database.write(lambda c: drop_unused(c, now - keep.blobs_days * DAY_S))
            self._blobs.remove_files(names)
            gone += len(names)
        claimed = await self._database.read(lambda c: set(c.execute(select(blobs.c.hash)).scalars()))
        with translated():
            return gone + await asyncio.to_thread(self._remove_stray_files, claimed, now)

    async def _until_none(self, step: Callable[[Connection], int]) -> int:
        gone = 0
        while count := await self._database.write(step):
            gone += count
        return gone

    def _remove_stray_files(self, claimed: set[str], now: float) -> int:
        """Blobs that lost their row, and damaged databases that nobody came for."""
        stray = _older(self._blobs.folder.glob("??/*"), now - _UNCLAIMED_FILE_S)
        gone = [path for path in stray if path.name not in claimed]
        if self._retention.damaged_days and (kept := self._database.path):
            gone += _older(kept.parent.glob(f"{kept.name}.damaged-*"), now - self._retention.damaged_days * DAY_S)
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)


def _newest(c: Connection) -> float | None:
    """When anything was stored last."""
    return max(
        (at for column in (messages.c.accepted_at, usage.c.at) if (at := c.execute(select(func.max(column))).scalar())),
        default=None,
    )


def _older(paths: Iterable[Path], before: float) -> list[Path]:
    return [path for path in paths if path.stat().st_mtime < before]


def _drop_capabilities(c: Connection, now: float) -> int:
    return c.execute(delete(capabilities).where(capabilities.c.expires_at <= now)).rowcount


def _drop_older(c: Connection, table: Table, before: float) -> int:
    return c.execute(delete(table).where(table.c.at < before)).rowcount


def _drop_messages(c: Connection, before: float) -> int:
    """The oldest settled messages from before *before*, some at a time; returns how many rows went."""
    unsettled = exists().where(is_open(runs), runs.c.message_seq == messages.c.seq)
    seqs = c.execute(
        select(messages.c.seq)
        .where(messages.c.accepted_at < before, ~unsettled)
        .order_by(messages.c.seq)
        .limit(_AT_ONCE)
    ).scalars()
    gone = remove_messages(c, messages.c.seq.in_(list(seqs)))
    if gone:
        empty = ~exists().where(messages.c.conversation_id == conversations.c.id)
        c.execute(delete(conversations).where(conversations.c.updated_at < before, empty))
    return gone


def _drop_usage(c: Connection, before: float) -> int:
    gone = c.execute(delete(usage).where(usage.c.at < before)).rowcount
    return gone + c.execute(delete(usage_days).where(usage_days.c.day < day_of(before))).rowcount
