"""What the next model is told to repeat is known again, whatever kind of text broke off."""

from __future__ import annotations

import random
import re

import pytest

from core.gateway.continuation import anchor_of
from tests.core.gateway.continuation.test_seam import visible
from tests.core.gateway.continuation.texts import KINDS

CUTS = 300
LETTERS = 12


def asked(shown: str, rng: random.Random) -> str:
    """To the letter."""
    return anchor_of(shown)


def more(shown: str, rng: random.Random) -> str:
    """From anywhere in the last lines."""
    return shown[-rng.randint(100, 200) :].strip()


def less(shown: str, rng: random.Random) -> str:
    """The fewest last words that have twelve letters among them."""
    starts = [found.start() for found in re.finditer(r"\S+", shown)]
    enough = [start for start in starts if sum(char.isalnum() for char in shown[start:]) >= LETTERS]
    return shown[enough[-1] :].strip() if enough else anchor_of(shown)


def reworded(shown: str, rng: random.Random) -> str:
    """In other case, with other whitespace and emphasis."""
    return anchor_of(shown).replace(" ", "\n ").replace("**", "").upper()


@pytest.mark.parametrize("repeat", [asked, more, less, reworded])
@pytest.mark.parametrize("kind", KINDS)
def test_a_repeat_is_shown_once(kind, repeat):
    """Of 300 random cuts none doubles a letter and none loses one."""
    text, rng = KINDS[kind], random.Random(kind)
    for _ in range(CUTS):
        cut = rng.randrange(40, len(text) - 10)
        shown, rest = text[:cut], text[cut:]
        end = shown[len(shown.rstrip()) :]

        seen = visible(shown, repeat(shown, rng) + end + rest, editable=rng.random() < 0.5, size=rng.choice((1, 4, 30)))

        assert seen.split() == text.split(), (shown[-80:], seen[max(cut - 80, 0) : cut + 80])


@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_continuation_loses_nothing(kind):
    """What only looks like a repeat is kept."""
    text, rng = KINDS[kind], random.Random(kind)
    for _ in range(CUTS):
        cut = rng.randrange(1, len(text) - 1)

        assert visible(text[:cut], text[cut:], editable=rng.random() < 0.5, size=rng.choice((1, 4, 30))) == text


def test_the_anchor_is_long_enough_to_be_found():
    """A short cut word behind a very long one takes the long one's end along."""
    assert len(anchor_of("see " + "x" * 100 + " f")) == 80
    assert anchor_of("the quick brown fox jumps over it") == "quick brown fox jumps over it"
