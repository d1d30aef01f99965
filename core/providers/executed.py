"""What Groq ran by itself on the way to an answer, put together from its two tellings; and what that cost. Pure.

A stream tells each call twice: first that it runs, later the same index with what came out (facts/models-2.md 2.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from core.base.foreign import count, whole_text

MAX_RAN: Final = 64
"""Calls of one answer that are kept; a search opens a handful of pages."""

_MAX_CHARS: Final = 200_000
"""Of one call's output; a page that was read is in it."""

_BROWSING: Final = frozenset({"browser_search", "browser_open", "browser_find"})
_DISPLAY: Final = re.compile(r"\s{0,8}\[(\d{1,4})\]")
"""At the head of an output: the number that citations call it by."""

_LINK: Final = re.compile(r"【(\d{1,4})†[^】†\n]{0,300}(?:†[^】†\n]{0,200})?】")
_LINE: Final = re.compile(r"^\s{0,8}L(\d{1,6}):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """A page that was really retrieved."""

    title: str
    url: str


@dataclass(slots=True)
class Ran:
    """One call. `name` is written with an underscore whatever Groq writes."""

    name: str = ""
    arguments: str = ""
    output: str = ""
    found: tuple[Found, ...] = ()
    code: tuple[str, ...] = ()
    """What code printed, result by result."""

    @property
    def browses(self) -> bool:
        return self.name in _BROWSING

    def source(self, line: int) -> Found | None:
        """The page that stands in *line* of this display; the one page that it is, where it is one."""
        if len(self.found) == 1:
            return self.found[0]
        at = next((mark.start() for mark in _LINE.finditer(self.output) if int(mark[1]) == line), None)
        if at is None:
            return None
        end = self.output.find("\n", at)
        links = list(_LINK.finditer(self.output[: end if end >= 0 else len(self.output)]))
        index = int(links[-1][1]) if links else len(self.found)
        return self.found[index] if index < len(self.found) else None


class RanBook:
    """Calls by their index."""

    def __init__(self) -> None:
        self._ran: dict[int, Ran] = {}

    def __bool__(self) -> bool:
        return bool(self._ran)

    def __iter__(self) -> Iterator[Ran]:
        """In the order they began."""
        return iter(self._ran.values())

    def add(self, told: Any) -> list[str]:
        """Take one chunk's (or message's) executed_tools; returns the names of calls that are new."""
        begun: list[str] = []
        for value in told if isinstance(told, list) else ():
            if not isinstance(value, dict):
                continue
            index = count(value.get("index"))
            index = len(self._ran) if index is None else index
            if index not in self._ran:
                if len(self._ran) >= MAX_RAN:
                    continue
                self._ran[index] = Ran(_name(value))
                begun.append(self._ran[index].name)
            _complete(self._ran[index], value)
        return begun

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._ran.values())

    def source(self, cursor: int, line: int) -> Found | None:
        """The page behind a citation, None where nothing of the kind was retrieved."""
        displays = [one for one in self._ran.values() if one.browses]
        numbered = {int(said[1]): one for one in displays if (said := _DISPLAY.match(one.output))}
        if not numbered:
            numbered = dict(enumerate(displays))
        display = numbered.get(cursor)
        return display.source(line) if display is not None else None


def _complete(ran: Ran, value: Mapping[str, Any]) -> None:
    ran.name = ran.name or _name(value)
    ran.arguments = _text(value.get("arguments")) or ran.arguments
    ran.output = _text(value.get("output")) or ran.output
    ran.found = _found(value) or ran.found
    ran.code = _code(value.get("code_results")) or ran.code


def _name(value: Mapping[str, Any]) -> str:
    name = value.get("name") or value.get("type")
    return name.replace(".", "_")[:64] if isinstance(name, str) else ""


def _found(value: Mapping[str, Any]) -> tuple[Found, ...]:
    searched = value.get("search_results")
    results = searched.get("results") if isinstance(searched, dict) else searched
    lists = [one for one in (results, value.get("browser_results")) if isinstance(one, list)]
    pages = [page for each in lists for page in each[:100] if isinstance(page, dict)]
    return tuple(
        Found(" ".join(_text(page.get("title")).split()), url) for page in pages if (url := _address(page.get("url")))
    )


def _code(value: Any) -> tuple[str, ...]:
    results = [one for one in value[:20] if isinstance(one, dict)] if isinstance(value, list) else []
    return tuple(_text(one.get("text")) for one in results if one.get("text"))


def _address(value: Any) -> str:
    """*value* as an address that may be linked: http or https, with nothing in it that would end a link."""
    text = _text(value)
    if not re.fullmatch(r"https?://[^\s<>\"`\\]{1,2000}", text):
        return ""
    return text.replace("(", "%28").replace(")", "%29")


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        try:
            return msgspec.json.encode(value).decode()[:_MAX_CHARS]
        except (TypeError, ValueError, RecursionError):
            return ""
    return whole_text(value[:_MAX_CHARS]) if isinstance(value, str) else ""
