"""One answer of exactly 50 tokens, cut as a tokenizer cuts: prose, a list, emphasis, code, words in two halves."""

from __future__ import annotations

import re

TOKENS: tuple[str, ...] = (
    "Ar", "ctic", " ter", "ns", " migrate", " from", " pole", " to", " pole", " every", " year", ".", " They", " see",
    " **", "two", " summers", "**", ":", "\n\n", "-", " one", " in", " Green", "land", "\n", "-", " one", " near",
    " Ant", "arctica", "\n\n", "```", "python", "\n", "for", " leg", " in", " journey", ":\n", "    ", "fly", "(",
    "leg", ")\n", "```", "\n\n", "Quite", " a", " trip!",
)  # fmt: skip

ANSWER = "".join(TOKENS)

IN_OTHER_WORDS = (
    "The Arctic tern flies between both poles every year, so it enjoys two summers: one up in Greenland and one "
    "down by Antarctica. In code, each leg of the journey is one call of a function."
)


def cut(after: int) -> tuple[str, str]:
    """What the first model said before it broke off, and what it would have said."""
    return "".join(TOKENS[:after]), "".join(TOKENS[after:])


def last_words(text: str, count: int) -> str:
    """The end of *text* from the start of its *count*-th last word."""
    starts = [match.start() for match in re.finditer(r"\S+", text)]
    return text[starts[max(0, len(starts) - count)] :] if starts else ""
