"""API keys that have a name: made and revoked while the bot runs, kept as hashes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
"""What a key may be called: it stands in its user's id, in logs and in tables."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. Limits are of its own; None takes the ones for everybody, 0 lifts one."""

    name: str
    digest: bytes
    made_at: float
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    cost_per_day_usd: float | None = None

    @property
    def user(self) -> str:
        """The user id of its holder: it stays when a key of the same name takes this one's place."""
        return f"key:{self.name}"


def digest_of(key: str) -> bytes:
    """Plain SHA-256, not a password hash: it is computed for every request, and keys are long and random."""
    return hashlib.sha256(b"tern api key\0" + key.encode("utf-8", "surrogateescape")).digest()
