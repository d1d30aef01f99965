"""Which service answers a run: the chat, unless the message asks for something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from core.chat.service import Answered, Chat, Context
from core.domain.events import Send
from core.domain.incoming import Action, Incoming


class Actions:
    """Implements `Chat` over several: by the message's action, *otherwise* for all that are not named.

    *read* finds an action that somebody typed ("extract name, price:number") instead of choosing it. What is
    regenerated goes to the service that answered it before.
    """

    def __init__(
        self,
        otherwise: Chat,
        by_action: Mapping[Action, Chat],
        read: Callable[[Incoming], Action] = lambda incoming: incoming.action,
    ) -> None:
        self._read = read
        self._otherwise = otherwise
        self._by_action = dict(by_action)

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
        asked = replace(incoming, action=incoming.purpose) if incoming.action == "regenerate" else incoming
        service = self._by_action.get(self._read(asked))
        if service is None:
            service, asked = self._otherwise, incoming
        return await service.answer(
            run_id,
            asked,
            context=context,
            send=send,
            deadline_at=deadline_at,
            editable=editable,
            allow_local=allow_local,
        )
