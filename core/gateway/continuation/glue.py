"""Gives back the whitespace that chat models strip from the front of what they write."""

from __future__ import annotations

import re

from core.gateway.continuation.fences import OpenFence, in_code_span, open_fence

_SENTENCE_END = frozenset(".!?。！？")
_BLOCK = re.compile(r"(?:[-*+•] |\d+[.)] |#{1,6} |> |\||```|~~~)")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)]) ")
_FENCE_LINE = re.compile(r" {0,3}(?:`{3,}|~{3,})$")
_BARE_MARK = re.compile(r"\s*(?:[-*+•]|\d+[.)]|#{1,6}|>)$")


def glue(shown: str, said: str, *, courtesy: str = "") -> str:
    """Return *said* with the whitespace in front of it that is surely missing.

    After a *courtesy* on lines of its own the model has started a text, so its first whitespace is gone: a block starts
    on a new line, a word after a space. That is wrong where the first model was cut within a word; no dictionary is
    at hand to see it. Everywhere else *said* is trusted, except for a capital right after a sentence's end.
    """
    if not shown or not said or shown[-1].isspace() or said[0].isspace():
        return said
    line = shown.rpartition("\n")[2]
    block = open_fence(shown)
    if courtesy.endswith("\n"):
        return _after_new_start(shown, line, said, block)
    if block is not None or in_code_span(shown):
        return said
    sentence = shown[-1] in _SENTENCE_END and shown[-2:-1].islower() and said[0].isupper()
    return " " + said if sentence else said


def _after_new_start(shown: str, line: str, said: str, block: OpenFence | None) -> str:
    if block is not None:
        if block.code_at == len(shown):  # the fence's own line had no end yet
            return "\n" + said
        return " " + said if shown[-1].isalnum() and said[0].isalnum() else said
    if _BLOCK.match(said) or _FENCE_LINE.match(line):
        return ("\n" if _LIST_ITEM.match(line) and _LIST_ITEM.match(said) else "\n\n") + said
    after_word = shown[-1].isalnum() or shown[-1] in ".,;:!?" or _BARE_MARK.match(line)
    opens_word = said.lstrip("*_`\"'([“‘")[:1].isalnum()
    return " " + said if after_word and opens_word else said
