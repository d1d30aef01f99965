"""A page of an answer to what Slack takes: blocks, or sections of mrkdwn where it refuses those. Pure.

Limits, all from facts/slack.md 1.3 and 1.4 (read 2026-11-22): 12,000 characters in all markdown blocks of a message
together (measured total near 13,200), 3,000 in a section, 50 blocks, 4,000 in the `text` of chat.update.
"""

from __future__ import annotations

import re
from typing import Any

from adapters.slack.ids import CONTROLS, EXTRACT, FEEDBACK
from adapters.slack.mention_guard import disarm
from core.ports.platform import Controls, Shown

Block = dict[str, Any]

MAX_PAGE_CHARS = 11_000
"""Of Markdown on one edited page; a thousand below the markdown block's 12,000 for whatever Slack adds in counting."""

MAX_STREAM_BYTES = 9_000
"""Of UTF-8 in one streamed message. The cap is undocumented: measured near 12,000 characters and near 10.6 KB
(facts/slack.md 1.2), so this stays below both."""

MAX_FALLBACK_CHARS = 3_800
MAX_SECTION_CHARS = 2_900

_ACTION_IDS = {action: action_id for action_id, action in CONTROLS.items()}


def page_length(text: str) -> int:
    """Length as the pessimist counts: UTF-16 units of what is sent."""
    return len(disarm(text).encode("utf-16-le")) // 2


def stream_length(text: str) -> int:
    return len(disarm(text).encode())


def blocks(shown: Shown, *, heading: str = "") -> list[Block]:
    """The page as one markdown block with what stands around it.

    Args:
        heading: mrkdwn above the answer (who asked what, where no message of the asker stands there).
    """
    body: list[Block] = [{"type": "markdown", "text": disarm(shown.text)}] if shown.text.strip() else []
    return [*_context(heading), *body, *around(shown)]


def around(shown: Shown) -> list[Block]:
    """What stands below an answer: status, footer, buttons."""
    return [*_context(_italic(shown.status)), *_context(to_mrkdwn(shown.footer)), *buttons(shown.controls)]


def plainer(shown: Shown, *, heading: str = "") -> list[Block]:
    """The same page in sections of mrkdwn: for a layout that Slack refused, a table of 101 rows for instance, which
    makes it refuse the whole message (facts/slack.md 1.4). No word is lost, tables stand as aligned text."""
    sections = [
        {"type": "section", "text": {"type": "mrkdwn", "text": piece}} for piece in in_sections(to_mrkdwn(shown.text))
    ]
    below = [*_context(_italic(shown.status)), *_context(to_mrkdwn(shown.footer)), *_actions(shown.controls)]
    return [*_context(heading), *sections, *below]


def fallback_text(shown: Shown) -> str:
    """`text` beside the blocks: notifications and screen readers use it. Cut early, for above 4,000 characters
    chat.update refuses the whole message."""
    text = escape(disarm(shown.text.strip() or shown.status or shown.footer or "…"))
    limit = MAX_FALLBACK_CHARS if shown.final else 300
    return text if len(text) <= limit else text[: limit - 1].rsplit("&", 1)[0] + "…"


def buttons(controls: Controls | None) -> list[Block]:
    return [*_actions(controls), *_thumbs(controls)]


def _actions(controls: Controls | None) -> list[Block]:
    if controls is None:
        return []
    elements = []
    if controls.stop:
        elements.append(_button("Stop", "stop", controls, style="danger"))
    if controls.finished:
        elements += [_button("Regenerate", "regenerate", controls), _button("Shorter", "shorter", controls)]
    if controls.confirm:
        elements += [_button("Confirm", "confirm", controls, style="primary"), _button("Decline", "decline", controls)]
    elements += [_choice(number, name, controls) for number, name in enumerate(controls.choices)]
    return [{"type": "actions", "elements": elements}] if elements else []


def _choice(number: int, name: str, controls: Controls) -> Block:
    text = {"type": "plain_text", "text": name}
    return {
        "type": "button",
        "text": text,
        "action_id": f"{EXTRACT}#{number}",
        "value": f"{controls.reply_id}|{name}",
    }


def _button(label: str, action: str, controls: Controls, **more: str) -> Block:
    text = {"type": "plain_text", "text": label}
    return {"type": "button", "text": text, "action_id": _ACTION_IDS[action], "value": controls.reply_id, **more}  # type: ignore[index]


def _thumbs(controls: Controls | None) -> list[Block]:
    if controls is None or not controls.finished:
        return []

    def thumb(label: str, value: str) -> Block:
        text = {"type": "plain_text", "text": label}
        return {"text": text, "accessibility_label": label, "value": f"{value}:{controls.reply_id}"}

    element = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": thumb("Good answer", "up"),
        "negative_button": thumb("Bad answer", "down"),
    }
    return [{"type": "context_actions", "elements": [element]}]


