"""The keys that have a name, as the page and the rate guard know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from adapters.web.keys import THIS_MACHINE
from core.domain.api_keys import ApiKey
from core.domain.incoming import UserKey
from core.gateway.quotas import Ceilings
from core.ports.storage import ApiKeyStore

T = TypeVar("T", int, float)


class KnownKeys:
    """An `ApiKeyStore` for whoever reads it, which remembers each key's own limits."""

    def __init__(self, store: ApiKeyStore, *, hold_this_machine: bool) -> None:
        """*hold_this_machine*: whether requests a minute count for programs on this machine too: where the operator
        has set them. The default is for people who type."""
        self._store = store
        self._hold_this_machine = hold_this_machine
        self._by_user: dict[str, ApiKey] = {}

    async def all(self) -> Sequence[ApiKey]:
        keys = await self._store.all()
        self._by_user = {key.user: key for key in keys}
        return keys

    async def put(self, key: ApiKey) -> None:
        await self._store.put(key)

    async def revoke(self, name: str) -> bool:
        return await self._store.revoke(name)

    def ceilings(self, user: UserKey, everybody: Ceilings) -> Ceilings:
        """What holds for *user*, where *everybody* is what holds for each of the others."""
        if user.platform not in ("web", "api"):
            return everybody
        if user.user == THIS_MACHINE and user.platform == "api" and not self._hold_this_machine:
            return replace(everybody, requests_per_minute=None)
        key = self._by_user.get(user.user)
        if key is None:
            return everybody
        return Ceilings(
            _own(key.requests_per_minute, everybody.requests_per_minute),
            _own(key.tokens_per_minute, everybody.tokens_per_minute),
            _own(key.tokens_per_day, everybody.tokens_per_day),
            _own(key.cost_per_day_usd, everybody.cost_per_day_usd),
        )


def _own(own: T | None, everybodys: T | None) -> T | None:
    """0 lifts a limit."""
    return everybodys if own is None else own or None
