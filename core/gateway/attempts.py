"""Every call made for a request in flight, and what it cost, also where no reply comes to carry it home."""

from __future__ import annotations

from collections.abc import Iterable

from core.domain.requests import Attempt, Usage


class AttemptBook:
    """Request id -> its attempts so far, oldest first.

    A finished reply and NoModelLeft carry their attempts themselves. A request that somebody stopped has neither, and
    its tokens were spent all the same: retry and fallback write here, the rate guard and the record read here.
    `Observe`, the outermost stage, closes a request's page.
    """

    def __init__(self) -> None:
        self._pages: dict[str, list[Attempt]] = {}

    def add(self, request_id: str, attempt: Attempt) -> None:
        self._pages.setdefault(request_id, []).append(attempt)

    def of(self, request_id: str) -> tuple[Attempt, ...]:
        return tuple(self._pages.get(request_id, ()))

    def close(self, request_id: str) -> tuple[Attempt, ...]:
        """Return the attempts and forget them."""
        return tuple(self._pages.pop(request_id, ()))

    def __len__(self) -> int:
        return len(self._pages)


def total(attempts: Iterable[Attempt]) -> Usage:
    """Return what *attempts* cost together."""
    return sum((attempt.usage for attempt in attempts), Usage())
