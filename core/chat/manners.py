"""When the bot speaks in a crowd: whether a message that does not name it goes on with it.

Whoever asked goes on without naming it again. Once somebody else speaks there, people are among themselves: then it
answers only who means it (a mention, a reply, its name at the beginning), and goes on with that person.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from typing import Literal

from core.base.clock import Clock
from core.domain.incoming import ConversationKey, UserKey

FollowUps = Literal["all", "asker", "mention"]
"""What goes on in a thread without naming the bot: everything not said to somebody else, the words of whoever asked
until a third person speaks, or nothing."""

_REMEMBERED = 10_000
"""Conversations. One that is forgotten, or was heard by an earlier process, goes on with who began it."""

BOT_TURNS = 5
BOT_TURNS_S = 15 * 60.0
"""So often another bot is answered in one channel within so long: two bots would never stop."""


def begins_with_name(text: str, name: str) -> bool:
    """Whether *text* speaks to somebody of that name: "Tern, why?", "hey tern: why?"; not "terns are birds"."""
    if not name.strip():
        return False
    greeting = r"(?:(?:hey|hi|hello|ok|okay|dear)[\s,]+)?"
    return re.match(rf"\s*{greeting}@?{re.escape(name.strip())}(?:[\s,.:;!?]|$)", text[:200], re.IGNORECASE) is not None


class Manners:
    """With whom each conversation goes on."""

    def __init__(self) -> None:
        self._with: OrderedDict[ConversationKey, UserKey | None] = OrderedDict()
        """None: people talk among themselves."""

    def meant(self, conversation: ConversationKey, by: UserKey) -> None:
        """*by* spoke to the bot."""
        self._with[conversation] = by
        self._with.move_to_end(conversation)
        while len(self._with) > _REMEMBERED:
            self._with.popitem(last=False)

    def overheard(self, conversation: ConversationKey, by: UserKey, *, began: UserKey) -> None:
        """*by* said something there that is not for the bot; *began* is who asked first."""
        if self._with.get(conversation, began) != by:
            self.meant(conversation, by)
            self._with[conversation] = None

    def goes_on(self, policy: FollowUps, conversation: ConversationKey, by: UserKey, *, began: UserKey) -> bool:
        """Whether a message to nobody in particular is for the bot."""
        match policy:
            case "all":
                return True
            case "mention":
                return False
            case "asker":
                if self._with.get(conversation, began) == by:
                    return True
                self.overheard(conversation, by, began=began)
                return False


class BotTurns:
    """Keeps two bots from talking to each other for ever."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answered: OrderedDict[str, deque[float]] = OrderedDict()
        """Channel -> when bots were answered there lately."""

    def take(self, channel_key: str) -> bool:
        """Whether one more question of a bot may be answered in that channel; counts it if so."""
        now = self._clock.monotonic()
        turns = self._answered.setdefault(channel_key, deque())
        self._answered.move_to_end(channel_key)
        while turns and turns[0] <= now - BOT_TURNS_S:
            turns.popleft()
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        if len(turns) >= BOT_TURNS:
            return False
        turns.append(now)
        return True