def heading(speaker: str, question: str) -> str:
    """ "Ada asked: ..." for an answer that stands in a channel without its question."""
    cut = question if len(question) <= 500 else question[:499] + "…"
    return f"*{escape(disarm(speaker or 'Somebody'))} asked:* {escape(disarm(cut))}"


def _context(mrkdwn: str) -> list[Block]:
    return [{"type": "context", "elements": [{"type": "mrkdwn", "text": mrkdwn[:2_900]}]}] if mrkdwn else []


def _italic(status: str) -> str:
    return f"_{escape(status)}_" if status else ""


def escape(text: str) -> str:
    """The three characters that mrkdwn takes for its own."""
    return disarm(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- Markdown to mrkdwn ----------------------------------------------------------------------------------------------

_CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<body>(?:.|\n)*?)^(?P=fence)[ \t]*$|`(?P<inline>[^`\n]+)`", re.MULTILINE
)
_TABLE = re.compile(r"(?:^\|.*\|[ \t]*$\n?){2,}", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\((https?://[^\s)]+)\)")
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.{1,1000}?)(?<=\S)\1")
"""Bounded, so that a page of openings without an end costs no second."""
_BULLET = re.compile(r"^([ \t]*)[-*+][ \t]+", re.MULTILINE)
_PADDING = 3
"""A table's text may grow to this many times its length by padding. One wide cell among many rows would make it
megabytes, and more than the 50 blocks that a message may have."""


def to_mrkdwn(markdown: str) -> str:
    """Markdown in Slack's older dialect, as near as it comes: bold, links, headings, bullets, tables as text."""
    # CommonMark 2.3 has no zero bytes; here one marks where a link stands.
    markdown = disarm(markdown).replace("\0", "\ufffd")  # whole: an order may reach across code and prose
    out: list[str] = []
    end = 0
    for code in _CODE.finditer(markdown):
        out.append(_tables(markdown[end : code.start()]))
        out.append(f"`{escape(code['inline'])}`" if code["inline"] else f"```\n{escape(code['body'])}```")
        end = code.end()
    out.append(_tables(markdown[end:]))
    return "".join(out)


def _tables(markdown: str) -> str:
    out: list[str] = []
    end = 0
    for table in _TABLE.finditer(markdown):
        out += [_prose(markdown[end : table.start()]), f"```\n{escape(aligned(table[0]))}\n```\n"]
        end = table.end()
    return "".join([*out, _prose(markdown[end:])])


def _prose(markdown: str) -> str:
    links: list[str] = []

    def keep(found: re.Match[str]) -> str:
        url = found[2].replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
        links.append(f"<{url}|{escape(found[1]).replace('|', '¦') or url}>")
        return f"\x00{len(links) - 1}\x00"

    text = escape(_LINK.sub(keep, markdown))
    text = _BULLET.sub(r"\1• ", text)
    text = _HEADING.sub(r"*\1*", text)
    text = _BOLD.sub(r"*\2*", text).replace("~~", "~")
    return re.sub(r"\x00(\d+)\x00", lambda found: links[int(found[1])], text)


def aligned(table: str) -> str:
    """A Markdown table for a code block, its columns padded where that does not blow it up."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.strip().splitlines()]
    rows = [row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
    columns = max(map(len, rows), default=0)
    widths = [max(len(row[i]) if i < len(row) else 0 for row in rows) for i in range(columns)]
    if len(rows) * sum(widths) > _PADDING * len(table) + MAX_SECTION_CHARS:
        widths = [0] * columns
    return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in rows)


def in_sections(mrkdwn: str) -> list[str]:
    """Pieces of at most 2,900 characters, cut at line ends where there are any; code fences closed and re-opened."""
    pieces: list[str] = []
    piece, in_code = "", False
    for line in (part for whole in mrkdwn.split("\n") for part in _cut(whole)):
        if piece and len(piece) + len(line) + 5 > MAX_SECTION_CHARS:
            pieces.append(piece + ("\n```" if in_code else ""))
            piece = "```" if in_code else ""
        piece = f"{piece}\n{line}" if piece else line
        if line.count("```") % 2:
            in_code = not in_code
    pieces.append(piece)
    return [piece for piece in pieces if piece.strip()]


def _cut(line: str) -> list[str]:
    size = MAX_SECTION_CHARS - 100
    return [line[at : at + size] for at in range(0, len(line), size)] or [""]
