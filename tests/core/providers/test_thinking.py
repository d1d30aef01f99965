"""<think> at the head of an answer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.providers.thinking import ThinkFilter


def sift(*pieces: str) -> tuple[str, str]:
    sieve = ThinkFilter()
    told = [sieve.feed(piece) for piece in pieces]
    return "".join(answer for answer, _ in told) + sieve.close(), "".join(thought for _, thought in told)


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("plain", "plain", ""),
        ("<think>hm</think>four", "four", "hm"),
        ("\n <think>\nhm\n</think>\n\nfour", "four", "\nhm\n"),
        ("<think></think>four", "four", ""),
        ("use <think> as a tag", "use <think> as a tag", ""),
        ("<thin", "<thin", ""),
        ("<think>never closed", "", "never closed"),
        ("", "", ""),
        (" x", " x", ""),
    ],
)
def test_only_a_block_at_the_head_is_thinking(text: str, answer: str, thought: str) -> None:
    """In mid-answer the tag is the answer's own business."""
    assert sift(text) == (answer, thought)


@given(st.text(alphabet="<>/think ab\n", max_size=40), st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_any_split_gives_the_same(text: str, cuts: list[int], thinks: bool) -> None:
    """However the tags are cut."""
    text = f"<think>{text}</think>{text}" if thinks else text
    bounds = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]

    whole, parts = sift(text), sift(*(text[a:b] for a, b in pairwise(bounds)))

    assert parts == whole
