"""An open storage on a clock that the test moves."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.storage import Storage, open_storage
from tests.database import url_in
from tests.fakes.clock import FakeClock

_ON_BOTH = {"test_archive", "test_bad_rows", "test_claims", "test_history", "test_schema", "test_stores"}
"""Modules that are tried on both engines; the others look into SQLite's files, or are not tried there yet."""


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> Path:
    """A data folder with an empty database in it."""
    if request.module.__name__.rpartition(".")[2] in _ON_BOTH:
        made: Path = request.getfixturevalue("either_folder")
        return made
    shutil.copy(empty_database, tmp_path / "tern.db")
    return tmp_path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Both engines where both are tried."""
    if metafunc.module.__name__.rpartition(".")[2] in _ON_BOTH and "folder" in metafunc.fixturenames:
        metafunc.fixturenames.append("either_folder")
        metafunc.parametrize("either_folder", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
async def storage(folder: Path, clock: FakeClock) -> AsyncIterator[Storage]:
    async with await open_storage(url_in(folder), folder, clock, b"key", "me") as it:
        yield it
