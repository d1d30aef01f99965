"""A database that is made once and copied for each test: migrating takes a fifth of a second, copying none."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.base.clock import SystemClock
from core.storage import open_storage
from core.storage.postgres.database import PostgresDatabase
from tests.database import Server, binaries, running_server


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        await (await open_storage("", folder, SystemClock(), b"key", "maker")).close()

    asyncio.run(make())
    return folder / "tern.db"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server with a template that has all tables."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    with running_server() as running:
        running.psql("CREATE DATABASE tern_template")

        async def make() -> None:
            await (await open_storage(running.url("tern_template"), Path(), SystemClock(), b"key", "maker")).close()

        asyncio.run(make())
        yield running


async def _agreed(_: PostgresDatabase) -> None:
    """Leases are reckoned by the clock that the test moves."""


@pytest.fixture(params=["sqlite", "postgres"])
def either_folder(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A data folder with an empty database, of either engine. The test's clock is the server's too."""
    if request.param == "sqlite":
        shutil.copy(empty_database, tmp_path / "tern.db")
        yield tmp_path
    else:
        monkeypatch.setattr(PostgresDatabase, "agree_on_time", _agreed)
        with request.getfixturevalue("server").database(tmp_path):
            yield tmp_path


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    """A data folder with an empty database in it."""
    shutil.copy(empty_database, tmp_path / "tern.db")
    return tmp_path
