"""What in a paragraph is not words: code, links, addresses, mentions. Found once, for every surface. Pure and linear.

One walk from left to right with a stack of open brackets, as CommonMark's own parsing strategy has it. The Markdown
parser looks its links up here, page splitting asks where it may cut, a growing answer which marks are open.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from core.base.markdown.addresses import SCHEME, address_end, written

Kind: TypeAlias = Literal["code", "link", "picture", "address", "angle", "mention", "break"]
Defined: TypeAlias = Callable[[str], str | None]
"""The address that a reference's label stands for, None where it is not defined."""

_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_NEXT = re.compile(rf"\\{_PUNCTUATION}|`+|<|!?\[|\]|{SCHEME.pattern}", re.IGNORECASE)
_MENTION = re.compile(r"<(?:[@#][!&]?[A-Z0-9]{1,24}|a?:\w{1,32}:\d{1,20}|t:\d{1,13}(?::\w)?)>")
_BREAK = re.compile(r"<br {0,2}/?>", re.IGNORECASE)
_ANGLE = re.compile(r"<((?:https?://|mailto:)[^\s<>]+|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})>", re.IGNORECASE)
_PLAIN_TARGET = re.compile(rf"(?:[^\s()\\]|\\{_PUNCTUATION}|\\(?!{_PUNCTUATION}))+")
_ANGLE_TARGET = re.compile(r"<((?:[^<>\n\\]|\\.)*)>")
_TITLE = re.compile(r"\"(?:[^\"\\]|\\.){0,500}\"|'(?:[^'\\]|\\.){0,500}'|\((?:[^()\\]|\\.){0,500}\)", re.DOTALL)
_SPACE = re.compile(r"[ \t]*\n?[ \t]*")
_REFERENCE = re.compile(r"\[((?:[^\[\]\\]|\\.){0,200})\]", re.DOTALL)
_ESCAPED = re.compile(rf"\\({_PUNCTUATION})")
_MAX_LABEL = 200
"""A longer label names no reference, and is not waited for while a link grows."""
_MAX_HALF_TARGET = 500
_MAX_NESTED = 8
"""Brackets within an address; deeper ones are not balanced, so that each try looks a bounded way ahead."""


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is one thing."""

    kind: Kind
    start: int
    end: int
    target: str = ""
    """The address, where it has one."""
    label_end: int = 0
    """Where a link's or a picture's label ends, at its bracket."""
    marks: int = 0
    """Backticks on each side of code."""


@dataclass(frozen=True)
class Spans:
    """All spans of a paragraph by their start. A link's label may hold others."""

    by_start: Mapping[int, Span]
    half: int | None
    """Where a link begins whose address has not come to its end with the text."""
    begun: int | None
    """Where the label of a link may have begun that has not come to its end."""

    @cached_property
    def outer(self) -> list[Span]:
        """Those that stand in no other, in order."""
        found: list[Span] = []
        for start in sorted(self.by_start):
            if not found or start >= found[-1].end:
                found.append(self.by_start[start])
        return found

    def around(self, place: int) -> Span | None:
        """The outermost span that a cut in front of *place* would part."""
        at = bisect_right(self.outer, place, key=lambda span: span.start) - 1
        if at < 0:
            return None
        span = self.outer[at]
        return span if span.start < place < span.end else None


def find_spans(text: str, defined: Defined | None = None) -> Spans:
    """All spans of *text*, which is one paragraph."""
    return _Walk(text, defined).spans()


@dataclass(slots=True)
class _Bracket:
    at: int
    label_at: int
    picture: bool


