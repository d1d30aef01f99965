"""Markdown tables for a place without tables: a code block padded by display width, or a list where that is too wide.

Pure. Peers pad by characters, and every CJK or emoji cell breaks the columns (facts/discord.md 3.2).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

MAX_COLUMNS_WIDE = 74
"""Cells across that a code block shows without wrapping on a desktop; wider tables become lists."""

_AS_EMOJI = "\ufe0f"
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")


@dataclass(frozen=True, slots=True)
class Table:
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As wide as the header."""
    right: tuple[bool, ...]
    """Per column: aligned right."""


def is_row(line: str) -> bool:
    """Whether *line* may belong to a table: bars inside, as GitHub's Markdown has it."""
    text = line.strip()
    return text.startswith("|") or bool(re.search(r"(?<!\\)\|", text) and not text.startswith(("```", "> ")))


def fits_columns(table: Table) -> bool:
    """Whether a code block shows the columns without wrapping."""
    return sum(_widths(table)) + 3 * (len(table.header) - 1) <= MAX_COLUMNS_WIDE


def show_table(table: Table) -> list[str]:
    """Lines of a code block whose columns stand under each other."""
    widths = _widths(table)
    lines = [_row(table.header, widths, table.right), "\u2500\u253c\u2500".join("\u2500" * size for size in widths)]
    lines += [_row(row, widths, table.right) for row in table.rows]
    return ["```", *lines, "```"]


def _widths(table: Table) -> list[int]:
    return [max(map(width, column)) for column in zip(table.header, *table.rows, strict=True)]


def _row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, size, to_right in zip(row, widths, right, strict=True):
        blanks = " " * (size - width(text))
        padded.append(blanks + text if to_right else text + blanks)
    return " \u2502 ".join(padded).rstrip()


def as_list(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same row by row, each value behind its column's name."""
    if not rows:
        return [" | ".join(header)]
    lines = []
    for first, *rest in rows:
        title = ": ".join(part for part in (header[0], first) if part)
        lines += [f"**{title}**"] if title else []
        lines += [f"- {name}: {text}" for name, text in zip(header[1:], rest, strict=True) if text]
    return lines


def width(text: str) -> int:
    """Cells *text* takes in a fixed-width font: two for East Asian wide characters and emoji, none for combining marks.

    Source: Unicode Standard Annex 11 (East Asian Width), as Python's unicodedata carries it; emoji sequences as in
    Unicode Technical Standard 51. Weakness: fonts differ on ambiguous characters, which count as one here.
    """
    total = 0
    joined = False
    last = 0
    for char in text:
        if char == "\u200d":
            joined = True  # a joined emoji sequence is drawn as one
            continue
        if char in _SKIN_TONES and last == 2:
            continue  # it colours the emoji before it
        if char == _AS_EMOJI and last == 1:
            total += 1  # a character of text drawn as an emoji
            last = 2
            continue
        if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
            continue
        if not joined:
            last = 2 if unicodedata.east_asian_width(char) in "WF" else 1
            total += last
        joined = False
    return total
