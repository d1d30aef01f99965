"""Markdown as models write it -> Markdown as Discord shows it. Pure; block by block, so a growing answer keeps its
earlier lines as they were.

Discord has no tables, no headings below the third, no rules and no pictures (facts/discord.md 3.1); it has spoilers,
a quote that swallows the rest of the message and mentions, none of which a model means.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from markdown_it.token import Token

from adapters.discord.tables import Table, as_list, fits_columns, is_row, show_table
from core.base.markdown.addresses import SCHEME, is_balanced
from core.base.markdown.chat_text import PARSER, ChatText, TableCells, plain_text
from core.base.markdown.parser import label_of
from core.base.text import well_formed
from core.domain.errors import SurfaceRejected

MAX_UNITS = 1_900
"""UTF-16 units of one message. The limit is 2,000; how Discord counts is not documented (facts/discord.md 6), so stay
below whichever way it is."""

LINE_UNITS = 100
"""Of which this much is kept for the status line and the footer."""

PAGE_UNITS = MAX_UNITS - LINE_UNITS

RULE = "\u2500" * 20

_LANGUAGE = re.compile(r"[^A-Za-z0-9_+#.-]")
"""What a fence's first line may not hold: Discord would show it as code."""
_LINE_START = re.compile(r"^([ \t]*)(>)", re.MULTILINE)
"""At a line's start of running text, Discord would take it for a quote's mark."""
_MARKS = frozenset("\\*_~`|>#-[]()<")
_PING = re.compile(r"@(?=(?:everyone|here)(?![^\W_]))")
_ROLE = re.compile(r"<@(?=&\d)")
_ZERO_WIDTH = "\u200b"
_BACKTICKS = re.compile(r"`{3,}")


