"""Signs of life, each the moment when something really happened: what /readyz shows and where a back-fill begins."""

from __future__ import annotations

from typing import Literal

from core.clock import Clock
from core.ports import AdapterHealth, NoteStore

State = Literal["off", "starting", "connected", "down"]


class Life:
    def __init__(self, clock: Clock, notes: NoteStore) -> None:
        self._clock = clock
        self._notes = notes
        self._state: State = "off"
        self._detail = ""
        self._heartbeat_at: float | None = None
        self._event_in_at: float | None = None
        self._latencies: tuple[tuple[int, float], ...] = ()
        self.alive_at: float | None = None
        """Until then nothing can have been missed; None before the first start ever."""

    def became(self, state: State, detail: str = "") -> None:
        self._state, self._detail = state, detail

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
        return AdapterHealth(self._state, self._detail, self._heartbeat_at, self._event_in_at, delivered_at)

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
