"""Visible characters: where one ends."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from core.delivery.pages.graphemes import breaks_before

PIECES = (
    *("a", "é", "e\u0301", "\r\n", "日", "の", "한", "ᄒ", "ᅡ", "ᆫ", "ก็", "क्षि", "नमस्ते", "❤️", "👍🏽"),
    *("\U0001f469\u200d\U0001f469\u200d\U0001f467", "🇩🇪", "🇫", "\u200d", "\U0001f3f4\U000e0067\U000e0062\U000e007f"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_character_ends_where_unicode_says(text: str) -> None:
    """Above Latin every boundary is one of Unicode's, however little is looked back at."""
    ends = {cluster.end() for cluster in regex.finditer(r"\X", text)}

    for index in range(1, len(text)):
        if text[index] >= "\u0300":
            assert breaks_before(text, index) == (index in ends), (text, index)


@pytest.mark.parametrize("text", ["क्षि", "e\u0301", "\r\n", "🇩🇪", "a" + "\u0301" * 200])
def test_one_character_is_not_parted(text: str) -> None:
    """A conjunct of Devanagari, a letter with its marks, a line's end, a flag, a pile of marks."""
    assert not any(breaks_before(text, index) for index in range(1, len(text)))
