"""Nobody is pinged by what a model writes. Pure.

Slack reads <!channel>, <@U123>, <!subteam^S1> and the like as orders in every text it gets, and a model's text may hide
them: as entities, split by invisible characters, behind backslashes, inside links and code. On every path, fallbacks
included, text goes through `disarm` (facts/slack.md 1.4).
"""

from __future__ import annotations

import html
import re
import unicodedata

from core.base.text import well_formed

_OPENING = re.compile(r"<|&(?:amp;)*(?:lt|#0*60|#x0*3c);?", re.IGNORECASE)
"""An opening angle bracket, bare or as an entity, however often encoded."""

_AT = re.compile(r"@|&(?:amp;)*(?:commat|#0*64|#x0*40);?", re.IGNORECASE)

_ORDER = re.compile(r"\s*(?:!\s*(?i:channel|here|everyone|group|subteam)(?![a-z])|[@#][UWBCGDS][A-Z0-9]*\s*(?=[|>]))")
_EVERYONE = re.compile(r"(?i:channel|here|everyone|group)(?![^\W_])")

_MAY_BECOME_ORDER = re.compile(r"\s*(?:!\s*\w{0,8}|[@#][A-Z0-9]{0,24}\s*)?")
_UNFINISHED = re.compile(r"(?:&[#\w;&]{0,16}|@\w{0,8})\Z")
"""The end of a growing text that may turn into a bracket or an "@here" by what comes next."""

_WINDOW = 160
_SKIPPED = "\\*_~`"
"""What Markdown may take out between two characters."""

_WITHOUT_SKIPPED = str.maketrans("", "", _SKIPPED)


def disarm(text: str) -> str:
    """Return *text* with every order to ping made inert: its "<" becomes the look-alike "‹", "@here" gets a joiner.

    A zero-width character or an entity in place of "<" would not do: a later parser may take out either. Half a
    character (a lone surrogate) becomes "?", which can be sent.
    """
    text = well_formed(text)
    if "<" not in text and "@" not in text and "&" not in text:
        return text
    text = _replace(text, _OPENING, _ORDER, "‹")
    return _replace(text, _AT, _EVERYONE, "@\u2060", raw=True)


def held_back(text: str) -> str:
    """The part of a growing text, not yet disarmed, that is safe to send now: without an unfinished order at its end.

    Whatever follows, `disarm(held_back(text))` is then a beginning of the whole, disarmed.
    """
    unfinished = _UNFINISHED.search(text, max(0, len(text) - 32))
    end = unfinished.start() if unfinished else len(text)
    for opening in _OPENING.finditer(text, max(0, end - 64), end):
        if _MAY_BECOME_ORDER.fullmatch(_as_read(text[opening.end() : end])):
            return text[: opening.start()]
    return text[:end]


def _replace(text: str, opening: re.Pattern[str], order: re.Pattern[str], by: str, *, raw: bool = False) -> str:
    """Put *by* for each *opening* that begins an *order*; *raw* takes the text as it stands, not as it may be read."""

    def decide(found: re.Match[str]) -> str:
        rest = text[found.end() : found.end() + _WINDOW]
        return by if order.match(rest if raw else _as_read(rest)) else found[0]

    return opening.sub(decide, text)


def _as_read(text: str) -> str:
    """What a parser may end up with: entities decoded, invisible characters, escapes and emphasis gone."""
    for _ in range(4):
        decoded = html.unescape(text)
        if decoded == text:
            break
        text = decoded
    text = text.translate(_WITHOUT_SKIPPED)
    return text if text.isascii() else "".join(char for char in text if not _invisible(char))


def _invisible(char: str) -> bool:
    return unicodedata.category(char) in {"Cf", "Mn", "Me"} or char in "\u115f\u1160\u3164\uffa0\u034f"
