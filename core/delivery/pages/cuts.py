"""Where a page that overflows ends: between blocks rather than lines, lines rather than sentences, and so on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.base.markdown.spans import find_spans
from core.delivery.pages.blocks import Line, is_heading, is_item, is_separator, line_at
from core.delivery.pages.graphemes import breaks_before
from core.delivery.pages.tail import Opening, Tail

_SENTENCE_END = re.compile(r"(?:[.!?…][\"'”’)\]]*(?=\s)|[。！？])\s*")
_WORD_END = re.compile(r"\s+(?=\S)")
_BLOCK_MARK = re.compile(r"[ \t>]{0,16}(?:[-*+]|\d{1,9}[.)]|#{1,6}|```|~~~|\||>)")
_HALF_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)]?)?[ \t]*$")
_TELLING_CHARS = 12
"""So much of a line tells whether it is a table's."""


def cut(tail: Tail) -> tuple[int, int, Opening]:
    """Cut an overflowing page.

    Returns:
        Where it ends (at least one character), how much text that was decided on, what the next page re-opens.
    """
    reach = tail.most_that_fits(len(tail.text))
    # Only what fits and one character more decide, so that the cut is the same however much text follows.
    seen = min(reach + 1, len(tail.text))
    known = tail.known_to(seen)
    end = next((place for place in _places(known, reach) if known.fits(place)), 0) or _between_characters(known, reach)
    return end, seen, known.opening_at(end)


def _places(tail: Tail, reach: int) -> Iterator[int]:
    """Offsets to cut at, best first."""
    starts = _line_starts(tail, reach)
    half = tail.begin + (reach - tail.begin) // 2
    third = tail.begin + (reach - tail.begin) // 3
    line = line_at(tail.lines, reach)
    if (table := _table_start(tail, line)) is not None:
        if table > tail.begin:
            yield table
        yield from reversed(starts.rows_and_code)
    for places, least in (
        (starts.blocks, half),
        (starts.items, half),
        (starts.others, half),
        (starts.rows_and_code, third),
    ):
        yield from (place for place in reversed(places) if place >= least)
    if not tail.state_at(reach).fence:
        yield from _inside(tail, line, _SENTENCE_END, third, reach)
        yield from _inside(tail, line, _WORD_END, third, reach)
    yield from sorted((*starts.blocks, *starts.items, *starts.others, *starts.rows_and_code), reverse=True)
    yield from _inside(tail, line, _WORD_END, tail.begin + 1, reach)
    yield from reversed(starts.poor)


def _table_start(tail: Tail, line: Line) -> int | None:
    """Where the table begins that *line* is in, or may be in; None where it is in none."""
    content = _content(tail, line)
    if line.before.fence or "|" not in content:
        return None
    if line.before.table:
        return line.table_start
    if line.before.header and not content.strip(" \t|:-"):
        return line_at(tail.lines, line.start - 1).start if line.start else None
    return line.start if content.lstrip().startswith("|") else None


@dataclass(frozen=True, slots=True)
class _LineStarts:
    """Offsets of lines by what stands there, each list in the text's order."""

    blocks: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    """Of the outermost list."""
    others: list[int] = field(default_factory=list)
    rows_and_code: list[int] = field(default_factory=list)
    poor: list[int] = field(default_factory=list)
    """Would leave an empty fence, or part a table that could stay whole."""


def _line_starts(tail: Tail, reach: int) -> _LineStarts:
    starts = _LineStarts()
    heading_above = False
    for number, line in enumerate(tail.lines):
        content = _content(tail, line)
        if tail.begin < line.start <= reach and content.strip() and _is_telling(tail, line, content):
            _kind(starts, tail, number, line, content, heading_above).append(line.start)
        if content.strip():
            heading_above = not line.before.fence and is_heading(content)
    return starts


def _kind(starts: _LineStarts, tail: Tail, number: int, line: Line, content: str, heading_above: bool) -> list[int]:
    before = line.before
    if before.fence:
        just_opened = tail.lines[number - 1].before.fence is None
        return starts.poor if just_opened or before.fence.closed_by(content) else starts.rows_and_code
    if before.table and "|" in content:
        fills_page = line.table_start <= tail.begin and not is_separator(content)
        return starts.rows_and_code if fills_page else starts.poor
    if before.header and is_separator(content):
        return starts.poor
    if is_item(content) and before.items:
        return starts.others if content[0].isspace() else starts.items
    if content[0].isspace() or heading_above or not before.blank:
        return starts.others
    return starts.blocks


def _is_telling(tail: Tail, line: Line, content: str) -> bool:
    """Whether enough of a line has come to know what it is."""
    if line.start + len(content) < len(tail.text):
        return True
    if line.before.fence:
        return bool(content.strip(" \t>`~"))
    if line.before.table or line.before.header:
        return len(content) >= _TELLING_CHARS and bool(content.strip(" \t|:-"))
    return not _HALF_ITEM.match(content)


def _content(tail: Tail, line: Line) -> str:
    end = tail.text.find("\n", line.start)
    return tail.text[line.start : end if end >= 0 else len(tail.text)]


def _inside(tail: Tail, line: Line, pattern: re.Pattern[str], least: int, reach: int) -> Iterator[int]:
    """Ends of *pattern* inside the line, last first; not in a link or a code span, nor before what would begin a block
    at the next page's start."""
    start = max(line.start, tail.begin)
    content = tail.text[start : reach + 1]
    spans = find_spans(content)
    whole_to = min(place for place in (spans.half, spans.begun, len(content)) if place is not None)
    for found in reversed(list(pattern.finditer(content))):
        end = found.end()
        if (
            max(least - start, 1) <= end <= min(reach - start, whole_to)
            and spans.around(end) is None
            and not _BLOCK_MARK.match(content, end)
        ):
            yield start + end


def _between_characters(tail: Tail, reach: int) -> int:
    """The last boundary between visible characters that fits; one code point at the least, so that it ends."""
    first = tail.begin + 1
    reach = max(reach, first)
    fitting = (place for place in range(reach, first - 1, -1) if breaks_before(tail.text, place) and tail.fits(place))
    return next(fitting, reach)
