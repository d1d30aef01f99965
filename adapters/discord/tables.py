"""Markdown tables for a place without tables: a code block padded by display width, or a list where that is too wide.

Pure. Peers pad by characters, and every CJK or emoji cell breaks the columns (facts/discord.md 3.2).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_COLUMNS_WIDE = 74
"""Cells across that a code block shows without wrapping on a desktop; wider tables become lists."""

_AS_EMOJI = "\ufe0f"
_SKIN_TONES = frozenset("\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")

_SEPARATOR = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")


@dataclass(frozen=True, slots=True)
class Table:
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As wide as the header."""
    right: tuple[bool, ...]
    """Per column: aligned right."""
    end: int
    """Index of the first line after it."""

    @classmethod
    def read(cls, lines: Sequence[str], at: int, plain: Callable[[str], str]) -> Table:
        """Read the table that starts at line *at*; *plain* strips the marks of one cell."""
        header = tuple(plain(cell) for cell in cells(lines[at]))
        marks = cells(lines[at + 1])
        rows = []
        end = at + 2
        while end < len(lines) and is_row(lines[end]):
            row = [plain(cell) for cell in cells(lines[end])][: len(header)]
            rows.append(tuple(row + [""] * (len(header) - len(row))))
            end += 1
        right = tuple(mark.endswith(":") and not mark.startswith(":") for mark in marks)
        return cls(header, tuple(rows), right, end)


def is_row(line: str) -> bool:
    """Whether *line* may belong to a table: bars inside, as GitHub's Markdown has it."""
    text = line.strip()
    return text.startswith("|") or bool(re.search(r"(?<!\\)\|", text) and not text.startswith(("```", "> ")))


def starts_table(lines: Sequence[str], at: int) -> bool:
    if at + 1 >= len(lines) or not is_row(lines[at]):
        return False
    below = lines[at + 1]
    return (
        "|" in below + lines[at]
        and bool(_SEPARATOR.match(below))
        and "-" in below
        and len(cells(below)) == len(cells(lines[at]))
    )


def cells(line: str) -> list[str]:
    r"""Split a row at its bars; ``\|`` and bars inside code spans are text."""
    text = line.strip().removeprefix("|")
    if text.endswith("|") and not text.endswith("\\|"):
        text = text[:-1]
    found = [""]
    code = 0
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and text[at + 1 : at + 2] == "|":
            found[-1] += "|"
            at += 2
            continue
        if char == "`":
            run = len(text[at:]) - len(text[at:].lstrip("`"))
            code = 0 if code == run else (code or (run if "`" * run in text[at + run :] else 0))
            found[-1] += "`" * run
            at += run
            continue
        if char == "|" and not code:
            found.append("")
        else:
            found[-1] += char
        at += 1
    return [cell.strip() for cell in found]


def show_table(table: Table) -> list[str]:
    """Lines of a code block whose columns stand under each other, or of a list where the block would wrap."""
    widths = [max(width(row[column]) for row in (table.header, *table.rows)) for column in range(len(table.header))]
    if sum(widths) + 3 * (len(widths) - 1) > MAX_COLUMNS_WIDE:
        return _as_list(table)
    lines = [_row(table.header, widths, table.right), "\u2500\u253c\u2500".join("\u2500" * size for size in widths)]
    lines += [_row(row, widths, table.right) for row in table.rows]
    return ["```", *lines, "```"]


def _row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, size, to_right in zip(row, widths, right, strict=True):
        blanks = " " * (size - width(text))
        padded.append(blanks + text if to_right else text + blanks)
    return " \u2502 ".join(padded).rstrip()


def _as_list(table: Table) -> list[str]:
    if not table.rows:
        return [" | ".join(table.header)]
    lines = []
    for row in table.rows:
        first, *rest = row
        lines.append(f"**{first or table.header[0]}**")
        lines += [f"- {name}: {text}" for name, text in zip(table.header[1:], rest, strict=True) if text]
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
