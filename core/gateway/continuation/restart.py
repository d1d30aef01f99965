"""Tells a model that goes on from one that begins its answer again."""

from __future__ import annotations

import re
from typing import Literal

from core.gateway.continuation.overlap import HOLD, Folded, Hold, Shown

LOOK_CHARS = 240
"""How much of a text must be seen before a clean start is judged by its words."""

SAME_CHARS = 32
"""Saying this many characters of the beginning again is no chance."""


def _words(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


_OPENERS = _words(
    "a absolutely an and as at because but certainly first firstly for given here hi hello how i if in it its let "
    "my no of okay on one our overall since so sorry sure that the there these they this those to today unfortunately "
    "we well what when while why with yes you your"
)
_FRESH = re.compile(
    r"(?:(?:sorry|apologies)[^.\n]{0,40}[.,!] *)?(?:let me (?:start (?:over|again)|begin again|rephrase|try again)|"
    r"(?:to )?start(?:ing)? (?:over|again)|from the beginning|here(?:'s| is) (?:the|my) (?:full|complete|whole))",
    re.IGNORECASE,
)
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)]|\|)\s?")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")


def same_start(shown: Shown, said: Folded) -> int:
    """Return how many folded characters both begin with."""
    pairs = zip(shown.text, said.text, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(shown.text), len(said.text)))


def starts_over(shown: Shown, said: str, *, in_code: bool, final: bool) -> bool | Literal[Hold.HOLD]:
    """Return whether *said*, which repeats nothing word for word, begins the answer anew in other words.

    A wrong True loses text, a wrong False only repeats a thought, so True needs evidence: a sentence that opens where
    another one was cut ("the wings of" + "Terns are"), or at a clean seam a text whose first words cover half of what
    was said already. HOLD while more of *said* could still show that.

    Judging by words knows languages with spaces and capitals; in others a restart is shown as a continuation.
    """
    if not said or said[0].isspace():
        return False
    if _FRESH.match(said):
        return True
    opening = said.lstrip("# ") if said[0] == "#" else said.lstrip("*_")
    if not opening:
        return False if final else HOLD
    if not (opening[0].isupper() or said[0] == "#") or _LIST_ITEM.match(said):
        return False
    if _was_cut(shown) and not in_code:
        word, complete = _first_word(opening)
        if not complete and not final:
            return HOLD
        return _opens_a_sentence(word, shown)
    if len(said) < min(LOOK_CHARS, max(80, len(shown.raw))) and not final:
        return HOLD
    return _covers(said, shown.raw)


def _was_cut(shown: Shown) -> bool:
    """Whether what was shown ends within a sentence, on a word or a comma, with no whitespace after it."""
    return bool(shown.text) and shown.word_may_grow and (shown.text[-1].isalnum() or shown.text[-1] in ",;(")


def _first_word(text: str) -> tuple[str, bool]:
    word = re.match(r"[^\W_]+(?:['’][^\W_]+)?", text)
    if word is None:
        return "", True
    return word.group(), word.end() < len(text)


def _opens_a_sentence(word: str, shown: Shown) -> bool:
    """An opener, or one of the words the answer began with. "Java" + "Script" is neither."""
    known = word.lower() in _OPENERS or _stem(word) in {_stem(w) for w in _LONG_WORD.findall(shown.raw[:120])}
    return bool(word) and known


def _covers(said: str, shown: str) -> bool:
    """Whether *said* speaks again of at least half of what *shown* spoke of (four words or more)."""
    spoken = {_stem(word) for word in _LONG_WORD.findall(shown[: 2 * LOOK_CHARS])}
    again = {_stem(word) for word in _LONG_WORD.findall(said)}
    common = len(spoken & again)
    return common >= 4 and 2 * common >= len(spoken)


def _stem(word: str) -> str:
    return word.lower()[:4]
