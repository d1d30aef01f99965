"""Markdown as models write it -> Markdown as Discord shows it. Pure; works line by line, so a growing answer keeps its
earlier lines as they were.

Discord has no tables, no headings below the third, no rules and no pictures (facts/discord.md 3.1); it has spoilers,
a quote that swallows the rest of the message and mentions, none of which a model means.
"""

from __future__ import annotations

import re
from functools import lru_cache

from adapters.discord.tables import Table, is_row, show_table, starts_table
from core.base.text import well_formed
from core.domain.errors import SurfaceRejected

MAX_UNITS = 1_900
"""UTF-16 units of one message. The limit is 2,000; how Discord counts is not documented (facts/discord.md 6), so stay
below whichever way it is."""

LINE_UNITS = 100
"""Of which this much is kept for the status line and the footer."""

PAGE_UNITS = MAX_UNITS - LINE_UNITS

RULE = "\u2500" * 20

_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([^`]*)$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_RULE = re.compile(r"^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_SETEXT = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
_TASK = re.compile(r"^(\s*)[-*+][ \t]+\[([ xX])\][ \t]+")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)")
_IMAGE = re.compile(r"!\[([^\[\]\n]*)\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\s*\)")
_LINK = re.compile(r"(?<!!)\[([^\[\]\n]+)\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\s*\)")
_STRONG_UNDERSCORES = re.compile(r"(?<![\w\\])__(?=\S)(.{1,1000}?)(?<=\S)__(?!\w)")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_PING = re.compile(r"@(?=(?:everyone|here)(?![^\W_]))")
_ROLE = re.compile(r"<@(?=&\d)")
_ADDRESS = re.compile(r"(?<![<\w])(https?://[^\s<>()\[\]|*]+[^\s<>()\[\]|*.,;:!?\"'])")
_ZERO_WIDTH = "\u200b"
_BACKTICKS = re.compile(r"`{3,}")


def units(text: str) -> int:
    """Length in UTF-16 units, the longest way Discord may count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@lru_cache(maxsize=512)
def measure(text: str) -> int:
    """UTF-16 units of *text* once rendered. Cached: splitting a page asks for neighbouring texts again and again."""
    return units(render(text))


@lru_cache(maxsize=512)
def measure_quiet(text: str) -> int:
    """The same with every link made quiet."""
    return units(quiet(render(text)))


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
    body = well_formed(text).strip() if plain else render(text, final=final)
    body = quiet(body) if quiet_links else body
    if units(body) > PAGE_UNITS:
        raise SurfaceRejected(f"a page of {units(body)} characters", too_long=True)
    line = " ".join(well_formed(footer or status).split())
    if line:
        line = "-# " + clip(_inline(line), LINE_UNITS - 4)
    return "\n".join(part for part in (body, line) if part) or "-# \u2026"


def quiet(rendered: str) -> str:
    """Wrap addresses outside code so that they unfurl into nothing (facts/discord.md 3.1)."""
    parts = re.split(r"(^\s*```.*?^\s*```|`[^`\n]+`)", rendered, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [_ADDRESS.sub(r"<\1>", part) for part in parts[::2]]
    return "".join(parts)


def clip(text: str, limit: int) -> str:
    """Cut to *limit* UTF-16 units without halving a character: for what stands around an answer."""
    if units(text) <= limit:
        return text
    cut = text.encode("utf-16-le", "surrogatepass")[: 2 * (limit - 1)].decode("utf-16-le", "ignore")
    return cut + "\u2026"


def render(markdown: str, *, final: bool = True) -> str:
    """Return *markdown* for Discord.

    Args:
        final: False while the text still grows: a last line that may become a table is held back, so that no row of
            bars flashes up and vanishes.
    """
    lines = well_formed(markdown).replace("\r\n", "\n").split("\n")
    out: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.match(line):
            at = _copy_fence(lines, at, fence, out)
        elif starts_table(lines, at):
            table = Table.read(lines, at, _plain)
            out += show_table(table)
            at = table.end
        elif not final and is_row(line) and all(is_row(rest) or not rest.strip() for rest in lines[at:]):
            break
        else:
            at = _copy_line(lines, at, out)
    return "\n".join(out).rstrip()


def _copy_fence(lines: list[str], at: int, fence: re.Match[str], out: list[str]) -> int:
    """Copy a code block; Discord knows only three backticks, and the first three inside would end it."""
    indent, marks, info = fence.groups()
    language = info.strip().split(" ")[0]
    out.append(f"{indent}```{language}")
    closing = re.compile(rf"^\s*{re.escape(marks[0])}{{{len(marks)},}}\s*$")
    at += 1
    while at < len(lines) and not closing.match(lines[at]):
        out.append(_harmless(lines[at]))
        at += 1
    out.append(f"{indent}```")
    return at + 1


def _copy_line(lines: list[str], at: int, out: list[str]) -> int:
    line = lines[at]
    below = lines[at + 1] if at + 1 < len(lines) else ""
    if heading := _HEADING.match(line):
        level, title = len(heading[1]), _inline(heading[2])
        out.append(f"{heading[1]} {title}" if level <= 3 else f"**{title.replace('**', '')}**")
    elif _RULE.match(line):
        out.append(RULE)
    elif line.strip() and (setext := _SETEXT.match(below)) and not _starts_block(line):
        out.append(("# " if setext[1].startswith("=") else "## ") + _inline(line.strip()))
        return at + 2
    else:
        text = _TASK.sub(lambda task: f"{task[1]}- {'☑' if task[2] in 'xX' else '☐'} ", line)
        out.append(_inline(re.sub(r"^(\s*)>>>", r"\1\\>>>", text)))
    return at + 1


def _starts_block(line: str) -> bool:
    return bool(re.match(r"\s*([-*+>#|]|\d+[.)])(\s|$)", line))


def _inline(text: str) -> str:
    """Transform what stands outside code spans."""
    parts = []
    end = 0
    for span in _CODE_SPAN.finditer(text):
        parts += [_prose(text[end : span.start()]), _code(span[1], span[2])]
        end = span.end()
    parts.append(_prose(text[end:]))
    return "".join(parts)


def _harmless(text: str) -> str:
    """Part runs of backticks that would open or end a code block."""
    return _BACKTICKS.sub(lambda run: _ZERO_WIDTH.join(run[0]), text)


def _code(marks: str, code: str) -> str:
    """A code span; what is inside may not look like the start of a block."""
    marks = marks if len(marks) <= 3 else "``"
    return f"{marks}{_harmless(code)}{marks}"


def _prose(text: str) -> str:
    text = _IMAGE.sub(lambda image: _link(image[1] or "image", image[2]), text)
    text = _LINK.sub(lambda link: _link(link[1], link[2]), text)
    text = _STRONG_UNDERSCORES.sub(r"**\1**", text)  # Discord underlines what Markdown makes bold
    text = _BREAK.sub("\n", text)
    text = _harmless(text.replace("||", r"\|\|"))
    # allowed_mentions keeps everybody unpinged; this keeps it from looking like a ping. A person's own chip stays:
    # it is how an answer names somebody.
    return _ROLE.sub(f"<@{_ZERO_WIDTH}", _PING.sub(f"@{_ZERO_WIDTH}", text))


def _link(label: str, target: str) -> str:
    """A masked link whose text is its own address shows up as brackets (facts/discord.md 3.1): write it plainly."""
    if label.strip().rstrip("/") == target.rstrip("/") or not re.match(r"https?://", target):
        return target if label.strip().rstrip("/") == target.rstrip("/") else f"{label} ({target})"
    return f"[{label}]({target})"


def _plain(text: str) -> str:
    """A table cell's text without marks: it stands in a code block, where none would be shown."""
    text = _BREAK.sub(" / ", text)
    text = _IMAGE.sub(lambda image: image[1] or image[2], text)
    text = _LINK.sub(lambda link: link[1], text)
    text = re.sub(r"(\*\*|__|~~)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    text = re.sub(r"(?<![\w*])\*(?=\S)(.+?)(?<=\S)\*(?!\w)", r"\1", text)
    return re.sub(r"(`+)(.+?)\1", lambda code: code[2].strip(), text).replace("```", "'''")
