"""What was said: the turns of finished answers, newest first from the index, and by their words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, or_, select

from core.incoming import ConversationKey
from core.ports import StoredTurn
from core.storage.codec import turn_from
from core.storage.database import Database
from core.storage.schema import conversations, is_conversation, messages, turns, user_of
from core.storage.sqlite import matches

_KEY: Any = ConversationKey(*(bindparam(part.name) for part in fields(ConversationKey)))  # type: ignore[arg-type]

_BEFORE = (
    select(messages.c.seq)
    .where(
        messages.c.message_id == bindparam("before"),
        messages.c.platform == _KEY.platform,
        messages.c.channel == _KEY.channel,
        messages.c.workspace == _KEY.workspace,
    )
    .scalar_subquery()
)

_RECENT = (
    select(turns)
    .where(
        turns.c.conversation_id == select(conversations.c.id).where(is_conversation(_KEY)).scalar_subquery(),
        turns.c.message_seq < func.coalesce(_BEFORE, 2**62),
    )
    .order_by(turns.c.message_seq.desc(), turns.c.position.desc())
    .limit(bindparam("rows"))
)
# Built once: before every answer somebody waits for this, and putting it together takes longer than running it.


class SqlHistory:
    """Implements `History`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(
        self, conversation: ConversationKey, *, max_tokens: int, max_turns: int, before: str | None = None
    ) -> Sequence[StoredTurn]:
        """A question and its answer come together or not at all, so that no tool result stands without its call."""
        asked = {**asdict(conversation), "before": before, "rows": max_turns + 1}

        def work(c: Connection) -> list[StoredTurn]:
            return _that_fit(c.execute(_RECENT, asked), max_tokens=max_tokens, max_turns=max_turns)

        return await self._database.read(work)

    async def search(self, conversations: Sequence[ConversationKey], words: str, *, limit: int) -> Sequence[StoredTurn]:
        """Turns that hold all of *words*, newest first. Nothing for no words or no conversations."""
        if not words.strip() or not conversations:
            return []
        query = (
            select(turns)
            .where(turns.c.conversation_id.in_(_ids(conversations)), matches(words))
            .order_by(turns.c.id.desc())
            .limit(limit)
        )
        return await self._database.read(lambda c: [_stored(row) for row in c.execute(query)])


def _ids(keys: Sequence[ConversationKey]) -> Any:
    return select(conversations.c.id).where(or_(*(is_conversation(key) for key in keys)))


def _that_fit(rows: Iterable[Row[Any]], *, max_tokens: int, max_turns: int) -> list[StoredTurn]:
    """The newest whole answers of *rows* (newest first) within both limits, oldest first."""
    fitting: list[StoredTurn] = []
    tokens = 0
    for _, group in groupby(rows, key=lambda row: row.message_seq):
        answer = [_stored(row) for row in group]
        tokens += sum(turn.tokens for turn in answer)
        if tokens > max_tokens or len(fitting) + len(answer) > max_turns:
            break
        fitting += answer
    fitting.reverse()
    return fitting


def _stored(row: Row[Any]) -> StoredTurn:
    return StoredTurn(
        turn=turn_from(row.role, row.words, row.parts),
        message_id=row.message_id,
        user=None if row.user is None else user_of(row),
        speaker=row.speaker,
        at=row.at,
        tokens=row.tokens,
    )
