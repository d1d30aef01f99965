"""Who calls: keys, and the user that a key or this machine stands for."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Mapping

from adapters.web.settings import WebSettings
from core.base.clock import Clock
from core.domain.api_keys import ApiKey, digest_of
from core.domain.errors import StorageError
from core.ports.storage import ApiKeyStore

log = logging.getLogger(__name__)

THIS_MACHINE = "local"
"""The user behind every call on a loopback bind: whoever sits at this machine."""


REFRESH_S = 2.0
"""How long a look at the stored keys is good: a key that was made or revoked is so within this time."""


class Keys:
    """API keys, kept as hashes so that a key cannot turn up in a repr, a log or a core dump's strings: those of the
    settings, and those that have a name."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._set = {digest: f"key-{digest.hex()[:12]}" for digest in map(digest_of, filter(None, keys))}
        self._named: dict[bytes, str] = {}

    def __bool__(self) -> bool:
        return bool(self._set or self._named)

    def name(self, named: Iterable[ApiKey]) -> None:
        """Take *named* as all the keys with names there are."""
        self._named = {key.digest: key.user for key in named}

    def holder(self, presented: str) -> str | None:
        """The user id of a valid key's holder, None for any other. Takes equally long for every wrong key."""
        candidate = digest_of(presented)
        found: str | None = None
        # no early exit: which key matched, or how far, must not show in the time taken
        for known, user in (*self._set.items(), *self._named.items()):
            if hmac.compare_digest(candidate, known):
                found = user
        return found


class Gate:
    """Decides who a key stands for."""

    def __init__(self, settings: WebSettings, clock: Clock, store: ApiKeyStore | None = None) -> None:
        """*store*: the keys that have a name; None has none of them."""
        self._settings = settings
        self._clock = clock
        self._store = store
        self._keys = Keys(settings.api_keys)
        self._looked_at = float("-inf")
        self._in_use: set[bytes] = set()

    @property
    def needs_key(self) -> bool:
        """None is needed where none is set and only this machine reaches the server. Keys that are set are needed from
        everybody: behind a proxy on this machine the whole world comes from loopback."""
        return bool(self._keys) or not self._settings.loopback

    @property
    def off_because(self) -> str:
        return "" if self._keys else self._settings.off_because

    async def refresh(self) -> None:
        """Look which keys there are, where the last look is old. A store that fails leaves those known."""
        now = self._clock.monotonic()
        if self._store is None or now - self._looked_at < REFRESH_S:
            return
        self._looked_at = now
        try:
            self._keys.name(await self._store.all())
        except StorageError as error:
            log.warning("the API keys cannot be read just now: %s", error)

    def user(self, presented: str) -> str | None:
        """The user id of whoever holds the key *presented*; None when it is not valid."""
        user = self._keys.holder(presented)
        if user is not None and len(self._in_use) < _MOST_IN_USE:
            self._in_use.add(digest_of(presented))
        return user

    def is_in_use(self, presented: str) -> bool:
        """Whether *presented* has opened the door before: its holder does not guess."""
        return digest_of(presented) in self._in_use


def presented_key(headers: Mapping[str, str]) -> str:
    """The key that a request brings; "" for none."""
    scheme, _, presented = headers.get("Authorization", "").partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else ""


_MOST_IN_USE = 10_000
