"""Keeps one part running: an adapter, or the local model's process. A crash of Slack never stops Discord."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import structlog

from core.base.clock import Clock
from core.domain.errors import SettingsError, SurfaceBusy

log: Any = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart. All in seconds."""

    first_s: float = 1.0
    cap_s: float = 60.0
    stable_s: float = 60.0
    """A part that ran this long before it crashed counts as healthy: the next wait is the first one again."""

    def wait_s(self, crashes: int, random: Random) -> float:
        """Before the restart after crash number *crashes* (from 1): doubling up to the cap, then 50 to 100 % of it.

        The jitter keeps many bots that lost the same platform from coming back in the same second.
        """
        ceiling = min(self.cap_s, self.first_s * 2.0 ** min(crashes - 1, 30))
        return ceiling * random.uniform(0.5, 1.0)


def out_of_reach(error: BaseException) -> str:
    """Half a sentence on why the other side is not there; "" for any other failure, which may be ours.

    Libraries wrap what the network said in errors of their own and in groups, so all that is inside is looked at.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        match one:
            case SurfaceBusy():
                return str(one) or "it does not answer"
            case TimeoutError():
                return one.strerror or "it does not answer in time"
            case ConnectionError() | socket.gaierror():
                return one.strerror or "the connection broke off"
            case OSError() if one.errno in _NETWORK:
                return one.strerror or "the network is down"
            case _ if type(one).__name__ == "ServerDisconnectedError":  # aiohttp's, which only adapters import
                return "it hung up"
            case BaseExceptionGroup():
                waiting += one.exceptions
        waiting += [one.__cause__, one.__context__, getattr(one, "os_error", None)]
    return ""


_NETWORK = frozenset(
    (
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.ETIMEDOUT,
    )
)
"""In an error that is an OSError and no ConnectionError, as aiohttp's are."""


class Supervisor:
    """Runs one part over and over until it returns by itself, fails for good, or is cancelled."""

    def __init__(
        self,
        name: str,
        run: Callable[[], Awaitable[None]],
        *,
        clock: Clock,
        random: Random,
        backoff: Backoff = Backoff(),
        fatal: tuple[type[Exception], ...] = (SettingsError,),
    ) -> None:
        """
        Args:
            run: Works until told to close (returns) or until it cannot go on (raises); called again after a crash.
            fatal: Failures that a restart cannot mend, such as a token that the platform rejects.
        """
        self.name = name
        self.problem = ""
        """Why it is not running at the moment; "" while it is."""
        self.failed = False
        """Whether it was given up for good."""
        self._run = run
        self._clock = clock
        self._random = random
        self._backoff = backoff
        self._fatal = fatal

    async def keep_running(self) -> None:
        """Never raises what the part raised: the other parts go on. Cancelling stops the part."""
        crashes = 0
        while True:
            started = self._clock.monotonic()
            self.problem = ""
            try:
                await self._run()
                return
            except self._fatal as error:
                self.problem, self.failed = str(error), True
                log.error("gave up for good", part=self.name, problem=self.problem)
                return
            except Exception as error:
                if self._clock.monotonic() - started >= self._backoff.stable_s:
                    crashes = 0
                crashes += 1
                wait_s = self._backoff.wait_s(crashes, self._random)
                away = out_of_reach(error)
                self.problem = f"cannot be reached: {away}" if away else f"{type(error).__name__}: {error}"
                log.warning(
                    "cannot be reached; trying again" if away else "crashed; starting it again",
                    part=self.name,
                    problem=away or self.problem,
                    wait_s=round(wait_s, 1),
                    exc_info=crashes == 1 and not away,  # where a network is down, our own lines say nothing of it
                )
            await self._clock.sleep(wait_s)
