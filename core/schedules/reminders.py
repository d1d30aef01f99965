"""Reminders: said as they were asked for, by no model."""

from __future__ import annotations

from core.chat.service import Answered, Context
from core.domain.events import Send, Started, TextDelta
from core.domain.incoming import Incoming
from core.domain.requests import Reply, Text, Turn, Usage


class Reminders:
    """Implements `Chat` for the action "remind"."""

    async def answer(
        self,
        run_id: str,
        incoming: Incoming,
        *,
        context: Context,
        send: Send,
        deadline_at: float,
        editable: bool = True,
        allow_local: bool = True,
    ) -> Answered:
        whom = "" if incoming.direct or not incoming.speaker else f" for {incoming.speaker}"
        text = f"⏰ Reminder{whom}: {incoming.text}"
        await send(Started("", ""))
        await send(TextDelta(text))
        return Answered(Reply(text, "", "", Usage()), ((Turn("assistant", (Text(text),)), len(text) // 4),))
