"""Searching what was said before in this conversation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.chat.quoting import indented, label
from core.domain.requests import Tool
from core.tools.toolbox import Caller, Services, ToolSpec

_MOST = 8
_CHARS_EACH = 600


def make(services: Services) -> ToolSpec:
    async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
        if caller.conversation is None:
            return "There is no conversation to search."
        found = await services.history.search([caller.conversation], arguments["words"], limit=_MOST)
        if not found:
            return "Nothing found."
        return "\n\n".join(
            f"{datetime.fromtimestamp(turn.at, UTC):%Y-%m-%d %H:%M} UTC, "
            f"{'the assistant' if turn.turn.role == 'assistant' else label('', turn.speaker).partition('#')[0]}: "
            f"{indented(turn.turn.text[:_CHARS_EACH])}"
            for turn in found
        )

    return ToolSpec(
        tool=Tool(
            "search_history",
            "Search earlier messages of this conversation that you can no longer see.",
            {
                "type": "object",
                "properties": {"words": {"type": "string", "description": "words to look for"}},
                "required": ["words"],
                "additionalProperties": False,
            },
        ),
        run=run,
        label=lambda arguments: "Looking through earlier messages",
        untrusted=True,
    )
