"""Slack's own text formats to Markdown: the mrkdwn of `text`, the rich_text and table blocks. Pure.

People stay "<@U123>" here; `people.name_people` puts their names in. The bot's own mention is removed by `parse`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CODE = re.compile(r"```(?:.|\n)*?```|`[^`\n]+`")
_ANGLE = re.compile(r"<([^<>\n]+)>")
_BOLD = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")
_DEEPEST = 8
"""Levels of a list that are told apart; Slack's own editor knows nine."""
_STRIKE = re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])")


def to_markdown(text: str) -> str:
    """Turn mrkdwn into Markdown. Code keeps every character but the entities (&amp; &lt; &gt;) that Slack put in."""
    out: list[str] = []
    end = 0
    for code in _CODE.finditer(text):
        out += [_prose(text[end : code.start()]), _code(code[0])]
        end = code.end()
    out.append(_prose(text[end:]))
    return "".join(out)


def _prose(text: str) -> str:
    text = _BOLD.sub(r"**\1**", text)
    text = _STRIKE.sub(r"~~\1~~", text)
    return html.unescape(_ANGLE.sub(lambda found: _reference(found[1]), text))


def _code(text: str) -> str:
    # Slack links addresses inside code too; there the bare address is meant.
    return html.unescape(_ANGLE.sub(lambda found: found[1].partition("|")[0], text))


def _reference(inside: str) -> str:
    """What one <...> means (facts/slack.md 1.8)."""
    target, _, label = inside.partition("|")
    match target[:1]:
        case "@":
            return f"<{target}>"
        case "#":
            return f"#{label or target[1:]}"
        case "!":
            word = target[1:].partition("^")[0]
            return label or f"@{word}"
        case _:
            return link(target, label)


def link(url: str, label: str = "") -> str:
    """A Markdown link, or the bare address where the label adds nothing."""
    address = url.removeprefix("mailto:").removeprefix("tel:")
    if not label or label in {url, address} or f"{url}".split("://", 1)[-1].rstrip("/") == label.rstrip("/"):
        return address
    return f"[{label}]({url})"


def blocks_to_markdown(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Turn rich_text and table blocks into Markdown; other blocks are not what a person types.

    Pasted tables live in blocks only, not in `text` (facts/slack.md 1.8).
    """
    parts = []
    for block in blocks:
        match block.get("type"):
            case "rich_text":
                parts += [_rich(element) for element in block.get("elements", ())]
            case "table":
                parts.append(_table(block.get("rows", ())))
    return "\n".join(part for part in parts if part).strip()


def tables_of(message: Mapping[str, Any]) -> str:
    """Every table of a message, wherever the client put it: in its blocks or in an attachment's."""
    holders = [message, *message.get("attachments", ())]
    tables = [block for holder in holders for block in holder.get("blocks") or () if block.get("type") == "table"]
    return blocks_to_markdown(tables)


def _rich(element: Mapping[str, Any]) -> str:
    inner = element.get("elements", ())
    match element.get("type"):
        case "rich_text_section":
            return _inline(inner)
        case "rich_text_preformatted":
            return f"```\n{_inline(inner, styled=False)}\n```"
        case "rich_text_quote":
            return "\n".join(f"> {line}" for line in _inline(inner).splitlines())
        case "rich_text_list":
            indent = "    " * min(int(element.get("indent", 0)), _DEEPEST)
            ordered = element.get("style") == "ordered"
            first = int(element.get("offset", 0)) + 1
            return "\n".join(
                f"{indent}{f'{number}.' if ordered else '-'} {_inline(item.get('elements', ()))}"
                for number, item in enumerate(inner, first)
            )
        case _:
            return ""


def _inline(elements: Iterable[Mapping[str, Any]], *, styled: bool = True) -> str:
    return "".join(_one(element, styled=styled) for element in elements)


def _one(element: Mapping[str, Any], *, styled: bool) -> str:
    match element.get("type"):
        case "text":
            return _styled(str(element.get("text", "")), element.get("style") or {}) if styled else element["text"]
        case "link":
            url = str(element.get("url", ""))
            return link(url, str(element.get("text", ""))) if styled else url
        case "user":
            return f"<@{element.get('user_id', '')}>"
        case "channel":
            return f"#{element.get('channel_id', '')}"
        case "usergroup":
            return f"@{element.get('usergroup_id', '')}"
        case "broadcast":
            return f"@{element.get('range', '')}"
        case "emoji":
            return str(_emoji(element))
        case "date":
            return str(element.get("fallback") or element.get("timestamp", ""))
        case "color":
            return str(element.get("value", ""))
        case _:
            return ""


def _emoji(element: Mapping[str, Any]) -> str:
    """The character where Slack tells its code points ("1f44d-1f3fd"), else the :name: of a custom one."""
    codes = str(element.get("unicode", ""))
    if codes:
        try:
            return "".join(chr(int(code, 16)) for code in codes.split("-"))
        except (ValueError, OverflowError):
            pass
    return f":{element.get('name', '')}:"


def _styled(text: str, style: Mapping[str, bool]) -> str:
    if not text.strip() or not style:
        return text
    core = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if style.get("code"):
        core = f"`{core}`"
    if style.get("italic"):
        core = f"_{core}_"
    if style.get("bold"):
        core = f"**{core}**"
    if style.get("strike"):
        core = f"~~{core}~~"
    return before + core + after


def _table(rows: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    cells = [[_cell(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    width = max(len(row) for row in cells)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in cells]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def _cell(cell: Mapping[str, Any]) -> str:
    text = blocks_to_markdown([cell]) if cell.get("type") == "rich_text" else str(cell.get("text", ""))
    return text.replace("|", "\\|").replace("\n", " ").strip()
