"""What Slack checks in a message before it takes it, and whom the message would ping."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Any

JSON = dict[str, Any]

_ORDER = re.compile(
    r"<!\s*(?:channel|here|everyone|group)\b|<!subteam\^|<@[UWB][A-Z0-9]+\s*[|>]|<#[CGD][A-Z0-9]+\s*[|>]", re.IGNORECASE
)
_LIMITS = {"section": 3_000, "header": 150}
_KNOWN = {
    "markdown",
    "section",
    "context",
    "actions",
    "context_actions",
    "divider",
    "header",
    "table",
    "input",
    "image",
}


class Refused(Exception):
    """Slack's `error`, and what else its answer says."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.more = more


def pings_in(text: str) -> list[str]:
    """Everything in *text* that some reader of it could take for an order to ping, in the strictest reading: entities
    decoded (twice over too), invisible characters, escapes and emphasis marks taken out first."""
    for _ in range(4):
        text = html.unescape(text)
    text = "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Mn"} and c not in "\\*_~`")
    return _ORDER.findall(text)


def words_of(blocks: list[JSON], text: str) -> str:
    return "\n".join(parts_of(blocks, text))


def parts_of(blocks: list[JSON], *texts: str) -> list[str]:
    """Every text that Slack reads by itself: no order to ping reaches from one field or block into the next."""
    parts = list(texts)
    for block in blocks:
        match block["type"]:
            case "markdown":
                parts.append(block["text"])
            case "section" | "header":
                parts.append(block["text"]["text"])
            case "context":
                parts += [element["text"] for element in block["elements"]]
    return parts


def check_blocks(blocks: Any) -> None:
    """Raises Refused as Slack refuses (facts/slack.md 1.4, 1.5)."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Refused("invalid_blocks_format")
    if len(blocks) > 50:
        raise Refused("invalid_blocks")
    markdown = 0
    for block in blocks:
        kind = block.get("type")
        if kind not in _KNOWN:
            raise Refused("invalid_blocks")
        if kind == "markdown":
            if not block["text"]:
                raise Refused("invalid_blocks")
            markdown += len(block["text"])
            _check_tables(block["text"])
        if kind in _LIMITS and not 0 < len(block["text"]["text"]) <= _LIMITS[kind]:
            raise Refused("invalid_blocks")
        if kind == "actions":
            _check_actions(block)
        if kind == "context":
            _check(0 < len(block["elements"]) <= 10)
            _check(all(0 < len(element["text"]) <= 3_000 for element in block["elements"]))
        if kind == "context_actions":
            _check_context_actions(block)
    if markdown > 12_000:  # cumulative over all markdown blocks
        raise Refused("msg_blocks_too_long")


def _check(right: bool) -> None:
    if not right:
        raise Refused("invalid_blocks")


def _check_actions(block: JSON) -> None:
    _check(0 < len(block["elements"]) <= 25)
    ids = [element["action_id"] for element in block["elements"]]
    _check(len(set(ids)) == len(ids))
    for element in block["elements"]:
        _check(element["type"] in {"button", "static_select"})
        if element["type"] == "button":
            _check(element["text"]["type"] == "plain_text" and len(element["text"]["text"]) <= 75)
            _check(0 < len(element.get("value", "x")) <= 2_000)
            _check(element.get("style", "primary") in {"primary", "danger"})


def _check_context_actions(block: JSON) -> None:
    _check(0 < len(block["elements"]) <= 5)
    for element in block["elements"]:
        _check(element["type"] in {"feedback_buttons", "icon_button"})
        if element["type"] == "feedback_buttons":
            for side in ("positive_button", "negative_button"):
                _check(element[side]["text"]["type"] == "plain_text" and 0 < len(element[side]["text"]["text"]) <= 75)
                _check(0 < len(element[side]["value"]) <= 2_000)


def _check_tables(markdown: str) -> None:
    """A table of more than 100 rows or 20 columns makes Slack refuse the whole message (facts/slack.md 1.4)."""
    rows = 0
    for line in markdown.splitlines():
        rows = rows + 1 if line.strip().startswith("|") and line.strip().endswith("|") else 0
        if rows > 101 or (rows and line.count("|") - line.count("\\|") > 21):
            raise Refused("invalid_blocks")


def check_view(view: JSON) -> None:
    """Facts/slack.md 1.6: a Home view is at most 250 KB and 100 blocks."""
    if view.get("type") != "home" or len(str(view)) > 250_000 or len(view.get("blocks", ())) > 100:
        raise Refused("invalid_arguments")
    for block in view["blocks"]:
        if block.get("type") not in _KNOWN:
            raise Refused("invalid_blocks")
        if block["type"] == "section" and len(block["text"]["text"]) > 3_000:
            raise Refused("invalid_blocks")
        elements = [*block.get("elements", ()), *([block["accessory"]] if "accessory" in block else ())]
        for element in elements:
            if element.get("type") == "static_select":
                options = element["options"]
                _check(0 < len(options) <= 100)
                for option in options:
                    _check(0 < len(option["text"]["text"]) <= 75 and 0 < len(option["value"]) <= 150)
                    _check(len(option.get("description", {"text": "x"})["text"]) <= 75)
                if "initial_option" in element:
                    _check(element["initial_option"] in options)
