"""A reaction under a message that asks for something (core/chat/reactions.py); the answer stands in the thread."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from adapters.slack.events import Reacted
from adapters.slack.handlers import Handlers
from adapters.slack.ids import CONTROLS
from adapters.slack.message import is_own, quote_of
from core.chat.reactions import ReactionCommand, command_of, wording_of
from core.domain.errors import SurfaceError
from core.domain.incoming import Incoming
from core.ports.platform import ControlAction


class ReactionHandlers:
    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def reacted(self, reacted: Reacted) -> None:
        """Silence where it is not wanted or not allowed: a reaction is mostly nothing but a reaction. Slack delivers it
        again where something raises; the inbox recognises what came twice. Raises StorageError and SurfaceError."""
        handlers, command = self._handlers, command_of(reacted.name)
        if command is None or reacted.channel not in handlers.settings.reaction_channels:
            return
        why = await handlers.refusal(reacted.user, channel=reacted.channel, direct=reacted.channel.startswith("D"))
        if why is None or why:
            return
        message = await self._message(reacted)
        if message is None:
            return
        root, by = str(message.get("thread_ts") or reacted.ts), handlers.user_key(reacted.user)
        if command == "stop":
            await handlers.intake.stop(await handlers.conversation(reacted.channel, root), by)
        elif command == "again":
            if is_own(message, handlers.me) and (reply_id := _reply_of(message)):
                await handlers.intake.press(reply_id, "regenerate", by)
        elif command == "summarise" or not is_own(message, handlers.me):
            incoming = await self._asked(reacted, command, message, root)
            receipt = await handlers.intake.accept(await handlers.users.described(incoming))
            if receipt.state == "refused" and receipt.sentence:
                said = handlers.whisper("refused", receipt.sentence, reacted.user, reacted.channel, root)
                handlers.later(said)

    async def _asked(
        self, reacted: Reacted, command: ReactionCommand, message: Mapping[str, Any], root: str
    ) -> Incoming:
        handlers = self._handlers
        quote = quote_of(message, handlers.me)
        action, text = wording_of(command, quote.text)
        # Once for each person, message and emoji: taking it off and putting it on again asks for nothing new.
        named = f"{reacted.channel}:{reacted.ts}:{reacted.user}:{command}"
        own_id = f"rea:{hashlib.sha256(named.encode()).hexdigest()[:20]}"
        return Incoming(
            message_id=own_id,
            event_id=own_id,
            user=handlers.user_key(reacted.user),
            conversation=await handlers.conversation(reacted.channel, root),
            text=text,
            received_at=handlers.clock.now(),
            quotes=(quote,),
            action=action,
            direct=reacted.channel.startswith("D"),
            reply_to=reacted.ts,
            address={"thread": root, "team": handlers.me.team},
        )

    async def _message(self, reacted: Reacted) -> Mapping[str, Any] | None:
        """The event has no words (facts/slack-2.md 5.1); a reply is found by its own ts too."""
        api, at = self._handlers.api, reacted.ts
        try:
            async with api.history():
                answer = await api.call(
                    lambda: api.reads.conversations_replies(
                        channel=reacted.channel, ts=at, oldest=at, latest=at, inclusive=True, limit=5
                    )
                )
        except SurfaceError:
            return None
        return next((one for one in answer.get("messages") or () if one.get("ts") == reacted.ts), None)


def _reply_of(message: Mapping[str, Any]) -> str:
    """The reply that one of our messages is, as its buttons know it."""
    again: dict[str, ControlAction] = {name: action for name, action in CONTROLS.items() if action == "regenerate"}
    for block in message.get("blocks") or ():
        for element in block.get("elements") or ():
            if element.get("action_id") in again:
                return str(element.get("value") or "")
    return ""
