"""<think> at the head of an answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.providers.thinking import ThinkFilter, thinks_unopened
from tests.core.providers.conftest import LOCAL


def sift(*pieces: str, whole: bool = True, opened: bool = False) -> tuple[str, str]:
    sieve = ThinkFilter(opened=opened)
    told = [*map(sieve.feed, pieces), sieve.close(whole=whole)]
    return "".join(answer for answer, _ in told), "".join(thought for _, thought in told)


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("plain", "plain", ""),
        ("<think>hm</think>four", "four", "hm"),
        ("\n <think>\nhm\n</think>\n\nfour", "four", "\nhm\n"),
        ("<think></think>four", "four", ""),
        ("use <think> as a tag", "use <think> as a tag", ""),
        ("<thin", "<thin", ""),
        ("<thinking>hm</thinking>four", "four", "hm"),
        ("<thought>hm</thought>four", "four", "hm"),
        ("[THINK]hm[/THINK]four", "four", "hm"),
        ("<think>never closed", "never closed", ""),
        ("<think>\nnever </thi", "never </thi", ""),
        ("", "", ""),
        (" x", " x", ""),
    ],
)
def test_only_a_block_at_the_head_is_thinking(text: str, answer: str, thought: str) -> None:
    """In mid-answer the tag is the answer's own business."""
    assert sift(text) == (answer, thought)


def test_thinking_that_was_cut_is_no_answer() -> None:
    """Without its end nobody knows what the answer would have been: the next model is asked."""
    assert sift("<think>well, ", "the", whole=False) == ("", "well, the")


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("hm, so</think>\nfour", "four", "hm, so"),
        ("<think>hm</think>four", "four", "hm"),
        ("just four", "just four", ""),
        ("", "", ""),
    ],
)
def test_the_opening_tag_may_have_stood_in_the_prompt(text: str, answer: str, thought: str) -> None:
    """Everything up to the closing one is a thought then; a model that did not think is shown at its end."""
    assert sift(*text, opened=True) == (answer, thought)


def test_thoughts_in_a_field_of_their_own_leave_the_text_alone() -> None:
    """A server that takes them apart itself has no closing tag in the text: it is shown as it comes."""
    sieve = ThinkFilter(opened=True)

    sieve.thoughts_go_elsewhere()

    assert sieve.feed("four") == ("four", "")


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("deepseek-r1:7b", True),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", True),
        ("qwq-32b", True),
        ("qwen/qwen3-30b-a3b-thinking-2507", True),
        ("openai/gpt-oss-20b", False),
        ("llama3r1d", False),
        ("smollm2-135m-instruct", False),
    ],
)
def test_models_whose_prompt_ends_with_the_opening_tag(model: str, thinks: bool) -> None:
    """By name: no server says it."""
    assert thinks_unopened(replace(LOCAL, id=model)) is thinks


@given(st.text(alphabet="<>/think ab\n", max_size=40), st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_any_split_gives_the_same(text: str, cuts: list[int], thinks: bool) -> None:
    """However the tags are cut."""
    text = f"<think>{text}</think>{text}" if thinks else text
    bounds = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]

    whole, parts = sift(text), sift(*(text[a:b] for a, b in pairwise(bounds)))

    assert parts == whole
