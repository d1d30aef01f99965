"""An open storage on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.storage import Storage, open_storage
from tests.fakes.clock import FakeClock


@pytest.fixture
async def storage(folder: Path, clock: FakeClock) -> AsyncIterator[Storage]:
    async with await open_storage("", folder, clock, b"key", "me") as it:
        yield it
