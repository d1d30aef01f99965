"""What people asked to be remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from core.base.clock import Clock
from core.domain.audience import Scope
from core.domain.incoming import ConversationKey, UserKey
from core.domain.memories import Memory
from core.ports.storage import MemoryStore
from core.storage.cache import forget_answers
from core.storage.encryption import Seals
from core.storage.engine import Database
from core.storage.removal import erase_messages
from core.storage.schema import is_who, memories, messages, user_of, who


class SqlMemories:
    """Implements `MemoryStore`."""

    def __init__(self, database: Database, seals: Seals, clock: Clock) -> None:
        self._database = database
        self._seals = seals
        self._clock = clock

    async def add(self, memory: Memory) -> None:
        row = {
            **who(memory.owner),
            "id": memory.id,
            "whose": memory.whose,
            "reach": memory.source.reach,
            "at_workspace": memory.workspace,
            "at_channel": memory.channel,
            "message_id": memory.message_id,
            "words": memory.words,
            "at": memory.at,
        }

        def work(c: Connection) -> None:
            c.execute(insert(memories), row)

        await self._database.write(work)

    async def known(self, user: UserKey, channel: ConversationKey) -> Sequence[Memory]:
        at = memories.c
        here = and_(
            at.whose == "channel",
            at.platform == channel.platform,
            at.at_workspace == channel.workspace,
            at.at_channel == channel.channel,
        )
        query = select(memories).where(or_(and_(at.whose == "person", is_who(memories, user)), here))
        return await self._database.read(lambda c: [_memory(row) for row in c.execute(query.order_by(at.at, at.id))])

    async def remove(self, memory: Memory) -> None:
        now = self._clock.now()
        at = messages.c
        asked = and_(
            at.platform == memory.owner.platform,
            at.workspace == memory.workspace,
            at.channel == memory.channel,
            at.message_id == memory.message_id,
        )

        def work(c: Connection) -> None:
            c.execute(delete(memories).where(memories.c.id == memory.id))
            erase_messages(c, self._seals, asked, now)
            forget_answers(c, memory.owner)

        await self._database.write(work)

    async def used(self, ids: Sequence[str], at: float) -> None:
        def work(c: Connection) -> None:
            c.execute(update(memories).where(memories.c.id.in_(ids)).values(used_at=at))

        await self._database.write(work)


_memories: type[MemoryStore] = SqlMemories


def _memory(row: Any) -> Memory:
    owner = user_of(row)
    if row.reach in ("channel", "open"):
        source = Scope(row.reach, row.platform, row.at_workspace, row.at_channel)
    else:
        source = Scope(row.reach, row.platform, user=owner)
    return Memory(
        row.id,
        owner,
        row.whose,
        row.words,
        source,
        row.at_channel,
        row.at_workspace,
        row.message_id,
        row.at,
        row.used_at,
    )
