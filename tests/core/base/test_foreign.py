"""The door for JSON that others wrote."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.foreign import Malformed, count, json_value, whole_text


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "x\xffy"}', {"a": "x\ufffdy"}),
        (b'["\\ud83d", "\\ud83d\\ude00"]', ["\ufffd", "😀"]),
        (b'{"\\ud83d": 1}', {"\ufffd": 1}),
        (b'["a\x01\tb"]', ["a\x01\tb"]),
        (b"[NaN, Infinity]", [None, None]),
        (b"[" + b"9" * 5_000 + b"]", [1e308]),
        (b"[1e999, -1e999]", [1e308, -1e308]),
        ('"\ud83d"', "\ufffd"),
        (b"[" * 60 + b"]" * 60, None),
    ],
)
def test_what_can_be_read_is_read(raw: bytes | str, value: Any) -> None:
    """Leniently, and as text that UTF-8 can carry."""
    read = json_value(raw)

    assert value is None or read == value


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"nothing", b"[" * 100_000, b"[" * 65 + b"]" * 65, b'{"a":' * 2_000 + b"1" + b"}" * 2_000, b"\xff"],
)
def test_what_cannot_be_read_is_malformed(raw: bytes) -> None:
    """Nothing else is raised, and nothing of what stood there is told."""
    with pytest.raises(Malformed):
        json_value(raw)


def test_more_than_was_allowed_is_not_even_read() -> None:
    """Whoever asks knows how much there can be."""
    with pytest.raises(Malformed, match="more than 10 bytes"):
        json_value(b"[1, 2, 3, 4]", max_bytes=10)


def test_halves_of_characters_may_be_left() -> None:
    """For whoever gets the other half next."""
    assert json_value(b'"\\ud83d"', halves=True) == "\ud83d"
    assert whole_text("\ud83d\ude00") == "😀"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (12, 12),
        (12.0, 12),
        ("12", 12),
        (" 12.5 ", 12),
        (-5, 0),
        ("-5", 0),
        (10**30, 10_000_000),
        ("9" * 5_000, 10_000_000),
        (float("inf"), 10_000_000),
        (float("nan"), None),
        (True, None),
        (None, None),
        ([], None),
        ("many", None),
        ("1" * 50 + "x", None),
    ],
)
def test_counts(value: Any, number: int | None) -> None:
    """Never below zero, never beyond belief; what is no number is none."""
    assert count(value) == number


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_nothing_else_is_ever_raised(raw: bytes | str) -> None:
    """Whatever comes."""
    with suppress(Malformed):
        json_value(raw)
