"""Where a text may be cut without taking a visible character apart. Pure."""

from __future__ import annotations

import unicodedata

_ZWJ = "\u200d"


def breaks_before(text: str, index: int) -> bool:
    """Whether what is left and right of *index* are different visible characters.

    Looks only backwards from *index* (and at the character there), so that the answer never changes when the text
    grows. Covers marks, variation selectors, emoji joined by ZWJ, skin tones, tags, flags, Hangul jamo and CR LF; not
    the conjuncts of Indic scripts.

    Source: the rules GB3 to GB13 of Unicode Standard Annex 29, https://www.unicode.org/reports/tr29/ (revision 45).
    """
    if index <= 0 or index >= len(text):
        return True
    left, right = text[index - 1], text[index]
    if right < "\u0300":  # quick way out for Latin text; everything that joins lies above
        return not (left == "\r" and right == "\n")
    if left == _ZWJ or _extends(right):
        return False
    if _is_flag_half(right) and _is_flag_half(left):
        run = index - 1
        while run > 0 and _is_flag_half(text[run - 1]):
            run -= 1
        return (index - run) % 2 == 0
    return not _hangul_joins(left, right)


def _extends(char: str) -> bool:
    return (
        char == _ZWJ
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
        or unicodedata.category(char) in ("Mn", "Me", "Mc")
    )


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _hangul_joins(left: str, right: str) -> bool:
    leading, vowel, trailing = ("\u1100", "\u115f"), ("\u1160", "\u11a7"), ("\u11a8", "\u11ff")

    def within(char: str, block: tuple[str, str]) -> bool:
        return block[0] <= char <= block[1]

    syllable = "\uac00" <= left <= "\ud7a3"
    open_syllable = syllable and (ord(left) - 0xAC00) % 28 == 0
    if within(left, leading):
        return within(right, leading) or within(right, vowel) or "\uac00" <= right <= "\ud7a3"
    if within(left, vowel) or open_syllable:
        return within(right, vowel) or within(right, trailing)
    return (within(left, trailing) or syllable) and within(right, trailing)
