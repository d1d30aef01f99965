"""An inbox that answers: enough of the real one to let a browser hold a conversation with the page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from adapters.web import WebAdapter
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.domain.runs import ReplyCapability
from core.ports.platform import ControlAction, Controls, Receipt, Shown
from core.ports.storage import ShownTurn
from tests.adapters.web.house import FakeConversations
from tests.fakes.desk import FakeCommands, FakeIntake

FACTS = {
    "model": "openai/gpt-oss-20b",
    "provider": "groq",
    "first_text_s": 0.212,
    "tokens_per_s": 968.4,
    "cost_usd": 0.000_123,
    "from_cache": False,
    "attempts": 1,
    "outcome": "ok",
}

Script: TypeAlias = Callable[[Incoming], Iterable[str | asyncio.Event | float]]


def words(incoming: Incoming) -> Iterable[str]:
    """Answers with what was asked."""
    yield "You asked: "
    yield incoming.text


@dataclass
class AnsweringIntake(FakeIntake):
    """Answers each accepted message through the adapter's surface, as LiveReply would, and stores the turns."""

    script: Script = words
    facts: dict[str, object] = field(default_factory=lambda: dict(FACTS))
    adapter: WebAdapter | None = None
    conversations: FakeConversations = field(default_factory=FakeConversations)
    place: int = 0
    footer: str = ""
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _asked: dict[str, Incoming] = field(default_factory=dict)
    _stopped: set[str] = field(default_factory=set)

    async def accept(self, incoming: Incoming, capability: ReplyCapability | None = None) -> Receipt:
        receipt = await super().accept(incoming, capability)
        if receipt.state == "accepted":
            self._store(incoming, receipt.reply_id, "user", incoming.text, "running")
            self._begin(receipt.reply_id, incoming)
        return Receipt(receipt.state, receipt.run_id, receipt.reply_id, self.place, receipt.sentence)

    async def press(
        self,
        reply_id: str,
        action: ControlAction,
        by: UserKey,
        *,
        moderator: bool = False,
        capability: ReplyCapability | None = None,
        choice: str = "",
    ) -> str:
        sentence = await super().press(reply_id, action, by, moderator=moderator, capability=capability, choice=choice)
        if not sentence and action in ("regenerate", "shorter"):
            self._begin(reply_id, self._asked[reply_id])
        return sentence

    async def stop(self, conversation: ConversationKey, by: UserKey) -> bool:
        for reply_id, task in self._running.items():
            if self._asked[reply_id].conversation == conversation and not task.done():
                self._stopped.add(reply_id)
                task.cancel()
        return await super().stop(conversation, by)

    async def close(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _begin(self, reply_id: str, incoming: Incoming) -> None:
        self._asked[reply_id] = incoming
        self._running[reply_id] = asyncio.create_task(self._answer(reply_id, incoming))

    async def _answer(self, reply_id: str, incoming: Incoming) -> None:
        assert self.adapter is not None
        surface = await self.adapter.surface(incoming, reply_id, None)
        await surface.busy(True)
        text, state = "", "answered"
        going, done = Controls(reply_id, stop=True), Controls(reply_id, finished=True)
        await surface.post(0, Shown("", controls=going, status=""), "n0")
        try:
            for step in self.script(incoming):
                match step:
                    case str():
                        text += step
                        await surface.edit("", 0, Shown(text, controls=going))
                    case float():
                        await asyncio.sleep(step)
                    case asyncio.Event():
                        await step.wait()
        except asyncio.CancelledError:
            if reply_id not in self._stopped:
                raise
            state = "stopped"
        footer = "Stopped." if state == "stopped" else self.footer
        await surface.edit("", 0, Shown(text, final=True, controls=done, footer=footer))
        self._store(incoming, reply_id, "user", incoming.text, state)
        self._store(incoming, reply_id, "assistant", text, state)
        await surface.close()

    def _store(self, incoming: Incoming, reply_id: str, role: str, text: str, state: str) -> None:
        self.conversations.put(
            incoming.conversation,
            ShownTurn(
                incoming.message_id,
                reply_id,
                role,  # type: ignore[arg-type]
                text,
                incoming.received_at,
                state,
                incoming.attachments,
                self.facts if role == "assistant" else {},
            ),
        )


@dataclass
class ForgettingCommands(FakeCommands):
    """`forget` really forgets."""

    conversations: FakeConversations = field(default_factory=FakeConversations)

    async def forget(self, user: UserKey, conversation: ConversationKey | None = None):
        said = await super().forget(user, conversation)
        for key in list(self.conversations.turns):
            if key == conversation or (conversation is None and key.channel == user.user):
                del self.conversations.turns[key]
        return said
