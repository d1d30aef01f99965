"""Where something was forgotten, until when: what was said there before is not read from the platform again.

A chat platform goes on showing what we have forgotten, and we read back what stands before a question. Kept is a mark
for each conversation and person: a hash and a time, nothing of what was said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from core.base.clock import Clock
from core.domain.incoming import ConversationKey, Incoming, Quote, UserKey
from core.ports.storage import NoteStore


class Forgotten:
    """Weakness: what we ourselves said to somebody, in a conversation of several, cannot be told from what we said to
    the others there; all of ours from before is left out then."""

    def __init__(self, notes: NoteStore, clock: Clock) -> None:
        self._notes = notes
        self._clock = clock

    async def mark(self, user: UserKey | None, conversation: ConversationKey | None) -> None:
        """Everything up to now: of a person, of a conversation, or of a person in it. Raises StorageError."""
        await self._notes.set(_key(user, conversation), f"{self._clock.now():.3f}")

    async def without(self, incoming: Incoming, quotes: Sequence[Quote]) -> list[Quote]:
        """*quotes*, as read from the platform for *incoming*, without what somebody had forgotten. Raises StorageError.

        What says nothing of its time counts as said before.
        """
        if not quotes:
            return []
        at = incoming.conversation
        channel = ConversationKey(at.platform, at.workspace, at.channel, at.channel)
        whole = await self._newest(_key(None, one) for one in {at, channel})
        asker = await self._of_person(incoming.user, at)
        of = {quote.speaker_id: 0.0 for quote in quotes if not quote.from_bot and quote.speaker_id}
        for speaker in of:
            user = UserKey(incoming.user.platform, incoming.user.workspace, speaker)
            of[speaker] = await self._of_person(user, at)
        ours = max(asker, *of.values()) if of else asker
        if incoming.direct:
            whole = max(whole, asker)

        def until(quote: Quote) -> float:
            return max(whole, ours if quote.from_bot else of.get(quote.speaker_id, 0.0))

        return [quote for quote in quotes if quote.said_at > (mark := until(quote)) or not mark]

    async def _of_person(self, user: UserKey, at: ConversationKey) -> float:
        return await self._newest([_key(user, None), _key(user, at)])

    async def _newest(self, keys: Iterable[str]) -> float:
        return max([float(await self._notes.get(key) or 0.0) for key in keys])


def _key(user: UserKey | None, conversation: ConversationKey | None) -> str:
    digest = hashlib.sha256(repr((user, conversation)).encode()).hexdigest()
    return f"forgotten:{digest[:32]}"
