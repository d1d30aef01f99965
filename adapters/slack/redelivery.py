"""Deliveries that could not be stored. Slack repeats one for six minutes (facts/slack.md 1.10); a disk may be full for
a day."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from core.base.clock import Clock
from core.domain.errors import StorageError

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 15.0

_MOST = 1_000
"""Kept in memory, the newest; what is older is left to the next start's back-fill."""

Body = Mapping[str, Any]


class Redelivery:
    """Remembers them and delivers them again, oldest first, until they are stored."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bodies: dict[str, Body] = {}
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._bodies)

    def note(self, body: Body) -> None:
        """Commands and presses are not noted: whoever made them has been told, and will do it again."""
        if name := _name(body):
            self._bodies.setdefault(name, body)
            if len(self._bodies) > _MOST:
                self.stored(self._bodies[next(iter(self._bodies))])

    def stored(self, body: Body) -> None:
        self._bodies.pop(_name(body), None)
        self._told.discard(_name(body))

    async def make_good(
        self, deliver: Callable[[Body], Awaitable[None]], tell: Callable[[Body, StorageError], None]
    ) -> None:
        """Look again and again until cancelled.

        Args:
            deliver: Raises StorageError as long as the trouble lasts.
            tell: Says to whoever wrote it that it waits; called once for each, and only where the trouble lasts.
        """
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            for name, body in list(self._bodies.items()):
                try:
                    await deliver(body)
                except StorageError as error:
                    if name not in self._told:
                        logger.warning("delivery %s waits to be stored: %s", name, error)
                        self._told.add(name)
                        tell(body, error)
                except Exception as error:  # noqa: BLE001 Slack's own trouble; tried again, and nobody else waits for it
                    logger.warning("delivery %s could not be taken: %s", name, type(error).__name__)
                else:
                    self.stored(body)


def _name(body: Body) -> str:
    """One for both events that a mention raises (facts/slack.md 1.8); "" for what is no event."""
    event = body.get("event")
    if not isinstance(event, Mapping):
        return ""
    return f"{event.get('channel')}:{event.get('ts')}" if event.get("ts") else str(body.get("event_id") or "")
