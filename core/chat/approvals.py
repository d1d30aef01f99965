"""Approval of acting tools: answers that go on after their asker decided about an acting tool, or after nobody did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from core import wording
from core.chat.service import Answered, Chat, Context
from core.domain.events import Send, TextDelta
from core.domain.incoming import Incoming
from core.domain.requests import ChatRequest, Image, Reply, Text, Turn, Usage
from core.gateway.tokens import TokenScale
from core.ports.gateway import AttachmentReader
from core.ports.storage import History, Suspended, SuspensionStore


class Resumes(Protocol):
    """`ToolLoop`."""

    async def await_tools(self, request: ChatRequest, suspended: Suspended, send: Send) -> Sequence[str]: ...

    async def ask_again(self, run_id: str, suspended: Suspended, send: Send, absent: Sequence[str]) -> Reply: ...

    async def resume(self, request: ChatRequest, suspended: Suspended, send: Send, *, verdict: str = "") -> Reply: ...


class Approvals:
    """Implements `Chat` for runs whose action is "confirm", "decline" or "expired"."""

    def __init__(
        self,
        loop: Resumes,
        store: SuspensionStore,
        history: History,
        reader: AttachmentReader | None,
        scale: TokenScale,
        others: Mapping[str, Chat] = MappingProxyType({}),
    ) -> None:
        """*others* carry out what no model called: by the name that waits for approval."""
        self._others = others
        self._loop = loop
        self._store = store
        self._history = history
        self._reader = reader
        self._scale = scale

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
        """Raises as the handler."""
        suspended = await self._store.resume(run_id)
        other = self._others.get(suspended.tools[0]) if suspended and suspended.tools else None
        if suspended is None:
            reply = await _said(send, wording.FORGOTTEN_QUESTION)
        elif incoming.action == "expired":
            reply = await _said(send, suspended.said + wording.NOT_CONFIRMED_IN_TIME)
        elif other is not None and incoming.action == "confirm":
            await self._store.begin(suspended.run_id)  # done again after a crash: it only answers
            return await other.answer(run_id, incoming, context=context, send=send, deadline_at=deadline_at)
        elif other is not None:
            reply = await _said(send, wording.DECLINED)
        else:
            reply = await self._go_on(run_id, incoming, suspended, send, deadline_at, editable=editable)
        asked = await self._asked(incoming)
        answer = Turn("assistant", (Text(reply.text),))
        return Answered(reply, ((asked, self._scale.tokens([asked])), (answer, self._scale.tokens([answer]))))

    async def _go_on(
        self, run_id: str, incoming: Incoming, suspended: Suspended, send: Send, deadline_at: float, *, editable: bool
    ) -> Reply:
        turns = suspended.turns
        if self._reader is not None and any(isinstance(part, Image) for turn in turns for part in turn.parts):
            turns = await self._reader.load(turns)
        request = ChatRequest(
            request_id=run_id,
            user=incoming.user,
            turns=turns,
            requested_model=suspended.requested_model,
            temperature=suspended.temperature,
            effort=suspended.effort,
            deadline_at=deadline_at,
            editable=editable,
            private=True,
            contributors=frozenset({incoming.user}),
            channel_key=incoming.conversation.channel_key,
            conversation=incoming.conversation,
            tz=incoming.tz,
            # It would know nothing of tools, and what they brought is what the answer is about.
            allow_local=False,
        )
        verdict = ""
        if incoming.action == "decline":
            verdict = "The user declined this call. Do not try it again; answer without it."
        elif absent := await self._loop.await_tools(request, suspended, send):
            return await self._loop.ask_again(run_id, suspended, send, absent)
        elif not await self._store.begin(suspended.run_id):
            # At most once: what changes something is not done again because the program was stopped in the middle.
            verdict = "The program was interrupted during this call; whether it took effect is unknown. Say so."
        return await self._loop.resume(request, suspended, send, verdict=verdict)

    async def _asked(self, incoming: Incoming) -> Turn:
        """The question as it was stored when the answer stopped."""
        recent = await self._history.recent(incoming.conversation, max_tokens=100_000, max_turns=40)
        own = (stored.turn for stored in recent if stored.message_id == incoming.message_id)
        return next((turn for turn in own if turn.role == "user"), Turn("user", (Text(incoming.text),)))


async def _said(send: Send, text: str) -> Reply:
    await send(TextDelta(text))
    return Reply(text, model="", provider="", usage=Usage())
