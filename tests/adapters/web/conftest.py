"""The house that the tests of the web adapter live in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.adapters.web.house import House, a_house
from tests.fakes.clock import LoopbackTimeLoop


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """Whoever is slow is so in virtual time, real sockets included."""
    if "slow_clients" in item.nodeid:
        return {"virtual": LoopbackTimeLoop}
    return {"real": asyncio.SelectorEventLoop}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with a_house() as built:
        yield built
