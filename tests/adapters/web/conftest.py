"""The house that the tests of the web adapter live in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.adapters.web.house import House, a_house


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with a_house() as built:
        yield built
