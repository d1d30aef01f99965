"""What Discord's rate-limit headers say, told to the pacer. discord.py hides them from its callers, so an HTTP trace
reads them (facts/discord.md 1.11)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from adapters.discord.settings import DiscordSettings
from core.ports.platform import Rate, SurfaceObserver

Kind = Literal["post", "edit", "interaction", "other"]
"""What a write is counted as; "other" is in a bucket that nobody paces."""

GLOBAL = Rate("discord:global", 45, 1.0)
"""50 requests a second per bot (docs.discord.com/developers/topics/rate-limits, read 2026-11-22), five of them left to
typing and to what comes late. Interaction endpoints are outside of it."""


def key(kind: Kind, place: str) -> str:
    """Name of the bucket: one for posts and one for edits per channel, one per interaction."""
    return f"discord:{place}:{kind}"


def rates(kind: Literal["post", "edit"], place: str, settings: DiscordSettings) -> tuple[Rate, Rate]:
    """What one write in a channel counts for."""
    return Rate(key(kind, place), settings.channel_calls, settings.channel_window_s), GLOBAL


@dataclass(slots=True)
class Buckets:
    """Hands headers to the pacer under the keys that surfaces declare.

    Whether posts and edits of a channel share one bucket today is not known (facts/discord.md 6): once the hashes
    turn out equal, each speaks for both.
    """

    observer: SurfaceObserver
    _hashes: dict[Kind, str] = field(default_factory=dict)

    def read(self, kind: Kind, place: str, headers: Mapping[str, str]) -> None:
        """Learn from a response to a call that was carried out; a route without a limit has no such headers
        (docs.discord.com/developers/topics/rate-limits, read 2026-11-22)."""
        if kind == "other":
            return
        remaining = headers.get("X-RateLimit-Remaining")
        if remaining is None:
            self.observer.learn(key(kind, place), remaining=None, reset_after_s=0.0)
            return
        if bucket := headers.get("X-RateLimit-Bucket"):
            self._hashes[kind] = bucket
        limit = headers.get("X-RateLimit-Limit")
        for sharing in self._sharing(kind):
            self.observer.learn(
                key(sharing, place),
                remaining=int(remaining),
                reset_after_s=float(headers.get("X-RateLimit-Reset-After", "0")),
                capacity=int(limit) if limit else None,
            )

    def refused(self, kind: Kind, place: str, retry_after_s: float, *, everywhere: bool) -> None:
        """A 429 came: nothing may go out before *retry_after_s*, here or, with *everywhere*, at all."""
        if kind == "other" and not everywhere:
            return
        names = [GLOBAL.key] if everywhere else [key(sharing, place) for sharing in self._sharing(kind)]
        for name in names:
            self.observer.learn(name, remaining=0, reset_after_s=retry_after_s)

    @asynccontextmanager
    async def take(self, *rates: Rate) -> AsyncIterator[None]:
        """Around a request that no surface has a slot for; entering waits until it may go out."""
        async with AsyncExitStack() as stack:
            for rate in rates:
                await stack.enter_async_context(self.observer.take(rate))
            yield

    def _sharing(self, kind: Kind) -> list[Kind]:
        if kind == "interaction":
            return [kind]
        mine = self._hashes.get(kind)
        return [other for other in ("post", "edit") if other == kind or (mine and self._hashes.get(other) == mine)]
