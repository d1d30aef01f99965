"""A page of an answer to what Slack takes: blocks, or sections of mrkdwn where it refuses those. Pure.

Limits, all from facts/slack.md 1.3 and 1.4 (read 2026-11-22): 12,000 characters in all markdown blocks of a message
together (measured total near 13,200), 3,000 in a section, 50 blocks, 4,000 in the `text` of chat.update.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markdown_it.token import Token

from adapters.slack.ids import CONTROLS, EXTRACT, FEEDBACK
from adapters.slack.mention_guard import disarm
from core.base.markdown.chat_text import ChatText, TableCells, plain_text
from core.base.markdown.parser import label_of
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
    return _clip(text, limit)


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
    return (
        [{"type": "context", "elements": [{"type": "mrkdwn", "text": _clip(mrkdwn, MAX_SECTION_CHARS)}]}]
        if mrkdwn
        else []
    )


def _italic(status: str) -> str:
    return f"_{escape(status)}_" if status else ""


def escape(text: str) -> str:
    """The three characters that mrkdwn takes for its own."""
    return disarm(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- Markdown to mrkdwn ----------------------------------------------------------------------------------------------

_PADDING = 3
"""A table's text may grow to this many times its length by padding. One wide cell among many rows would make it
megabytes, and more than the 50 blocks that a message may have."""
_TICKS = re.compile(r"`{3,}")
_CUT_AT = re.compile(r"<[^<>\n]*>|&(?:amp|lt|gt);|\s+|[^<>&\s]+|.")
"""What a section's end should not part: a link, an entity, a word."""


def to_mrkdwn(markdown: str) -> str:
    """Markdown in Slack's older dialect, as near as it comes: bold, links, headings, bullets, tables as text."""
    return _Mrkdwn(disarm(markdown)).text()  # whole: an order may reach across code and prose


class _Mrkdwn(ChatText):
    QUOTE = "&gt; "
    BULLET = "• "
    CODE_IN_QUOTES = False

    def heading(self, level: int, children: Sequence[Token]) -> str:
        return f"*{self.inline(children, bold=True)}*"

    def rule(self) -> str:
        return "─" * 20

    def code(self, code: str, language: str) -> list[str]:
        apart = _TICKS.sub(lambda run: "\u200b".join(run[0]), code)  # three of them would end the block
        return ["```", *escape(apart).split("\n"), "```"]

    def table(self, table: TableCells) -> list[str]:
        rows = [[plain_text(cell) for cell in row] for row in (table.header, *table.rows)]
        return self.code(aligned(rows), "")

    def inline(self, children: Sequence[Token], *, bold: bool = False) -> str:
        parts: list[str] = []
        prose: list[str] = []

        def say(text: str) -> None:
            parts.append(escape("".join(prose)) + text)
            prose.clear()

        strong = int(bold)
        at = 0
        while at < len(children):
            token = children[at]
            match token.type:
                case "text" | "text_special" | "mention":
                    prose.append(token.content)
                case "softbreak" | "hardbreak":
                    prose.append("\n")
                case "code_inline":
                    say(f"`{escape(token.content)}`")
                case "strong_open" | "strong_close":
                    strong += token.nesting
                    if strong == (token.nesting > 0):
                        say("*")
                case "em_open" | "em_close":
                    say("_")
                case "s_open" | "s_close":
                    say("~")
                case "image":
                    say(_link(plain_text(token.children or []), str(token.attrs["src"])))
                case "link_open":
                    end = label_of(children, at)
                    say(_link(plain_text(children[at + 1 : end]), str(token.attrs["href"])))
                    at = end
            at += 1
        say("")
        return "".join(parts)


def _link(label: str, address: str) -> str:
    if not re.match(r"https?://|mailto:", address, re.IGNORECASE):
        return escape(f"{label} ({address})" if label.strip() and address else label or address)
    url = address.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C").replace(" ", "%20")
    if not label.strip() or label in (address, address.removeprefix("mailto:")):
        return f"<{url}>"
    return f"<{url}|{escape(label).replace('|', '¦')}>"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table's rows for a code block, their columns padded where that does not blow it up."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if len(rows) * sum(widths) > _PADDING * sum(len(cell) for row in rows for cell in row) + MAX_SECTION_CHARS:
        widths = [0] * len(widths)
    return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


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
    """*line* in parts that a section holds; neither a word nor a link nor an entity is parted where that can be."""
    size = MAX_SECTION_CHARS - 100
    if len(line) <= size:
        return [line]
    parts = [""]
    for piece in _CUT_AT.findall(line):
        for at in range(0, len(piece), size):
            if len(parts[-1]) + len(piece) - at > size:
                parts.append("")
            parts[-1] += piece[at : at + size]
    return [part for part in parts if part]


def _clip(escaped: str, limit: int) -> str:
    """Cut to *limit* characters; an entity that the cut goes through is left out whole."""
    return escaped if len(escaped) <= limit else _HALF_ENTITY.sub("", escaped[: limit - 1]) + "…"


_HALF_ENTITY = re.compile(r"&[a-z]{0,3}$")
