"""Which limits hold for whom."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.wiring.api_keys import KnownKeys
from core.domain.api_keys import ApiKey
from core.domain.incoming import UserKey
from core.gateway.quotas import Ceilings

EVERYBODY = Ceilings(20, 60_000, 1_000_000, 1.0)


class Stored:
    async def all(self) -> Sequence[ApiKey]:
        return [ApiKey("own", b"1", 0.0, 100, None, 0, 2.5), ApiKey("plain", b"2", 0.0)]

    async def put(self, key: ApiKey) -> None:
        raise NotImplementedError

    async def revoke(self, name: str) -> bool:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("user", "held", "expected"),
    [
        (UserKey("api", "", "key:own"), False, Ceilings(100, 60_000, None, 2.5)),
        (UserKey("web", "", "key:own"), False, Ceilings(100, 60_000, None, 2.5)),
        (UserKey("slack", ":T1", "key:own"), False, EVERYBODY),
        (UserKey("api", "", "key:plain"), False, EVERYBODY),
        (UserKey("api", "", "key-0123456789ab"), False, EVERYBODY),
        (UserKey("api", "", "local"), False, Ceilings(None, 60_000, 1_000_000, 1.0)),
        (UserKey("web", "", "local"), False, EVERYBODY),
        (UserKey("api", "", "local"), True, EVERYBODY),
    ],
)
async def test_own_limits(user: UserKey, held: bool, expected: Ceilings) -> None:
    """A key's own limits hold on the page and over the API, 0 lifts one, what it does not set is as for everybody; a
    program on this machine is not held to what is meant for people who type, unless the operator says so."""
    keys = KnownKeys(Stored(), hold_this_machine=held)
    await keys.all()

    assert keys.ceilings(user, EVERYBODY) == expected
