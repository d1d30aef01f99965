"""Finds the courtesy that a chat model puts before a continuation: "Sure, continuing where I left off:"."""

from __future__ import annotations

import re
from typing import Literal

from core.gateway.continuation.overlap import HOLD, Hold

MAX_CHARS = 200
"""A preface longer than this is no preface."""


def _words(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


_COURTESY = _words("sure certainly absolutely okay ok alright understood yes apologies sorry right got course")
_CUES = _words(
    "continuing continue continued continuation resuming resume picking pick carrying rest remaining remainder"
)
_STRONG = _words("off stopped interrupted cut")
"""Seen beside a cue, no answer's own sentence is left to doubt: "where I left off"."""
_FILLERS = _words(
    "thing of course for the that this a an my your our its it i we you i'll i'm i'd let me us let's will here here's "
    "is are from where left exactly with up and now as requested previous last answer response text message reply "
    "sentence point there on in at by going to was were had be have"
)
_OPENERS = _COURTESY | _CUES | _words("here here's let let's i'll i i'm to from of as the my")
_MAY_FOLLOW = _COURTESY | _CUES | _STRONG | _FILLERS
_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?")
_OPENING_MARKS = " \"'*_(["
_BETWEEN = frozenset(" ,'\"")
_STOPS = frozenset(":.!…—)]\n")
_CERTAIN_STOPS = frozenset(":…)]\n")
"""After one of these even a cue without a courtesy ("Continuing:") is no sentence of the answer's own."""


def preface_end(said: str, *, final: bool) -> int | Literal[Hold.HOLD]:
    """Return how many characters of *said* are courtesy (0: none), whitespace that belongs to it included.

    Of the whitespace after it one space, or up to two line ends, are the preface's; what remains is the text's own.
    English only: we ask in English, and models that answer an English instruction with a courtesy do so in English.
    """
    may_grow = not final and len(said) < MAX_CHARS
    first = said.lstrip("\n")[:1]
    if first.isspace() or first.islower():
        return 0  # it goes on in mid-sentence
    start = pos = len(said) - len(said.lstrip("\n" + _OPENING_MARKS))
    courtesy, strong, cue_end = False, False, 0
    while pos < len(said):
        if word := _WORD.match(said, pos):
            name = word.group().lower().replace("’", "'")
            known = _OPENERS if pos == start else _MAY_FOLLOW
            if may_grow and word.end() == len(said) and any(other.startswith(name) for other in known):
                return HOLD
            if name not in known:
                break
            pos = word.end()
            cue_end = pos if name in _CUES else cue_end
            courtesy = courtesy or name in _COURTESY
            strong = strong or name in _STRONG
        elif said[pos] in _STOPS and not said[pos - 1].isspace():
            stop, pos = pos, _after_stop(said, pos)
            if may_grow and pos == len(said):
                return HOLD
            if cue_end and (courtesy or strong or said[stop] in _CERTAIN_STOPS or said[stop:pos].startswith("...")):
                if may_grow and not said[pos:].strip():
                    return HOLD  # whose the whitespace is shows only when something follows
                return pos + _separator(said[pos:])
            if cue_end or not courtesy:
                return 0
        elif said[pos] in _BETWEEN or (said[pos] == "\n" and courtesy and not cue_end):
            pos += 1
        else:
            break
    else:
        return HOLD if may_grow else 0
    if cue_end and courtesy:  # "Sure, continuing" and then at once the text
        return cue_end + _separator(said[cue_end:])
    return 0


def _after_stop(said: str, pos: int) -> int:
    """Past the marks of one stop ("...", "!:"), but not past a line end: that is whitespace, for `_separator`."""
    while pos < len(said) and said[pos] in _STOPS and said[pos] != "\n":
        pos += 1
    return pos


def _separator(after: str) -> int:
    newlines = len(after) - len(after.lstrip("\n"))
    return min(newlines, 2) if newlines else int(after[:1] == " ")
