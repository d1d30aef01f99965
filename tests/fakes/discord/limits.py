"""Buckets as Discord keeps them: fixed windows that begin with the first call (facts/discord.md 1.11)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Window:
    capacity: int
    per_s: float
    hash: str
    used: int = 0
    ends_at: float = 0.0
    """On the loop's clock."""

    def take(self) -> bool:
        """Whether one more call fits; counts it if so."""
        now = asyncio.get_running_loop().time()
        if now >= self.ends_at:
            self.used = 0
            self.ends_at = now + self.per_s
        if self.used >= self.capacity:
            return False
        self.used += 1
        return True

    def reset_after_s(self) -> float:
        return max(0.0, self.ends_at - asyncio.get_running_loop().time())

    def headers(self) -> dict[str, str]:
        reset = self.reset_after_s()
        return {
            "X-RateLimit-Limit": str(self.capacity),
            "X-RateLimit-Remaining": str(self.capacity - self.used),
            "X-RateLimit-Reset": f"{time.time() + reset:.3f}",
            "X-RateLimit-Reset-After": f"{reset:.3f}",
            "X-RateLimit-Bucket": self.hash,
        }


@dataclass(slots=True)
class Limits:
    """All windows of one bot.

    `channel_calls` in `channel_window_s` per channel and per kind of write, posts and edits together with
    `shared` (which reading is right is not known: facts/discord.md 6); the same per interaction token.
    50 requests a second over all, interactions outside of it (facts/discord.md 1.5, 1.11).
    """

    channel_calls: int = 5
    channel_window_s: float = 5.0
    shared: bool = False
    global_calls: int = 50
    _windows: dict[tuple[str, str], Window] = field(default_factory=dict)
    _overall: Window = field(default_factory=lambda: Window(50, 1.0, hash="global"))

    def window(self, kind: str, place: str) -> Window:
        if self.shared and kind in ("post", "edit"):
            kind = "write"
        per_s, calls = self.channel_window_s, self.channel_calls
        return self._windows.setdefault((kind, place), Window(calls, per_s, hash=f"{kind}-bucket"))

    def global_wait_s(self) -> float:
        """0 when the bot's fifty of this second are not used up; counts the call if so."""
        self._overall.capacity = self.global_calls
        return 0.0 if self._overall.take() else self._overall.reset_after_s()
