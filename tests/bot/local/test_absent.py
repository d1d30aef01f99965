"""Importing as if something were not installed."""

from __future__ import annotations

import sys

import pytest

from bot.local.absent import absent


def test_cannot_be_imported_within() -> None:
    """The import fails as it does where the package is missing, whether it was loaded before or not."""
    import wave

    with absent("wave"), absent("this"):
        with pytest.raises(ModuleNotFoundError):
            import wave as again  # noqa: F401
        with pytest.raises(ModuleNotFoundError):
            import this  # noqa: F401

    assert sys.modules["wave"] is wave
    assert "this" not in sys.modules
