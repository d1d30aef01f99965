"""Where each key of a TOML text stands, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from typing import Any

Path = tuple[str, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[\[?\s*(?P<path>{_DOTTED})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*(?P<path>{_DOTTED})\s*=")
_LONG_QUOTES = re.compile(r'"""|' + r"'''")


def lines_of(text: str) -> dict[Path, int]:
    """Return key path -> line number, from 1, of a *text* that tomllib accepts.

    Keys inside inline tables are not found; ask for their parent. A line inside a multi-line string that looks like
    an assignment is skipped; one inside a multi-line array is not, which no sensible file has.
    """
    found: dict[Path, int] = {}
    table: Path = ()
    open_quotes = ""
    for number, line in enumerate(text.split("\n"), start=1):  # splitlines also splits at what TOML takes for text
        if not open_quotes:
            if header := _HEADER.match(line):
                table = _split(header["path"])
                found.setdefault(table, number)
            elif assignment := _ASSIGNMENT.match(line):
                found.setdefault((*table, *_split(assignment["path"])), number)
        for quotes in _LONG_QUOTES.findall(line):
            if not open_quotes:
                open_quotes = quotes
            elif quotes == open_quotes:
                open_quotes = ""
    return found


def line_of(path: Path, lines: dict[Path, int]) -> int | None:
    """The line of *path*, or of its closest parent that has one."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _split(dotted: str) -> Path:
    """Let tomllib itself take `a."b.c"` apart; () for what only looked like a key, inside a longer text."""
    path = []
    try:
        rest: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    while isinstance(rest, dict):
        ((key, rest),) = rest.items()
        path.append(key)
    return tuple(path)
