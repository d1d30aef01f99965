"""How often Slack lets a method be called."""

from __future__ import annotations

import math
from collections import defaultdict, deque

PER_MINUTE = {
    # Tier 2, 3 and 4 mean 20+, 50+ and 100+ a minute per method, workspace and app: facts/slack.md 1.2, 1.3, 1.6.
    "chat.startStream": 20,
    "chat.stopStream": 20,
    "chat.appendStream": 100,
    "chat.update": 50,
    "chat.delete": 50,
    "chat.postEphemeral": 100,
    "conversations.replies": 50,
    "conversations.history": 50,
    "conversations.info": 50,
    "conversations.members": 100,
    "conversations.open": 50,
    "users.info": 100,
    "users.list": 20,
    "files.info": 100,
    "views.publish": 100,
    "assistant.threads.setSuggestedPrompts": 100,
    "assistant.threads.setTitle": 100,
    "agents.sessions.setStatus": 50,
    "agents.sessions.rename": 50,
}

POST_EVERY_S = 0.95
"""chat.postMessage: about one message a second in a channel (facts/slack.md 1.3), a little less for jitter."""


class Rates:
    """Sliding windows, the strict reading of "N+ a minute": never more than N in any sixty seconds."""

    def __init__(self) -> None:
        self._calls: dict[str, deque[float]] = defaultdict(deque)
        self.refused: list[tuple[str, float]] = []
        """(bucket, when) of every 429."""
        self.on = True

    def take(self, method: str, channel: str, now: float) -> int:
        """Count one call; returns 0, or the whole seconds to wait where it is one too many."""
        if not self.on:
            return 0
        if method == "chat.postMessage":
            return self._take(f"{method}:{channel}", 1, POST_EVERY_S, now)
        if limit := PER_MINUTE.get(method):
            return self._take(method, limit, 60.0, now)
        return 0

    def _take(self, bucket: str, limit: int, per_s: float, now: float) -> int:
        calls = self._calls[bucket]
        while calls and calls[0] <= now - per_s:
            calls.popleft()
        if len(calls) >= limit:
            self.refused.append((bucket, now))
            return max(1, math.ceil(calls[0] + per_s - now))
        calls.append(now)
        return 0
