"""Finds the words that a second model says again, whatever it did to case, whitespace, quotes and emphasis."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal

TAIL_CHARS = 600
"""How far back a repeat may begin."""

_SURE_LETTERS, _SURE_CHARS = 8, 10
"""So much said again is no chance, though it begins within a word: that many letters and digits, or half of them among
that many characters."""

_EMPHASIS = frozenset("*_`~")
_LEVELLED = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-", "‑": "-"}


class Hold(Enum):
    """More text is needed before it can be said."""

    HOLD = auto()


HOLD: Final = Hold.HOLD


@dataclass(frozen=True, slots=True)
class Folded:
    """A text with its accidents levelled out; `starts[i]` is where folded character i stands in `raw`."""

    raw: str
    text: str
    starts: tuple[int, ...]

    @classmethod
    def of(cls, raw: str) -> Folded:
        kept: list[str] = []
        starts: list[int] = []
        for index, char in enumerate(raw):
            if char in _EMPHASIS:
                continue
            if char.isspace():
                if kept and kept[-1] == " ":
                    continue
                kept.append(" ")
            else:
                kept.append(_LEVELLED.get(char) or char.lower()[0])
            starts.append(index)
        return cls(raw, "".join(kept), tuple(starts))

    def end_of(self, length: int) -> int:
        """Where the raw text stands after its first *length* folded characters (at least one)."""
        return self.starts[length - 1] + 1


@dataclass(frozen=True, slots=True)
class Shown:
    """What the reader has, prepared for comparing. `anchor` is what the second model was asked to repeat."""

    raw: str
    folded: Folded
    text: str
    """Folded, without whitespace at its end."""
    trail: str
    """The raw whitespace and emphasis marks after the last of `text`."""
    anchor: str
    """Folded."""

    @classmethod
    def of(cls, raw: str, anchor: str) -> Shown:
        folded = Folded.of(raw)
        text = folded.text.rstrip(" ")
        trail = raw[folded.end_of(len(text)) :] if text else raw
        return cls(raw, folded, text, trail, Folded.of(anchor).text.strip())

    def in_mid_line(self, length: int) -> bool:
        """Whether something stands on its line before the character behind the first *length* folded ones."""
        at = self.folded.starts[length]
        return bool(self.raw[self.raw.rfind("\n", 0, at) + 1 : at].strip())

    @property
    def word_may_grow(self) -> bool:
        """Whether no whitespace has come after the last word yet."""
        return not any(char.isspace() for char in self.trail)


def overlap(shown: Shown, said: str, *, final: bool, code_at: int | None = None) -> int | Literal[Hold.HOLD] | None:
    """Return where in *said* the new words begin, None where nothing is repeated.

    HOLD while all of *said* may still turn out to be a repeat. With *final* nothing more comes. *code_at* is where in
    what was shown a code block begins that is still open.

    A text that really says the same seven letters twice in a row, across the very place where it was cut, loses one of
    the two: that cannot be told from a repeat. In code the bar is higher, because there it happens.
    """
    folded = Folded.of(said)
    lead = len(folded.text) - len(folded.text.lstrip(" "))
    core = folded.text[lead:]
    tail = shown.text[-TAIL_CHARS:]
    if not final and core.rstrip(" ") in tail:
        return HOLD
    glued = not shown.raw[-1:].isspace() and not said[:1].isspace()
    for length in range(min(len(core), len(tail)), 0, -1):
        if core[length - 1] != " " and tail.endswith(core[:length]):
            words, rest = core[:length], core[length:]
            in_code = code_at is not None and shown.folded.starts[len(shown.text) - length] >= code_at
            if _is_repeat(shown, words, rest, glued=glued, in_code=in_code):
                return resume_at(shown, folded, lead + length)
    line = shown.raw.rpartition("\n")[2]
    return len(line) if len(line.strip()) >= 3 and said.startswith(line) else None  # indentation and all


def _is_repeat(shown: Shown, words: str, rest: str, *, glued: bool, in_code: bool) -> bool:
    """Whether *words*, the end of what was shown and the start of what is said, are too much for chance."""
    before = shown.text[: len(shown.text) - len(words)]
    weight = sum(char.isalnum() for char in words)
    sure = weight >= _SURE_LETTERS or (weight >= _SURE_LETTERS // 2 and len(words) >= _SURE_CHARS)
    if len(words) >= max(len(shown.anchor), 1) and (weight >= 4 or len(words) >= _SURE_CHARS):
        return True  # what was asked for, or more of it; wherever that begins
    if not shown.word_may_grow and rest[:1].isalnum():
        return False  # "x = 1\n" + "x = 10"
    if before and _in_one_word(before[-1], words[0]) and not sure:
        return False  # begins within a word: "bana" + "na"
    if before.rstrip().endswith(words):
        return False  # the text repeats itself: "ha ha" + " ha"
    if not glued and sure and shown.in_mid_line(len(before)):
        return True  # a line that begins as the one before it ends
    if in_code:
        return weight >= (6 if glued else 12)
    if glued:
        return weight >= 4 or (not before and weight >= 2)
    return weight >= 7


def _in_one_word(before: str, after: str) -> bool:
    """Whether two neighbours are letters of one word; in writing without spaces nobody can tell."""
    return before.isalnum() and after.isalnum() and not (_is_wide(before) or _is_wide(after))


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def resume_at(shown: Shown, said: Folded, length: int) -> int:
    """Return where in `said.raw` the text after its first *length* folded characters goes on.

    Whitespace and emphasis that already stand at the end of what was shown are not said twice.
    """
    end = said.end_of(length)
    following = next((i for i in range(length, len(said.text)) if said.text[i] != " "), None)
    between = said.raw[end : said.starts[following] if following is not None else len(said.raw)]
    same = place = 0
    while same < len(between) and place < len(shown.trail):
        if between[same].isspace() and shown.trail[place].isspace():
            if between[same] == shown.trail[place]:
                same, place = same + 1, place + 1
                continue
            # Another blank than the one that stands: all of both are the same gap.
            same += len(between[same:]) - len(between[same:].lstrip())
            place += len(shown.trail[place:]) - len(shown.trail[place:].lstrip())
        elif between[same] == shown.trail[place]:
            same, place = same + 1, place + 1
        else:
            break
    if not same and not shown.word_may_grow:
        same = len(between) - len(between.lstrip())
    return end + same
