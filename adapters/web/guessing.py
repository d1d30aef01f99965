"""A brake on guessing keys: an address that sent many wrong ones is refused for a while, unless its key is in use."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from core.base.clock import Clock

WRONG_KEYS = 10
"""In a row, before the brake holds; a person who pastes the wrong key does so a few times."""
HOLDS_S = 60.0
"""From the last wrong key on: at most ten guesses a minute are looked at."""
MAX_ADDRESSES = 4_096


class Brake:
    """Counts wrong keys by address, an IPv6 one by its /64, which one household or server has to itself.

    Who guesses from very many addresses passes: against these only long keys help.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Address -> (wrong keys, when it is forgotten); the one that was wrong last stands last."""

    def wait_s(self, address: str) -> float:
        """How long nothing is looked at that comes from *address*; 0.0: it may try."""
        count, until = self._wrong.get(_network(address), (0, 0.0))
        return max(0.0, until - self._clock.monotonic()) if count >= WRONG_KEYS else 0.0

    def wrong(self, address: str) -> None:
        network, now = _network(address), self._clock.monotonic()
        count, until = self._wrong.pop(network, (0, 0.0))
        self._wrong[network] = (count + 1 if now < until else 1, now + HOLDS_S)
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket's
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
