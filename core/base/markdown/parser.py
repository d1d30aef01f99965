"""The Markdown that models write, read once for every surface: CommonMark with tables and ~~strikes~~.

markdown-it-py parses; the rules here change what people meet in answers: addresses, mentions and code are looked up in
`spans`, emphasis knows writing without spaces (`flanking`), and no word is dropped, as CommonMark drops cells beyond a
table's header, what is nested too deep, and references that nothing refers to. Raw HTML stays text, but <br>.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, cast

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.rules_block.state_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline.state_inline import Delimiter, StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType

from core.base.markdown.flanking import flanks
from core.base.markdown.spans import Span, Spans, backtick_runs, code_end, find_spans

MAX_NESTED = 24
"""Levels of quotes and lists, a list counting two; what is deeper stands as it was written."""

_CELL_MARK = re.compile(r"\\\||`+|\|")
_PROMPT = ">>> "
"""Python's prompt, not a quote in a quote in a quote."""

_BlockRule: TypeAlias = Callable[[StateBlock, int, int, bool], bool]


class Extension(Protocol):
    """More Markdown for one surface."""

    def __call__(self, parser: MarkdownIt) -> None: ...


def new_parser(*extensions: Extension) -> MarkdownIt:
    """A parser to be shared: parsing keeps nothing in it. Its work grows with the text, not faster."""
    options = {"html": False, "linkify": False, "typographer": False, "maxNesting": 100}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.disable(["html_inline", "html_block"])
    # Whether an address may be opened is for the surface that shows it; here none is changed or refused.
    parser.validateLink = _any_link  # type: ignore[method-assign, assignment]  # the library's own way to set it
    inline, block = parser.inline.ruler, parser.block.ruler
    inline.at("backticks", _code)
    inline.at("emphasis", _emphasis)
    inline.at("strikethrough", _strikes)
    inline.at("link", _link)
    inline.at("image", _link)
    inline.at("autolink", _angle)
    inline.before("linkify", "address", _address)
    for name in ("blockquote", "list"):
        alternatives = {"alt": ["paragraph", "reference", "blockquote", "list"]}
        block.at(name, _not_too_deep(_rule_of(parser, name)), cast(Any, alternatives))
    block.at("table", _with_every_cell(_rule_of(parser, "table")), cast(Any, {"alt": ["paragraph", "reference"]}))
    block.at("reference", _kept(_rule_of(parser, "reference")))
    parser.core.ruler.at("inline", _paragraphs(parser))
    parser.core.ruler.after("inline", "unused_references", _show_unused)
    for extend in extensions:
        extend(parser)
    return parser


def _any_link(address: str) -> bool:
    return True


def _rule_of(parser: MarkdownIt, name: str) -> _BlockRule:
    ruler = parser.block.ruler
    return ruler.__rules__[ruler.__find__(name)].fn


# --- blocks ---


