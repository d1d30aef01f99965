"""Markdown for a chat's own dialect: walks the parsed blocks and keeps lines, bullets, quotes and gaps. Pure.

A dialect says how its headings, code, tables and running text are written; what nests in what is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it.token import Token

from core.base.markdown.parser import label_of, new_parser

PARSER = new_parser()
PARSER.disable("text_join")  # escaped characters stay apart from the others: a dialect writes them again


@dataclass(slots=True)
class _Frame:
    """A quote or a list item that the lines stand in."""

    first: str
    """In front of its first line: the bullet."""
    rest: str
    quote: bool = False
    begun: bool = False


@dataclass(frozen=True, slots=True)
class TableCells:
    header: tuple[Sequence[Token], ...]
    """The tokens of each cell's text."""
    rows: tuple[tuple[Sequence[Token], ...], ...]
    right: tuple[bool, ...]
    """Per column: aligned right."""

    @property
    def has_links(self) -> bool:
        rows = (self.header, *self.rows)
        return any(token.type in ("link_open", "image") for row in rows for cell in row for token in cell)


def plain_text(children: Sequence[Token], *, line_break: str = " ") -> str:
    """Running text without marks; behind a link's label stands its address."""
    parts: list[str] = []
    at = 0
    while at < len(children):
        token = children[at]
        match token.type:
            case "softbreak" | "hardbreak":
                parts.append(line_break)
            case "image":
                parts.append(_labelled(plain_text(token.children or []), str(token.attrs["src"])))
            case "link_open":
                end = label_of(children, at)
                parts.append(_labelled(plain_text(children[at + 1 : end]), str(token.attrs["href"])))
                at = end
            case _:
                parts.append(token.content)
        at += 1
    return "".join(parts)


def _labelled(label: str, address: str) -> str:
    if not label.strip() or label in (address, address.removeprefix("mailto:")):
        return label or address
    return f"{label} ({address})" if address else label


class ChatText(ABC):
    """The lines of one text. Used once."""

    QUOTE = "> "
    BULLET = "- "
    CODE_IN_QUOTES = True
    """Whether a code block may stand in a quote."""

    def __init__(self, markdown: str) -> None:
        self._source = markdown = markdown.replace("\r\n", "\n").replace("\r", "\n")  # as the parser does
        self._source_lines = markdown.split("\n")
        self._lines: list[str] = []
        self._frames: list[_Frame] = []
        self.last_paragraph_at = 0
        """Where the last block's lines begin, if it is a paragraph that may go on; else behind them."""

    @abstractmethod
    def inline(self, children: Sequence[Token], *, bold: bool = False) -> str:
        """Running text; *bold*: it stands in bold type already. Its line ends are kept."""

    @abstractmethod
    def heading(self, level: int, children: Sequence[Token]) -> str: ...

    @abstractmethod
    def rule(self) -> str: ...

    @abstractmethod
    def code(self, code: str, language: str) -> list[str]:
        """The lines of a code block, its fences among them."""

    @abstractmethod
    def table(self, table: TableCells) -> list[str]: ...

    def text(self) -> str:
        tokens = PARSER.parse(self._source)
        at = 0
        while at < len(tokens):
            at = self._block(tokens, at)
        if tokens and tokens[-1].type != "paragraph_close":
            self.last_paragraph_at = len(self._lines)
        return "\n".join(self._lines).rstrip()

    def _block(self, tokens: Sequence[Token], at: int) -> int:
        token = tokens[at]
        if token.nesting >= 0 and token.map and token.type != "inline":
            self._gap(token.map[0])
        match token.type:
            case "blockquote_open":
                self._frames.append(_Frame(self.QUOTE, self.QUOTE, quote=True))
            case "list_item_open":
                self._frames.append(_Frame(bullet := self._bullet(token), " " * len(bullet)))
            case "paragraph_open" if not self._frames:
                self.last_paragraph_at = len(self._lines)
            case "blockquote_close" | "list_item_close":
                if not self._frames[-1].begun and not self._frames[-1].quote:
                    self._put("")
                self._frames.pop()
            case "inline":
                self._paragraph(tokens[at - 1], token)
            case "hr":
                self._put(self.rule())
            case "fence" | "code_block":
                self._code(token)
            case "table_open":
                return self._table(tokens, at)
        return at + 1

    def _bullet(self, item: Token) -> str:
        return f"{item.info}. " if item.info else self.BULLET

    def _paragraph(self, opening: Token, token: Token) -> None:
        children = token.children or []
        if opening.type == "heading_open":
            self._put(" ".join(self.heading(int(opening.tag[1]), children).split("\n")))
            return
        for line in self.inline(children).split("\n"):
            self._put(self._ticked(line))

    def _ticked(self, line: str) -> str:
        """A task's box, where *line* begins a list item with one."""
        frame = self._frames[-1] if self._frames else None
        if frame is None or frame.quote or frame.begun:
            return line
        if line.startswith("[ ] "):
            return "\u2610 " + line[4:]
        return "\u2611 " + line[4:] if line.startswith(("[x] ", "[X] ")) else line

    def _code(self, token: Token) -> None:
        """Not indented, whatever list it stands in: the indentation would be part of the code."""
        if self._frames and not self._frames[-1].begun and not self._frames[-1].quote:
            self._put("")
        code = token.content.removesuffix("\n")
        for line in self.code(code, token.info.strip().split(" ")[0]):
            self._lines.append((self._quotes() if self.CODE_IN_QUOTES else "") + line)

    def _table(self, tokens: Sequence[Token], at: int) -> int:
        rows: list[list[Sequence[Token]]] = []
        right: list[bool] = []
        while tokens[at].type != "table_close":
            match tokens[at].type:
                case "tr_open":
                    rows.append([])
                case "th_open":
                    right.append(tokens[at].attrs.get("style") == "text-align:right")
                case "inline":
                    rows[-1].append(tokens[at].children or [])
            at += 1
        cells = [tuple(row) for row in rows]
        for line in self.table(TableCells(cells[0], tuple(cells[1:]), tuple(right))):
            self._put(line)
        return at + 1

    def _put(self, line: str) -> None:
        prefix = ""
        for frame in self._frames:
            prefix += frame.rest if frame.begun else frame.first
            frame.begun = True
        if not line:
            prefix = prefix.rstrip()
            prefix += " " if prefix.endswith(self.QUOTE.strip()) else ""
        self._lines.append(prefix + line)

    def _quotes(self) -> str:
        return "".join(frame.rest for frame in self._frames if frame.quote)

    def _gap(self, first_line: int) -> None:
        """A blank line above a block that begins on *first_line*, where its author left one."""
        if not self._lines or not first_line or any(not frame.begun for frame in self._frames):
            return
        above = self._source_lines[first_line - 1]
        last = self._lines[-1].strip()
        if above.strip(" \t>") == "" and last and last != self.QUOTE.strip():
            self._lines.append(self._quotes())