class _Walk:
    def __init__(self, text: str, defined: Defined | None) -> None:
        self._text = text
        self._defined = defined
        self._found: dict[int, Span] = {}
        self._open: list[_Bracket] = []
        self._spent = 0
        """So many of `_open`, from the first, open no link any more: a link holds no link, and one ended inside."""
        self._half: int | None = None
        self._ticks = backtick_runs(text) if "`" in text else {}

    def spans(self) -> Spans:
        at = 0
        while mark := _NEXT.search(self._text, at):
            at = self._take(mark.group(), mark.start(), mark.end())
        begun = None
        for bracket in reversed(self._open):
            if len(self._text) - bracket.at > _MAX_LABEL:
                break
            begun = bracket.at
        return Spans(self._found, self._half, begun)

    def _take(self, mark: str, start: int, end: int) -> int:
        """Deal with *mark*; where to go on."""
        match mark[0]:
            case "\\":
                return end
            case "`":
                return self._code(start, end)
            case "<":
                return self._angle(start) or end
            case "[" | "!":
                self._open.append(_Bracket(start, end, picture=mark[0] == "!"))
                return end
            case "]":
                return self._close(start)
        end = address_end(self._text, start)
        self._found[start] = Span("address", start, end, written(self._text[start:end]))
        return end

    def _code(self, start: int, end: int) -> int:
        close = code_end(self._ticks, start, end)
        if close is None:
            return end
        self._found[start] = Span("code", start, close, marks=end - start)
        return close

    def _angle(self, start: int) -> int | None:
        kind: Kind
        if found := _MENTION.match(self._text, start):
            kind, target = "mention", ""
        elif found := _BREAK.match(self._text, start):
            kind, target = "break", ""
        elif found := _ANGLE.match(self._text, start):
            kind, target = "angle", found[1] if ":" in found[1] else f"mailto:{found[1]}"
        else:
            return None
        self._found[start] = Span(kind, start, found.end(), target)
        return found.end()

    def _close(self, at: int) -> int:
        """A closing bracket: a link, where one may end here and an address follows."""
        if not self._open:
            return at + 1
        bracket = self._open.pop()
        spent = not bracket.picture and len(self._open) < self._spent
        self._spent = min(self._spent, len(self._open))
        follows = None if spent else self._follows(bracket, at)
        if follows is None:
            return at + 1
        target, end = follows
        self._found[bracket.at] = Span("picture" if bracket.picture else "link", bracket.at, end, target, at)
        if not bracket.picture:
            self._spent = len(self._open)
        return end

    def _follows(self, bracket: _Bracket, at: int) -> tuple[str, int] | None:
        """(address, end) of the link whose label ends at *at*."""
        text = self._text
        if text.startswith("(", at + 1):
            found, reached = _target(text, at + 2)
            if found is not None:
                return found, reached
            if reached >= len(text) and len(text) - at <= _MAX_HALF_TARGET and at - bracket.at <= _MAX_LABEL:
                self._half = bracket.at
        elif at + 1 == len(text) and at - bracket.at <= _MAX_LABEL:
            self._half = bracket.at
        if self._defined is None:
            return None
        label = _REFERENCE.match(text, at + 1)
        name = label[1] if label else ""
        if not name.strip():
            if at - bracket.label_at > _MAX_LABEL:
                return None
            name = text[bracket.label_at : at]
        address = self._defined(name)
        return None if address is None else (address, label.end() if label else at + 1)


def _target(text: str, at: int) -> tuple[str | None, int]:
    """The address in round brackets, and where they end; (None, how far was looked) where there is none."""
    at = _after_space(text, at)
    if angle := _ANGLE_TARGET.match(text, at):
        target, end = angle[1], angle.end()
    else:
        end = _plain_end(text, at)
        target = text[at:end]
        if end == at and not text.startswith(")", at):
            return None, at
    after = _after_space(text, end)
    if after > end and text[after : after + 1] in ('"', "'", "("):
        title = _TITLE.match(text, after)
        if title is None:
            return None, len(text) if after + _MAX_HALF_TARGET > len(text) else after
        after = _after_space(text, title.end())
    if text.startswith(")", after):
        return _ESCAPED.sub(r"\1", target), after + 1
    return None, after


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _plain_end(text: str, at: int) -> int:
    """The end of an address without angle brackets: at a space, or at a round bracket that nothing opened in it."""
    opened: list[int] = []
    while at < len(text):
        if piece := _PLAIN_TARGET.match(text, at):
            at = piece.end()
        elif text[at] == "(" and len(opened) < _MAX_NESTED:
            opened.append(at)
            at += 1
        elif text[at] == ")" and opened:
            opened.pop()
            at += 1
        else:
            break
    return opened[0] if opened and at < len(text) and text[at] != "(" else at


def backtick_runs(text: str) -> dict[int, list[int]]:
    """Runs of backticks: their length -> where they begin, in order."""
    found: dict[int, list[int]] = {}
    for run in re.finditer("`+", text):
        found.setdefault(len(run.group()), []).append(run.start())
    return found


def code_end(runs: Mapping[int, list[int]], start: int, end: int) -> int | None:
    """Where the code ends that the run of backticks from *start* to *end* opens; None where it opens none."""
    starts = runs.get(end - start, [])
    close = bisect_left(starts, end)
    return None if close == len(starts) else starts[close] + end - start
