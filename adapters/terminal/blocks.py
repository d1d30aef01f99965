"""Splits growing Markdown into its top-level blocks, so that finished ones can be printed for good. Pure."""

from __future__ import annotations

import itertools

from markdown_it import MarkdownIt

_PARSER = MarkdownIt("commonmark").enable("table")


def blocks(text: str) -> list[str]:
    """Return the source of each top-level block (paragraph, list, table, fence ...), in order.

    Joined with blank lines they are the same document, but for link references defined in another block.
    """
    lines = text.splitlines()
    starts = [token.map[0] for token in _PARSER.parse(text) if token.level == 0 and token.map and token.nesting >= 0]
    edges = itertools.pairwise([*starts, len(lines)])
    found = ["\n".join(lines[start:end]).strip("\n") for start, end in edges]
    return [block for block in found if block.strip()]
