"""Citation marks in the text of gpt-oss -> numbers, and the footnotes they lead to. Pure.

The model writes `【6†L9-L11】`: display 6 of what its browser showed, lines 9 to 11 (facts/models-2.md 2.8). Only what
was really retrieved becomes a footnote; a mark that leads nowhere goes. 【 alone is an ordinary bracket in Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from core.domain.requests import Citation
from core.providers.executed import Found

_MARK: Final = re.compile(r" ?【(\d{1,4})†L(\d{1,6})(?:-L\d{1,6})?】")
_OPEN: Final = re.compile(r" ?(?:【(?:\d{1,4}(?:†(?:L(?:\d{1,6}(?:-(?:L(?:\d{1,6})?)?)?)?)?)?)?)?$")
"""What may become a mark, at the end of a piece."""

_MAX_TITLE: Final = 80

Source = Callable[[int, int], Found | None]
"""(display, line) -> the page."""


class CitationFilter:
    """Any split of the text gives the same."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._held = ""
        self._length = 0
        self._numbers: dict[str, int] = {}
        self._found: list[Found] = []
        self._spans: list[list[tuple[int, int]]] = []

    def feed(self, text: str) -> str:
        """Return what of the text so far can be shown."""
        text = self._held + text
        opened = _OPEN.search(text)
        cut = opened.start() if opened else len(text)
        self._held = text[cut:]
        return self._told(text[:cut])

    def close(self) -> str:
        """Return what was held back, and was no mark."""
        held, self._held = self._held, ""
        return self._told(held)

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(
            Citation(number, found.title, found.url, tuple(spans))
            for number, (found, spans) in enumerate(zip(self._found, self._spans, strict=True), 1)
        )

    def _told(self, text: str) -> str:
        pieces: list[str] = []
        at = 0
        for mark in _MARK.finditer(text):
            self._put(pieces, text[at : mark.start()])
            at = mark.end()
            found = self._source(int(mark[1]), int(mark[2]))
            if found is not None:
                number = self._number(found)
                lead = " " if mark[0].startswith(" ") else ""
                self._put(pieces, lead)
                begin = self._length
                self._put(pieces, f"[{number}]")
                self._spans[number - 1].append((begin, self._length))
        self._put(pieces, text[at:])
        return "".join(pieces)

    def _put(self, pieces: list[str], text: str) -> None:
        pieces.append(text)
        self._length += len(text)

    def _number(self, found: Found) -> int:
        number = self._numbers.get(found.url)
        if number is None:
            number = self._numbers[found.url] = len(self._found) + 1
            self._found.append(found)
            self._spans.append([])
        return number


def footnotes(citations: tuple[Citation, ...]) -> str:
    """The end of an answer that cites: one line for each number, in Markdown; "" without citations."""
    if not citations:
        return ""
    lines = [f"- [{one.number}] [{_label(one)}]({one.url})" for one in citations]
    return "\n\n" + "\n".join(lines)


def _label(one: Citation) -> str:
    title = " ".join(one.title.split()) or one.url.split("/")[2]
    if len(title) > _MAX_TITLE:
        title = title[: _MAX_TITLE - 1].rstrip() + "…"
    return re.sub(r"([\\\[\]*_`<>~|])", r"\\\1", title)
