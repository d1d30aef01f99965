"""Remembering as a person asks for it: "remember that ...", `memories`, `forget that`.

What of it goes into a request is recall.py's business.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from core.base.clock import Clock
from core.chat.recall import Recall, day
from core.chat.service import Answered, Context
from core.domain.audience import audience_of
from core.domain.events import Send, Started, TextDelta
from core.domain.incoming import Incoming
from core.domain.memories import Memory, Whose
from core.domain.requests import Reply, Usage
from core.ports.storage import MemoryStore

MAX_CHARS = 1_000
"""Of one memory: a fact or a wish, not a document."""
MAX_EACH = 50
"""Of one person, and of one channel."""

_REMEMBER = re.compile(
    r"(?:please )?remember(?P<here> (?:for|in) this channel)?(?: that |: ?| that: ?)(?P<words>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_LIST = re.compile(r"(?:my )?memories|what do you remember(?: about me)?\??", re.IGNORECASE)
_FORGET = re.compile(r"forget (?:that|memory (?P<number>\d{1,4}))[.!]?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a message asks of the memory. `words`: remember these; `number`: forget that one (from 1, 0: the newest)."""

    kind: str
    """"remember", "list" or "forget"."""
    words: str = ""
    whose: Whose = "person"
    number: int = 0


def wish_of(text: str) -> Wish | None:
    """What *text* asks of the memory; None for everything else. The whole message must be the request."""
    text = text.strip()
    if found := _REMEMBER.fullmatch(text):
        return Wish("remember", found["words"].strip(), "channel" if found["here"] else "person")
    if _LIST.fullmatch(text):
        return Wish("list")
    if found := _FORGET.fullmatch(text):
        return Wish("forget", number=int(found["number"] or 0))
    return None


class Remembering:
    """Implements `Chat` for the action "remember": no model is asked, the answer says what was done.

    Nothing of it becomes a turn: what is forgotten must not stand in the conversation's history.
    """

    def __init__(
        self,
        store: MemoryStore,
        clock: Clock,
        new_id: Callable[[], str],
        purge: Callable[[], Awaitable[None]],
        allowed: Callable[[Incoming], bool] = lambda incoming: True,
    ) -> None:
        """*purge* drops what is kept of anybody in memory alone (cached answers); *allowed* says whether the channel
        lets things be remembered."""
        self._store = store
        self._recall = Recall(store, clock)
        self._clock = clock
        self._new_id = new_id
        self._purge = purge
        self._allowed = allowed

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
        """Raises StorageError."""
        wish = wish_of(incoming.text) or Wish("list")
        match wish.kind:
            case "remember" if not self._allowed(incoming):
                text = "Nothing is remembered in this channel: its operators have switched that off."
            case "remember":
                text = await self._remember(incoming, wish)
            case "forget":
                text = await self._forget(incoming, wish)
            case _:
                text = _listing(await self._recall.admitted(incoming))
        await send(Started("", ""))
        await send(TextDelta(text))
        return Answered(Reply(text, "", "", Usage()), ())

    async def _remember(self, incoming: Incoming, wish: Wish) -> str:
        if len(wish.words) > MAX_CHARS:
            return f"That is too long to remember: at most {MAX_CHARS:,} characters."
        if wish.whose == "channel" and (incoming.direct or incoming.visibility == "private"):
            return "Only what is said in a channel, for everybody there to see, can be remembered for it."
        known = await self._store.known(incoming.user, incoming.conversation)
        same = [memory for memory in known if memory.whose == wish.whose]
        if len(same) >= MAX_EACH:
            oldest = min(same, key=lambda memory: memory.used_at or memory.at)
            seen = await self._recall.admitted(incoming)
            number = seen.index(oldest) + 1 if oldest in seen else 0
            hint = f" `forget memory {number}` lets go of the one unused for longest." if number else ""
            return f"I remember {MAX_EACH} things already, and no more.{hint}"
        source = next(iter(audience_of(incoming).of))
        at = incoming.conversation
        memory = Memory(
            self._new_id(),
            incoming.user,
            wish.whose,
            wish.words,
            source,
            at.channel,
            at.workspace,
            incoming.message_id,
            self._clock.now(),
        )
        await self._store.add(memory)
        whom = "for everybody in this channel" if wish.whose == "channel" else "for you"
        reach = _REACHES[source.reach]
        return f"I will remember that, {whom}{reach}. `memories` lists what I remember, `forget that` ends it."

    async def _forget(self, incoming: Incoming, wish: Wish) -> str:
        known = await self._recall.admitted(incoming)
        if not known:
            return "I remember nothing here that could be forgotten."
        if wish.number > len(known):
            return f"There is no memory {wish.number}; `memories` lists them."
        if wish.number:
            memory = known[wish.number - 1]
        else:
            memory = max(known, key=lambda memory: (memory.used_at or memory.at, memory.at))
        await self._store.remove(memory)
        await self._purge()
        return "Forgotten: that memory is gone, and with it the message that asked for it."


_REACHES = {
    "direct": ", in our direct messages only",
    "private": ", in what only you read",
    "channel": ", in this channel only",
    "open": ", here and where only members of this workspace read",
    "key": "",
}


def _listing(known: Sequence[Memory]) -> str:
    if not known:
        return 'I remember nothing here. "Remember that ..." tells me what to keep.'
    lines = [
        f"{number}. {' '.join(memory.words.split())} ({'this channel' if memory.whose == 'channel' else 'yours'}, "
        f"{day(memory.at)}{', used ' + day(memory.used_at) if memory.used_at else ''})"
        for number, memory in enumerate(known, start=1)
    ]
    return "\n".join((*lines, "", "`forget memory 1` lets go of the first."))
