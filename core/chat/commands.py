"""The commands that every adapter offers: choose a model or persona, see what was spent, take everything back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from core import wording
from core.base.clock import Clock
from core.chat.forgotten import Forgotten
from core.chat.personas import Personas
from core.domain.incoming import ConversationKey, UserKey
from core.gateway.registry import Registry
from core.ports.platform import Said
from core.ports.storage import Archive, Preferences, PreferenceStore, Spent, UsageStore

_DAY_S = 86_400.0
_SPEAKS = {"slack": "/tern ", "discord": "/", "terminal": "/", "web": "/"}
"""How a command begins on each platform."""

_HELP = {
    "ask": "asks a question",
    "model": "chooses which model answers you",
    "persona": "chooses how I talk",
    "transcribe": "writes down the voice clip of a message, by its link",
    "extract": "makes a table of a message, by its link and the fields you want",
    "usage": "shows what you have used",
    "stop": "ends the answers you are being given here",
    "forget": "deletes what I have stored of a conversation, or everything about you",
    "export": "hands it to you as a file",
    "help": "shows this",
}
"""What each command does, whatever it is written with."""

_TIERS = (
    ("auto", "Chooses for each question"),
    ("speed", "The fastest"),
    ("quality", "The most able"),
)


class Conversations(Protocol):
    """What the inbox does for the commands (core/inbox/inbox.py)."""

    async def takes_part(self, conversation: ConversationKey) -> UserKey | None: ...

    async def stop(self, conversation: ConversationKey, by: UserKey) -> bool: ...

    async def stop_here(self, channel: str, by: UserKey) -> bool: ...

    async def stop_all(self, *, user: UserKey | None = None, conversation: ConversationKey | None = None) -> None: ...


class ChatCommands:
    """Implements `Commands`.

    Args:
        personas: Asked each time, because a reload replaces them.
        purge: Drops what is kept in memory only (the chat service's overheard messages, the memory cache); called
            after rows were forgotten.
        schemas: What "Extract ..." offers: names with descriptions.
    """

    def __init__(
        self,
        registry: Registry,
        personas: Callable[[], Personas],
        preferences: PreferenceStore,
        usage: UsageStore,
        archive: Archive,
        conversations: Conversations,
        clock: Clock,
        purge: Callable[[], Awaitable[None]],
        schemas: Callable[[], Sequence[tuple[str, str]]] = lambda: (),
        forgotten: Forgotten | None = None,
    ) -> None:
        self._schemas = schemas
        self._forgotten = forgotten
        self._registry = registry
        self._personas = personas
        self._preferences = preferences
        self._usage = usage
        self._archive = archive
        self._conversations = conversations
        self._clock = clock
        self._purge = purge

    # --- choices ---

    async def models(self) -> Sequence[tuple[str, str]]:
        chat = [model for model in self._registry.usable() if model.tier not in ("audio", "speech")]
        return [*_TIERS, *((model.id, f"{model.provider}, {model.tier}") for model in chat)]

    async def personas(self) -> Sequence[tuple[str, str]]:
        return self._personas().listing()

    def schemas(self) -> Sequence[tuple[str, str]]:
        return self._schemas()

    async def choice(self, user: UserKey) -> tuple[str, str]:
        chosen = await self._preferences.get(user)
        return chosen.model, chosen.persona

    async def set_model(self, user: UserKey, requested_model: str) -> Said:
        resolved = self._registry.resolve(requested_model)
        model = resolved.requested_model
        chosen = await self._preferences.get(user)
        await self._preferences.set(user, Preferences(model, chosen.persona))
        if resolved.retired_from:
            return Said(f"**{resolved.retired_from}** has been retired. Its successor **{model}** answers you now.")
        if model == "auto":
            return Said("From now on I choose a model for each of your questions.")
        return Said(f"From now on **{model}** answers you. `auto` lets me choose again.")

    async def set_persona(self, user: UserKey, persona: str) -> Said:
        self._personas().choose(persona)
        chosen = await self._preferences.get(user)
        await self._preferences.set(user, Preferences(chosen.model, persona))
        return Said(f"From now on I answer you as **{persona}**." if persona else "From now on I answer as usual.")

    # --- what was spent ---

    async def usage(self, user: UserKey) -> Said:
        now = self._clock.now()
        today = now - now % _DAY_S
        month = today - 29 * _DAY_S
        lines = [
            f"Today (UTC): {_figures(await self._usage.spent(today, user=user))}",
            f"Last 30 days: {_figures(await self._usage.spent(month, user=user))}",
            *(f"- {model}: {_figures(spent)}" for model, spent in await self._usage.by_model(month, user) if model),
        ]
        return Said("\n".join(lines))

    # --- everything about somebody ---

    async def forget(self, user: UserKey, conversation: ConversationKey | None = None) -> Said:
        """Whoever began a conversation may have all of it forgotten, others their own part."""
        whose = await self._whose(user, conversation)
        await self._conversations.stop_all(user=whose, conversation=conversation)
        await self._purge()  # first, or an answer that ends just now would still be kept after the rows are gone
        if self._forgotten is not None:
            await self._forgotten.mark(whose, conversation)
        count = await self._archive.forget(user=whose, conversation=conversation)
        await self._purge()
        return Said(wording.forgotten(count, still_shown=user.platform in ("slack", "discord")))

    async def export(self, user: UserKey, conversation: ConversationKey | None = None) -> Said:
        """Like `forget`: all of a conversation for whoever began it, their own part for others."""
        whose = await self._whose(user, conversation)
        content = await self._archive.export(user=whose, conversation=conversation)
        day = datetime.fromtimestamp(self._clock.now(), UTC).date().isoformat()
        file = json.dumps(content, ensure_ascii=False, indent=1, default=list).encode()
        what = "about this conversation" if conversation else "about you"
        return Said(f"Everything I have stored {what}.", f"tern-export-{day}.json", file)

    async def _whose(self, user: UserKey, conversation: ConversationKey | None) -> UserKey | None:
        """Whose part is meant; None for a whole conversation."""
        if conversation is None:
            return user
        began = await self._conversations.takes_part(conversation)
        return None if began == user else user

    # --- ending an answer ---

    async def stop(self, user: UserKey, *, channel: str = "", conversation: ConversationKey | None = None) -> Said:
        if conversation:
            ran = await self._conversations.stop(conversation, user)
        else:
            ran = await self._conversations.stop_here(channel, user)
        return Said(wording.STOPPING if ran else wording.NOTHING_RUNS)

    # --- help ---

    def help(self, platform: str, orders: Sequence[str]) -> Said:
        sign = _SPEAKS.get(platform, "/")
        lines = [
            "Ask me anything: mention me, reply to me, or write to me directly. Pictures, files and voice clips too. "
            "`extract name, price:number` in a reply to a message, or beside a file, makes a table of it.",
            "",
            *(f"- `{sign}{name}` {_HELP[name]}" for name in orders),
        ]
        return Said("\n".join(lines))


def _figures(spent: Spent) -> str:
    requests = "1 request" if spent.requests == 1 else f"{spent.requests:,} requests"
    return f"{requests}, {spent.tokens:,} tokens, ${spent.cost_usd:,.4f}"