def _not_too_deep(rule: _BlockRule) -> _BlockRule:
    """The library skips what is nested deeper than its limit, words and all; so the limit is never reached."""

    def nested(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        if state.level >= MAX_NESTED or state.src.startswith(_PROMPT, state.bMarks[start] + state.tShift[start]):
            return False
        return rule(state, start, end, silent)

    return nested


def _with_every_cell(rule: _BlockRule) -> _BlockRule:
    """Cells beyond the header's last one join that column, and a bar in code is code: no row is shortened."""

    def table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        known = len(state.tokens)
        if not rule(state, start, end, silent):
            return False
        row: list[Token] = []
        for token in state.tokens[known:]:
            if token.type == "tr_open":
                line, row = (token.map or [start])[0], []
            elif token.type == "inline":
                row.append(token)
            elif token.type == "tr_close" and row:
                cells = split_row(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
                if len(cells) > len(row):
                    cells[len(row) - 1 :] = [" | ".join(cells[len(row) - 1 :])]
                for inline, cell in zip(row, cells + [""] * (len(row) - len(cells)), strict=True):
                    inline.content = cell
        return True

    return table


def split_row(line: str) -> list[str]:
    r"""The cells of one line of a table; ``\|`` and bars inside code spans are text."""
    line = line.strip()
    ticks = backtick_runs(line)
    cells: list[str] = []
    begin = at = 0
    while mark := _CELL_MARK.search(line, at):
        at = mark.end()
        if mark.group() == "|":
            cells.append(line[begin : mark.start()])
            begin = at
        elif mark.group()[0] == "`":
            at = code_end(ticks, mark.start(), at) or at
    cells.append(line[begin:])
    if not cells[0]:
        del cells[0]
    if cells and not cells[-1]:
        del cells[-1]
    return [cell.replace("\\|", "|").strip() for cell in cells]


def _kept(rule: _BlockRule) -> _BlockRule:
    """A reference leaves its source behind, for the case that nothing refers to it."""

    def reference(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        known = len(state.env.get("references", ()))
        if not rule(state, start, end, silent):
            return False
        references = state.env["references"]
        token = state.push("reference", "", 0)
        token.map = [start, state.line]
        token.content = state.getLines(start, state.line, state.blkIndent, False).strip()
        token.meta = {"name": next(reversed(references)) if len(references) > known else None}  # None: said before
        return True

    return reference


def _show_unused(state: StateCore) -> None:
    """A reference that nothing refers to is a source that the answer lists: it is shown as a line."""
    if "references" not in state.env:
        return
    used = state.env.get("used", set())
    tokens: list[Token] = []
    for token in state.tokens:
        if token.type != "reference":
            tokens.append(token)
        elif token.meta["name"] not in used:
            shown = Token("inline", "", 0, content=token.content, map=token.map, level=token.level + 1, block=True)
            shown.children = state.md.inline.parse(token.content, state.md, {}, [])
            opened = Token("paragraph_open", "p", 1, map=token.map, level=token.level, block=True)
            tokens += [opened, shown, Token("paragraph_close", "p", -1, level=token.level, block=True)]
    state.tokens = tokens


# --- inside a paragraph ---


def _paragraphs(parser: MarkdownIt) -> Callable[[StateCore], None]:
    """Reads what stands in the blocks. An answer that grows is read again and again, and only its end is new."""

    @lru_cache(maxsize=2_048)
    def read(paragraph: str) -> list[Token]:
        return parser.inline.parse(paragraph, parser, {}, [])

    def inline(state: StateCore) -> None:
        for token in state.tokens:
            if token.type == "inline":
                if "references" in state.env:
                    token.children = parser.inline.parse(token.content, parser, state.env, [])
                else:
                    token.children = list(read(token.content))

    return inline


def _spans(state: StateInline) -> Spans:
    known = state.env.get("spans")
    if known is None or known[0] is not state.src:
        known = state.env["spans"] = (state.src, find_spans(state.src, _defined(state.env)))
    return cast(Spans, known[1])


def _defined(env: EnvType) -> Callable[[str], str | None] | None:
    references = env.get("references")
    if not references:
        return None

    def address(label: str) -> str | None:
        name = normalizeReference(label)
        if name not in references:
            return None
        env.setdefault("used", set()).add(name)
        return str(references[name]["href"])

    return address


def _at(state: StateInline, *kinds: str) -> Span | None:
    span = _spans(state).by_start.get(state.pos)
    return span if span and span.kind in kinds and span.end <= state.posMax else None


def _code(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "`":
        return False
    span = _at(state, "code")
    if span is None:
        end = state.pos
        while end < state.posMax and state.src[end] == "`":
            end += 1
        state.append_pending(state.src[state.pos : end])
        state.pos = end
        return True
    token = state.push("code_inline", "code", 0)
    token.markup = "`" * span.marks
    code = state.src[span.start + span.marks : span.end - span.marks].replace("\n", " ")
    token.content = code[1:-1] if code[0] == code[-1] == " " and code.strip(" ") else code
    state.pos = span.end
    return True


def _emphasis(state: StateInline, silent: bool) -> bool:
    marker = state.src[state.pos]
    return marker in "*_" and _delimiters(state, marker, width=1)


def _strikes(state: StateInline, silent: bool) -> bool:
    return state.src.startswith("~~", state.pos) and _delimiters(state, "~", width=2)


def _delimiters(state: StateInline, marker: str, *, width: int) -> bool:
    """One token for each mark of a run; which of them belong together is found by the library, later."""
    end = state.pos
    while end < state.posMax and state.src[end] == marker:
        end += 1
    may_open, may_close = flanks(marker, state.src[state.pos - 1 : state.pos], state.src[end : end + 1])
    length = end - state.pos
    if length % width:
        state.push("text", "", 0).content = marker
    for _ in range(length // width):
        state.push("text", "", 0).content = marker * width
        counted = length if width == 1 else 0  # no rule of three for strikes
        at = len(state.tokens) - 1
        state.delimiters.append(Delimiter(ord(marker), counted, at, -1, may_open, may_close))
    state.pos = end
    return True


def _link(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "[!":
        return False
    span = _at(state, "link", "picture")
    if span is None:
        return False
    rest = state.posMax
    if span.kind == "picture":
        label = state.src[span.start + 2 : span.label_end]
        token = state.push("image", "img", 0)
        token.attrs = {"src": span.target, "alt": ""}
        token.content = label
        token.children = state.md.inline.parse(label, state.md, {}, [])
    else:
        state.push("link_open", "a", 1).attrs = {"href": span.target}
        state.pos, state.posMax = span.start + 1, span.label_end
        state.linkLevel += 1
        state.md.inline.tokenize(state)
        state.linkLevel -= 1
        state.push("link_close", "a", -1)
    state.pos, state.posMax = span.end, rest
    return True


def _angle(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "<":
        return False
    span = _at(state, "mention", "break", "angle")
    if span is None:
        return False
    if span.kind == "mention":
        state.push("mention", "", 0).content = state.src[span.start : span.end]
    elif span.kind == "break":
        state.push("hardbreak", "br", 0).markup = "<br>"
    else:
        _push_address(state, span.target, state.src[span.start + 1 : span.end - 1], "autolink")
    state.pos = span.end
    return True


def _address(state: StateInline, silent: bool) -> bool:
    """Stands at the colon, since the scheme's letters are no marks that the library stops at."""
    if not state.src.startswith("://", state.pos):
        return False
    scheme = 5 if state.src[state.pos - 5 : state.pos].lower() == "https" else 4
    span = _spans(state).by_start.get(state.pos - scheme)
    if span is None or span.kind != "address" or span.end > state.posMax:
        return False
    state.pending = state.pending[:-scheme]
    _push_address(state, span.target, span.target, "linkify")
    state.pos = span.end
    return True


def _push_address(state: StateInline, target: str, text: str, markup: str) -> None:
    if state.linkLevel:
        state.push("text", "", 0).content = text
        return
    opened = state.push("link_open", "a", 1)
    opened.attrs, opened.markup, opened.info = {"href": target}, markup, "auto"
    state.push("text", "", 0).content = text
    closed = state.push("link_close", "a", -1)
    closed.markup, closed.info = markup, "auto"


def label_of(children: Sequence[Token], at: int) -> int:
    """Index of the `link_close` that belongs to the `link_open` at *at*; links do not nest."""
    return next(i for i in range(at, len(children)) if children[i].type == "link_close")
