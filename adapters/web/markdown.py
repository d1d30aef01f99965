"""Markdown that a model wrote -> HTML that is safe to put into the page. Pure.

Safe by construction: raw HTML is off, so every tag in the output is one of ours; every text is escaped; links lead to
http, https and mailto only, others stand beside their label as text; pictures become links, so that opening an answer
never tells another host about it; and no style attribute is written, because the page's policy (no inline style) would
refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from adapters.web.highlight import GrowingCode, highlight, language_of
from core.base.markdown.parser import new_parser

Environment: TypeAlias = dict[str, Any]


class Markdown:
    """One parser with its renderer. Not bound to any text; safe to share."""

    def __init__(self) -> None:
        parser = new_parser()
        parser.renderer = _Renderer()
        self._parser = parser

    def html(self, text: str) -> str:
        return "".join(block.html for block in self.blocks(text))

    def blocks(self, text: str, *, growing: GrowingCode | None = None) -> list[Block]:
        """The top-level blocks of *text* in order. *growing* colours the last one if that is code."""
        env: Environment = {}
        tokens = self._parser.parse(text, env)
        groups = list(_top_level(tokens))
        blocks = []
        for number, group in enumerate(groups):
            env["growing"] = growing if number == len(groups) - 1 else None
            html = self._parser.renderer.render(group, self._parser.options, env)
            first_line, end_line = group[0].map or (0, 0)
            blocks.append(Block(first_line, end_line, html))
        return blocks


class Block:
    """One top-level block: its lines (from, up to), counted from 0, and its HTML."""

    __slots__ = ("end_line", "first_line", "html")

    def __init__(self, first_line: int, end_line: int, html: str) -> None:
        self.first_line = first_line
        self.end_line = end_line
        self.html = html


def _top_level(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    group: list[Token] = []
    for token in tokens:
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield group
            group = []


class _Renderer(RendererHTML):
    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[index]
        return _code_block(token.content, language_of(token.info), env.get("growing"))

    def code_block(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return _code_block(tokens[index].content, "", env.get("growing"))

    def link_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        address = str(tokens[index].attrs.get("href", ""))
        return _link_open(address) if _leads_outside(address) else ""

    def link_close(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        opened = next(at for at in range(index, -1, -1) if tokens[at].type == "link_open")
        address = str(tokens[opened].attrs.get("href", ""))
        return "</a>" if _leads_outside(address) else _beside(address)

    def mention(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return escape(tokens[index].content)

    def image(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[index]
        address = str(token.attrs.get("src", ""))
        label = escape(self.renderInlineAsText(token.children or [], options, env))
        if not _leads_outside(address):
            return label + _beside(address)
        return f"{_link_open(address, css='picture')}{label or escape(address)}</a>"

    def table_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table"><table>\n'

    def table_close(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return f"<th{_alignment(tokens[index])}>"

    def td_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return f"<td{_alignment(tokens[index])}>"


def _code_block(code: str, language: str, growing: GrowingCode | None) -> str:
    code = code.removesuffix("\n")
    coloured = growing.render(code, language) if growing else highlight(code, language)
    label = escape(language or "text")
    return (
        f'<figure class="code"><figcaption><span>{label}</span>'
        '<button type="button" class="copy-code" aria-label="Copy this code">Copy</button></figcaption>'
        f'<pre tabindex="0"><code>{coloured}\n</code></pre></figure>\n'
    )


def _link_open(address: str, css: str = "") -> str:
    named = f' class="{css}"' if css else ""
    return f'<a{named} href="{escape(address)}" target="_blank" rel="noopener noreferrer nofollow">'


def _alignment(token: Token) -> str:
    style = str(token.attrs.get("style", ""))
    side = style.removeprefix("text-align:")
    return f' class="align-{side}"' if side in ("left", "center", "right") else ""


def _leads_outside(address: str) -> bool:
    """Whether *address* is absolute, with a scheme that only opens something; our own routes are no target."""
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return False
    if parts.scheme.lower() == "mailto":
        return "@" in parts.path
    return parts.scheme.lower() in ("http", "https") and bool(parts.netloc)


def _beside(address: str) -> str:
    """An address that the page opens for nobody, to be read."""
    return f" ({escape(address)})" if address else ""
