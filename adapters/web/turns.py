"""Stored turns -> what the page reads. Rendered answers are kept, as a conversation is opened more than once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from core.ports.storage import ShownTurn

if TYPE_CHECKING:
    from adapters.web.markdown import Markdown

KEPT_BYTES = 16 * 1024 * 1024
_AT_ONCE_CHARS = 2_000


class TurnRenderer:
    """Renders turns; long ones in a thread, so that opening an old conversation holds up no stream."""

    def __init__(self, markdown: Markdown) -> None:
        self._markdown = markdown
        self._kept: LRUCache[bytes, tuple[str, ...]] = LRUCache(
            KEPT_BYTES, getsizeof=lambda blocks: 64 + sum(map(len, blocks))
        )

    async def render_all(self, turns: Sequence[ShownTurn]) -> list[dict[str, Any]]:
        return [await self.render(turn) for turn in turns]

    async def render(self, turn: ShownTurn) -> dict[str, Any]:
        """A question keeps its text as typed; an answer becomes blocks of HTML and keeps its Markdown for copying."""
        return {
            "role": turn.role,
            "message_id": turn.message_id,
            "reply_id": turn.reply_id,
            "text": turn.text,
            "blocks": await self._blocks(turn.facts.get("preface", "") + turn.text) if turn.role == "assistant" else (),
            "at": turn.at,
            "state": turn.state,
            "attachments": [
                {"kind": one.kind, "mime": one.mime, "name": one.name, "size_bytes": one.size_bytes, "ref": one.ref}
                for one in turn.attachments
            ],
            "facts": dict(turn.facts),
        }

    async def _blocks(self, text: str) -> tuple[str, ...]:
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        kept = self._kept.get(key)
        if kept is None:
            if len(text) > _AT_ONCE_CHARS:
                kept = await asyncio.to_thread(self._render, text)
            else:
                kept = self._render(text)
            if 64 + sum(map(len, kept)) < KEPT_BYTES:
                self._kept[key] = kept
        return kept

    def _render(self, text: str) -> tuple[str, ...]:
        return tuple(block.html for block in self._markdown.blocks(text))
