"""Who calls: keys, and the user that a key or this machine stands for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from adapters.web.settings import WebSettings

THIS_MACHINE = "local"
"""The user behind every call on a loopback bind: whoever sits at this machine."""


class Keys:
    """API keys, kept as hashes so that a key cannot turn up in a repr, a log or a core dump's strings.

    Plain SHA-256, not a password hash: it is computed for every request, and API_KEYS are meant to be long and random.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = tuple(_hash(key) for key in keys if key)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def fingerprint(self, presented: str) -> str | None:
        """The user id of a valid key, None for any other. Takes equally long for every wrong key."""
        candidate = _hash(presented)
        found: bytes | None = None
        for known in self._hashes:  # no early exit: which key matched, or how far, must not show in the time taken
            if hmac.compare_digest(candidate, known):
                found = known
        return None if found is None else f"key-{found.hex()[:12]}"


class Gate:
    """Decides who a key stands for."""

    def __init__(self, settings: WebSettings) -> None:
        self._keys = Keys(settings.api_keys)
        self._open = settings.open_to_all
        self._in_use: set[bytes] = set()
        self.off_because = settings.off_because

    @property
    def needs_key(self) -> bool:
        return not self._open

    def user(self, presented: str) -> str | None:
        """The user id of whoever holds the key *presented*; None when it is not valid."""
        user = self._keys.fingerprint(presented)
        if user is not None:
            self._in_use.add(_hash(presented))
        return user

    def is_in_use(self, presented: str) -> bool:
        """Whether *presented* has opened the door before: its holder does not guess."""
        return _hash(presented) in self._in_use


def presented_key(headers: Mapping[str, str]) -> str:
    """The key that a request brings; "" for none."""
    scheme, _, presented = headers.get("Authorization", "").partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else ""


def _hash(key: str) -> bytes:
    return hashlib.sha256(b"tern api key\0" + key.encode("utf-8", "surrogateescape")).digest()
