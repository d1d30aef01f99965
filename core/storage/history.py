"""What was said: the turns of finished answers, newest first from the index, and by their words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select

from core.domain.errors import StorageUnreadable
from core.domain.incoming import ConversationKey, UserKey
from core.ports.storage import StoredTurn
from core.storage.codec import turn_from
from core.storage.engine import Database
from core.storage.prepared import Prepared
from core.storage.schema import conversations, is_conversation, messages, turns
from core.storage.searching import matches

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

_at = turns.c
_COLUMNS = (
    *(_at.message_seq, _at.role, _at.words, _at.parts, _at.message_id),
    *(_at.platform, _at.workspace, _at.user, _at.speaker, _at.at, _at.tokens),
)
_RECENT = Prepared(
    select(*_COLUMNS)
    .where(
        turns.c.conversation_id == select(conversations.c.id).where(is_conversation(_KEY)).scalar_subquery(),
        turns.c.message_seq < func.coalesce(_BEFORE, 2**62),
    )
    .order_by(turns.c.message_seq.desc(), turns.c.position.desc())
    .limit(bindparam("rows"))
)


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
            return _that_fit(_RECENT.rows(c, asked), max_tokens=max_tokens, max_turns=max_turns)

        return await self._database.glance(work)

    async def search(self, conversations: Sequence[ConversationKey], words: str, *, limit: int) -> Sequence[StoredTurn]:
        """Turns that hold all of *words*, newest first. Nothing for no words or no conversations."""
        if not words.strip() or not conversations:
            return []

        def work(c: Connection) -> list[StoredTurn]:
            query = (
                select(*_COLUMNS)
                .where(turns.c.conversation_id.in_(_ids(conversations)), matches(c, words))
                .order_by(turns.c.id.desc())
                .limit(limit)
            )
            return list(_readable(c.execute(query)))

        return await self._database.read(work)


def _ids(keys: Sequence[ConversationKey]) -> Any:
    return select(conversations.c.id).where(or_(*(is_conversation(key) for key in keys)))


def _that_fit(rows: Iterable[Sequence[Any]], *, max_tokens: int, max_turns: int) -> list[StoredTurn]:
    """The newest whole answers of *rows* (newest first) within both limits, oldest first."""
    fitting: list[StoredTurn] = []
    tokens = 0
    for _, group in groupby(rows, key=itemgetter(0)):
        try:
            answer = [_stored(row) for row in group]
        except StorageUnreadable:
            continue  # the model is told the rest of the conversation
        tokens += sum(turn.tokens for turn in answer)
        if tokens > max_tokens or len(fitting) + len(answer) > max_turns:
            break
        fitting += answer
    fitting.reverse()
    return fitting


def _readable(rows: Iterable[Sequence[Any]]) -> Iterator[StoredTurn]:
    for row in rows:
        with suppress(StorageUnreadable):
            yield _stored(row)


def _stored(row: Sequence[Any]) -> StoredTurn:
    """A row of `_COLUMNS`."""
    _, role, words, parts, message_id, platform, workspace, user, speaker, at, tokens = row
    asker = None if user is None else UserKey(platform, workspace, user)
    return StoredTurn(turn_from(role, words, parts), message_id, asker, speaker, at, tokens)
