"""What only the SQLite engine does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    """A data folder with an empty SQLite database in it."""
    shutil.copy(empty_database, tmp_path / "tern.db")
    return tmp_path
