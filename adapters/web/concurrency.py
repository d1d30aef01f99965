"""How many answers and streams may be open at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from core.domain.errors import OverLimit, QueueFull


class Concurrency:
    """Counts open streams, over all callers and for each. A refused caller may come back in a moment."""

    def __init__(self, *, total: int, per_user: int) -> None:
        self._total = total
        self._per_user = per_user
        self._open: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._open.total()

    @contextmanager
    def hold(self, user: str) -> Iterator[None]:
        """Keep one slot while the block runs. Raises OverLimit or QueueFull."""
        if self._open[user] >= self._per_user:
            raise OverLimit("user", "open requests", limit=self._per_user, retry_after_s=1.0)
        if self.taken >= self._total:
            raise QueueFull(self.taken)
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]
