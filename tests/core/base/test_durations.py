"""Durations as Go prints them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base.durations import go_duration_s
from tests.fakes.llm_api.windows import go_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("172ms", 0.172),
        ("6s", 6.0),
        ("1h2m", 3_720.0),
        ("8m45.312s", 525.312),
        ("0s", 0.0),
        ("12", 12.0),
        ("1.5", 1.5),
        (" 3s ", 3.0),
        ("", None),
        ("soon", None),
        ("3 s", None),
        ("-3s", None),
        ("3sx", None),
    ],
)
def test_reading(text: str, seconds: float | None) -> None:
    """A bare number is seconds; anything else is none."""
    assert go_duration_s(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.floats(0, 90_000))
def test_what_go_writes_is_read_back(seconds: float) -> None:
    """To the millisecond."""
    assert go_duration_s(go_duration(seconds)) == pytest.approx(seconds, abs=0.001)
