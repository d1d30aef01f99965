"""Web addresses in running text: where one begins and where it ends. Pure and linear.

The end is what every surface must agree on: an address keeps its underscores and its balanced brackets, and gives back
the sentence's punctuation and the emphasis around it.
"""

from __future__ import annotations

import re

SCHEME = re.compile(r"(?<![A-Za-z0-9])https?://(?=[^\s<>])", re.IGNORECASE)

_STEP = re.compile(
    # Full-width marks end a sentence without a space, so they end the address too.
    r"[^\s<>\"`|\\^()\[\]{}*\u3000-\u3003\u3008-\u301f\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\u201c\u201d\u2026]+"
    r"|[()\[\]{}*]|\\[_*~&]"
)
_OPENING = {")": "(", "]": "[", "}": "{"}
_TRAILING = ".,;:!?'’([{"
_EMPHASIS = "*_~"


def address_end(text: str, start: int) -> int:
    """Where the address that begins at *start* (at its scheme) ends.

    Balanced brackets belong to it, square ones only in its query; so do runs of emphasis marks that stand inside, and
    at its end if the same run stands inside too ("/__init__").
    """
    begin = end = text.index("://", start) + 3
    opened: list[str] = []
    while step := _STEP.match(text, end):
        piece = step.group()
        if piece == "*" and text.startswith("*", step.end()):
            break  # two stars are bold type's
        if piece in "([{":
            if piece == "[" and text.find("?", begin, end) < 0:
                break
            opened.append(piece)
        elif piece in _OPENING and (not opened or opened.pop() != _OPENING[piece]):
            break
        end = step.end()
    return _without_trailing(text, start, begin, end)


def _without_trailing(text: str, start: int, begin: int, end: int) -> int:
    while end > begin:
        last = text[end - 1]
        if last in _TRAILING:
            end -= 1
        elif last in _EMPHASIS:
            run = end
            while run > begin and text[run - 1] == last:
                run -= 1
            inside = text.find(text[run:end], begin, run) >= 0 and text[start - 1 : start] != last
            if inside or text[run - 1] == "\\":
                return end
            end = run
        else:
            return end
    return end


def written(address: str) -> str:
    """The address that *address* stands for: models escape what needs no escape there ("foo\\_bar")."""
    return re.sub(r"\\([_*~&])", r"\1", address)


def is_balanced(address: str) -> bool:
    """Whether every round bracket in it has its other half."""
    depth = 0
    for bracket in re.findall(r"[()]", address):
        depth += 1 if bracket == "(" else -1
        if depth < 0:
            return False
    return depth == 0
