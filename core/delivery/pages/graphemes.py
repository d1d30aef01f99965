"""Where a text may be cut without taking a visible character apart. Pure."""

from __future__ import annotations

import regex

_CLUSTER = regex.compile(r"\X")
_STARTS = regex.compile(r"(?V1)[\p{L}--[\p{InCB=Consonant}\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]]")
"""A letter from which on clusters are the same whatever stands before it: no need to look further back."""
_REACH = 48
"""Characters looked back at, since each costs about a microsecond. In a run of more flags than these hold a pair may be
parted; a longer pile of marks is still one."""


def breaks_before(text: str, index: int) -> bool:
    """Whether what is left and right of *index* are different visible characters (extended grapheme clusters).

    Looks only backwards from *index* (and at the character there), so that the answer never changes when the text
    grows.
    """
    if index <= 0 or index >= len(text):
        return True
    if text[index] < "\u0300":  # quick way out for Latin text; everything that joins lies above
        return text[index - 1 : index + 1] != "\r\n"
    begin = index - 1
    while begin > 0 and text[begin] >= "\u0300" and not _STARTS.match(text, begin) and index - begin < _REACH:
        begin -= 1
    while begin < index:
        begin = _CLUSTER.match(text, begin, index + 1).end()
    return begin == index
