"""Signs of life, each the moment when something really happened: what /readyz shows and where a back-fill begins."""

from __future__ import annotations

from typing import Literal

from core.base.clock import Clock
from core.ports.platform import AdapterHealth
from core.ports.storage import NoteStore

State = Literal["off", "starting", "connected", "down"]

START_S = 15.0
"""Who is still "starting" after that is down: the library repeats a first connection silently, and for ever."""


class ConnectionHealth:
    def __init__(self, clock: Clock, notes: NoteStore) -> None:
        self._clock = clock
        self._notes = notes
        self._state: State = "off"
        self._detail = ""
        self._up: set[int] = set()
        self._missing: set[int] = set()
        """Shards that are connected, and those that were."""
        self._cut_at = 0.0
        """Since when no shard at all is connected; monotonic."""
        self._heartbeat_at: float | None = None
        self._event_in_at: float | None = None
        self._latencies: tuple[tuple[int, float], ...] = ()
        self.alive_at: float | None = None
        """Until then nothing can have been missed; None before the first start ever."""

    def became(self, state: State, detail: str = "") -> None:
        """Anything but "connected", of the connection as a whole."""
        self._state, self._detail = state, detail
        self._up.clear()
        self._missing.clear()
        self._cut_at = self._clock.monotonic()

    def shard_connected(self, shard: int) -> None:
        self._up.add(shard)
        self._missing.discard(shard)
        self._settle()

    def shard_lost(self, shard: int) -> None:
        if shard not in self._up:
            return
        self._up.discard(shard)
        self._missing.add(shard)
        if not self._up:
            self._cut_at = self._clock.monotonic()
        self._settle()

    def _settle(self) -> None:
        """One shard without a connection is a part of the servers without a bot."""
        shards = "" if self._up | self._missing == {0} else f" of shards {sorted(self._missing)}"
        self._state = "down" if self._missing else "connected"
        self._detail = f"the connection{shards} was lost" if self._missing else ""

    @property
    def cut_off_s(self) -> float:
        """For how long no shard at all has been connected."""
        return 0.0 if self._up else self._clock.monotonic() - self._cut_at

    @property
    def connected(self) -> bool:
        return self._state == "connected"

    def heard(self) -> None:
        self._event_in_at = self._clock.now()

    def felt(self, latencies: tuple[tuple[int, float], ...]) -> None:
        """Take the shards' latencies: a new figure means that a heartbeat was answered since the last look."""
        if latencies and latencies != self._latencies:
            self._heartbeat_at = self._clock.now()
        self._latencies = latencies

    def health(self, delivered_at: float | None) -> AdapterHealth:
        state, detail = self._state, self._detail
        if state == "starting" and self.cut_off_s > START_S:
            state, detail = "down", "Discord does not answer yet"
        return AdapterHealth(state, detail, self._heartbeat_at, self._event_in_at, delivered_at)

    # --- across starts

    async def recall(self, application_id: int) -> bool:
        """Read when the last process was last alive, unless this one knows better; False where nobody ever was."""
        if self.alive_at is None and (noted := await self._notes.get(_key(application_id))):
            self.alive_at = float(noted)
        return self.alive_at is not None

    async def note(self, application_id: int) -> None:
        """Nothing has been missed until now."""
        self.alive_at = self._clock.now()
        await self._notes.set(_key(application_id), f"{self.alive_at:.3f}")


def _key(application_id: int) -> str:
    return f"discord:alive:{application_id}"