def units(text: str) -> int:
    """Length in UTF-16 units, the longest way Discord may count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def measure(text: str) -> int:
    """UTF-16 units of *text* once rendered."""
    return units(render(text))


def measure_quiet(text: str) -> int:
    """The same with every link made quiet."""
    return units(render(text, quiet_links=True))


def message_text(
    text: str,
    *,
    status: str = "",
    footer: str = "",
    final: bool = True,
    quiet_links: bool = False,
    plain: bool = False,
) -> str:
    """A whole message: the page, then the small line under it. Never empty, never above MAX_UNITS.

    Args:
        quiet_links: Where previews cannot be switched off by a flag: put each address in angle brackets.
        plain: Change nothing about the text.

    Raises:
        SurfaceRejected: The page is too long; cut here, words would be lost without a sound.
    """
    body = well_formed(text).strip() if plain else render(text, final=final, quiet_links=quiet_links)
    if units(body) > PAGE_UNITS:
        raise SurfaceRejected(f"a page of {units(body)} characters", too_long=True)
    line = " ".join(well_formed(footer or status).split())
    if line:
        line = "-# " + clip(_small_line(line), LINE_UNITS - 4)
    return "\n".join(part for part in (body, line) if part) or "-# \u2026"


def clip(text: str, limit: int) -> str:
    """Cut to *limit* UTF-16 units without halving a character: for what stands around an answer."""
    if units(text) <= limit:
        return text
    cut = text.encode("utf-16-le", "surrogatepass")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    return cut + "\u2026"


@lru_cache(maxsize=512)
def render(markdown: str, *, final: bool = True, quiet_links: bool = False) -> str:
    """Return *markdown* for Discord. Cached: a page is measured before it is shown, and splitting asks for neighbouring
    texts again and again.

    Args:
        final: False while the text still grows: a last line that may become a table is held back, so that no row of
            bars flashes up and vanishes.
        quiet_links: Put each address in angle brackets, so that it unfurls into nothing (facts/discord.md 3.1).
    """
    return _DiscordText(well_formed(markdown), quiet_links=quiet_links).held_back(final=final)


class _DiscordText(ChatText):
    def __init__(self, markdown: str, *, quiet_links: bool = False) -> None:
        super().__init__(markdown)
        self._quiet = quiet_links

    def held_back(self, *, final: bool) -> str:
        lines = self.text().split("\n")
        while not final and len(lines) > self.last_paragraph_at and is_row(lines[-1]):
            del lines[-1]
        return "\n".join(lines).rstrip()

    def heading(self, level: int, children: Sequence[Token]) -> str:
        if level <= 3:
            return f"{'#' * level} {self.inline(children)}"
        return f"**{self.inline(children, bold=True)}**"

    def rule(self) -> str:
        return RULE

    def code(self, code: str, language: str) -> list[str]:
        return [f"```{_LANGUAGE.sub('', language)}", *_harmless(code).split("\n"), "```"]

    def table(self, table: TableCells) -> list[str]:
        cells = [tuple(_plain(cell) for cell in row) for row in (table.header, *table.rows)]
        plain = Table(cells[0], tuple(cells[1:]), table.right)
        if fits_columns(plain) and not table.has_links:  # in a code block no link could be followed
            return show_table(plain)
        return as_list(
            [self._cell(cell) for cell in table.header],
            [[self._cell(cell, bold=not column) for column, cell in enumerate(row)] for row in table.rows],
        )

    def _cell(self, cell: Sequence[Token], *, bold: bool = False) -> str:
        return self.inline(cell, bold=bold).replace("\n", " / ")

    def inline(self, children: Sequence[Token], *, bold: bool = False) -> str:
        parts: list[str] = []
        prose: list[str] = []

        def say(text: str) -> None:
            if prose:
                parts.append(_prose("".join(prose)))
                prose.clear()
            parts.append(text)

        strong = int(bold)
        at = 0
        while at < len(children):
            token = children[at]
            match token.type:
                case "text" | "mention":
                    prose.append(token.content)
                case "text_special":
                    prose.append(_special(token))
                case "softbreak" | "hardbreak":
                    prose.append("\n")
                case "code_inline":
                    say(_code(len(token.markup), token.content))
                case "strong_open" | "strong_close":
                    strong += token.nesting
                    if strong == (token.nesting > 0):  # Discord knows no bold in bold, and underlines what stands in __
                        say("**")
                case "image":
                    say(self._link(plain_text(token.children or []) or "image", "", str(token.attrs["src"])))
                case "link_open":
                    end = label_of(children, at)
                    label = children[at + 1 : end]
                    say(self._link(plain_text(label), self.inline(label, bold=strong > 0), str(token.attrs["href"])))
                    at = end
                case _:
                    if token.nesting:
                        say(token.markup)
            at += 1
        say("")
        return _LINE_START.sub(r"\1\\\2", "".join(parts))

    def _link(self, words: str, label: str, target: str) -> str:
        """A masked link, or the plain address where the label is one: Discord shows that as brackets
        (facts/discord.md 3.1)."""
        label = label or _prose(words)
        is_web = re.match(r"https?://", target, re.IGNORECASE) is not None
        address = f"<{target}>" if is_web and self._quiet else target
        if not label.strip() or words.strip().rstrip("/") == target.removeprefix("mailto:").rstrip("/"):
            return address if is_web else words or target
        if not is_web or SCHEME.search(words):
            return f"{label} ({address})" if target else label
        return f"[{label}]({_unbroken(target, quiet=self._quiet)})"


def _small_line(line: str) -> str:
    return _DiscordText("").inline(PARSER.parseInline(line)[0].children or [])


def _unbroken(target: str, *, quiet: bool) -> str:
    """The address inside a masked link: nothing in it may end it."""
    target = target.replace(" ", "%20").replace("<", "%3C").replace(">", "%3E")
    if quiet:
        return f"<{target}>"
    return target if is_balanced(target) else target.replace("(", "%28").replace(")", "%29")


def _special(token: Token) -> str:
    """An escaped character as it was written; an entity as the character that it stands for."""
    if token.info != "entity":
        return token.markup
    return f"\\{token.content}" if token.content in _MARKS else token.content


def _harmless(text: str) -> str:
    """Part runs of backticks that would open or end a code block."""
    return _BACKTICKS.sub(lambda run: _ZERO_WIDTH.join(run[0]), text)


def _code(ticks: int, code: str) -> str:
    """A code span; what is inside may not look like the start of a block."""
    marks = "`" * ticks if ticks <= 2 else "``"
    if code.startswith("`") or code.endswith("`"):
        code = f" {code} "
    return f"{marks}{_harmless(code)}{marks}"


def _prose(text: str) -> str:
    text = _harmless(text.replace("||", r"\|\|"))
    # allowed_mentions keeps everybody unpinged; this keeps it from looking like a ping. A person's own chip stays:
    # it is how an answer names somebody.
    return _ROLE.sub(f"<@{_ZERO_WIDTH}", _PING.sub(f"@{_ZERO_WIDTH}", text))


def _plain(cell: Sequence[Token]) -> str:
    """A table cell's text for a code block."""
    return plain_text(cell, line_break=" / ").replace("```", "'''")
