"""Notices that a small model goes round in circles. Pure."""

from __future__ import annotations

import re

_TAIL_CHARS = 600
_ROUND = re.compile(r"(.{8,190}?)\1{2,}\Z", re.DOTALL)
"""Something of eight characters or more, three times in a row, at the end."""


def goes_round(text: str) -> bool:
    """Whether *text* ends in the same words three times over, one line or several; numbers may count up.

    Rules, table borders and closing brackets repeat as well: only what has words counts.
    """
    tail = re.sub(r"\d+", "", text[-_TAIL_CHARS:])
    bare = tail.rstrip()
    found = next(filter(None, map(_ROUND.search, (tail, bare, f"{bare}\n"))), None)
    return found is not None and sum(map(str.isalpha, found[1])) >= 4
