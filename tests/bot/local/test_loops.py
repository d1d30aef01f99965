"""When a model goes round in circles, and when it only seems to."""

from __future__ import annotations

import pytest

from bot.local.loops import goes_round


@pytest.mark.parametrize(
    "text",
    [
        "Sure.\n" + "The capital is Paris.\n" * 3,
        "".join(f"{number}. The capital is Paris.\n" for number in range(1, 4)),
        "Question: What?\nAnswer: That.\n" * 3,
        "I am a model, I am a model, I am a model, ",
        "und dann und dann und dann und dann",
        "东京是日本的首都。" * 3,
    ],
)
def test_the_same_words_three_times_are_a_circle(text: str) -> None:
    """One line, several, a clause without a line's end, a list that counts up."""
    assert goes_round(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris.\nParis.\n",
        "The capital is Paris.\nThe capital is Rome.\nThe capital is Oslo.\n",
        "| a | b |\n|---|---|\n|---|---|\n",
        "-" * 200,
        "        }\n        }\n        }\n        }\n",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        "ha ha ha ha",
        "The capital is Paris.\n" * 3 + "Anything else?",
    ],
)
def test_what_repeats_for_a_reason_is_none(text: str) -> None:
    """Rules, brackets, tables, numbers and short laughter; and what stands behind the model already."""
    assert not goes_round(text)


@pytest.mark.parametrize("piece", ["a", "ab ", "abcdefgh ", "[a](b ", "\n", "1"])
def test_looking_costs_the_same_however_long_the_text_is(piece: str) -> None:
    """Only the end is looked at."""
    goes_round(piece * 1_000_000)
