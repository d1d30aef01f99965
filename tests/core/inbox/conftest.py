"""The inbox keeps its promises on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(either_folder: Path) -> Path:
    return either_folder
