"""A watch over one answer's bytes: when nothing was heard for too long, it closes the connection."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol, Self


class Closable(Protocol):
    def close(self) -> None: ...


class Silence:
    """Closes *body* when no token was heard for the allowed time.

    `asyncio.timeout` would do, at the price of two timers per chunk; here a timer runs out once per limit and looks
    whether anything came since. A slow consumer is not the model's silence, so the watch rests while text is handed on.
    """

    __slots__ = ("_body", "_heard_at", "_limit_s", "_loop", "_timer", "_waiting", "expired")

    def __init__(self, body: Closable, limit_s: float) -> None:
        self._body = body
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._waiting = True
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def __enter__(self) -> Self:
        self._arm(self._limit_s)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def allow(self, limit_s: float) -> None:
        """From now on allow *limit_s* seconds."""
        if limit_s == self._limit_s:
            return
        shorter = limit_s < self._limit_s
        self._limit_s = limit_s
        self._heard_at = self._loop.time()
        if shorter and self._timer is not None:
            self._timer.cancel()
            self._arm(limit_s)

    def rest(self) -> None:
        """A token came and is being handed on: do not count until `heard`."""
        self._waiting = False

    def heard(self) -> None:
        """A token came, and whoever wanted it has it."""
        self._waiting = True
        self._heard_at = self._loop.time()

    def _arm(self, delay_s: float) -> None:
        self._timer = self._loop.call_later(delay_s, self._look)

    def _look(self) -> None:
        quiet_s = self._loop.time() - self._heard_at if self._waiting else 0.0
        if quiet_s < self._limit_s:
            self._arm(self._limit_s - quiet_s)
            return
        self.expired = True
        self._body.close()
