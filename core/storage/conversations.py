"""Conversations as a page lists them: titles, questions, answers, figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from core.domain.errors import StorageUnreadable
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.ports.storage import ConversationSummary, ShownTurn
from core.storage.codec import decode_facts, decode_incoming
from core.storage.engine import Database
from core.storage.schema import (
    conversation_of,
    conversations,
    is_conversation,
    is_who,
    messages,
    replies,
    runs,
    turns,
)

_TITLE_CHARS = 80


class SqlConversations:
    """Implements `ConversationList`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def conversations(self, user: UserKey, *, limit: int = 100) -> Sequence[ConversationSummary]:
        """Those that *user* began."""
        first = (
            select(messages.c.body)
            .where(messages.c.conversation_id == conversations.c.id)
            .order_by(messages.c.seq)
            .limit(1)
            .scalar_subquery()
        )
        query = (
            select(conversations, first.label("body"))
            .where(is_who(conversations, user, "starter_"))
            .order_by(conversations.c.updated_at.desc())
            .limit(limit)
        )

        def work(c: Connection) -> list[ConversationSummary]:
            return [
                ConversationSummary(conversation_of(row), title, row.updated_at)
                for row in c.execute(query)
                if row.body is not None and (title := _title(row.body)) is not None
            ]

        return await self._database.read(work)

    async def messages(self, conversation: ConversationKey, *, limit: int = 200) -> Sequence[ShownTurn]:
        return await self._database.read(lambda c: _messages(c, conversation, limit))


def _title(body: bytes) -> str | None:
    """None where the question cannot be read: one such row must not hide all other conversations."""
    try:
        return title_of(decode_incoming(body))
    except StorageUnreadable:
        return None


def title_of(question: Incoming) -> str:
    """The first words of *question* on one line; without words the name of what came with it."""
    text = question.text.strip() or ", ".join(item.name for item in question.attachments)
    line = " ".join(text.split())
    if len(line) <= _TITLE_CHARS:
        return line
    return line[:_TITLE_CHARS].rsplit(" ", 1)[0] + " ..."


def _messages(c: Connection, conversation: ConversationKey, limit: int) -> list[ShownTurn]:
    ours = select(conversations.c.id).where(is_conversation(conversation)).scalar_subquery()
    newest_run = (
        select(runs.c.state)
        .where(runs.c.message_seq == messages.c.seq)
        .order_by(runs.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    asked = c.execute(
        select(messages, newest_run.label("state"), replies.c.facts, replies.c.at)
        .outerjoin(replies, replies.c.reply_id == messages.c.reply_id)
        .where(messages.c.conversation_id == ours)
        .order_by(messages.c.seq.desc())
        .limit((limit + 1) // 2)
    ).all()
    said = _answers(c, [row.seq for row in asked])
    shown = [turn for row in reversed(asked) for turn in _question_and_answer(row, said.get(row.seq))]
    return shown[-limit:]


def _answers(c: Connection, message_seqs: Sequence[int]) -> dict[int, str]:
    """Message -> what the bot said to it, over all rounds."""
    said: dict[int, str] = defaultdict(str)
    rows = c.execute(
        select(turns.c.message_seq, turns.c.words)
        .where(turns.c.message_seq.in_(message_seqs), turns.c.role == "assistant")
        .order_by(turns.c.message_seq, turns.c.position)
    )
    for row in rows:
        said[row.message_seq] += row.words
    return said


def _question_and_answer(row: Row[Any], answer: str | None) -> list[ShownTurn]:
    try:
        incoming = decode_incoming(row.body)
        facts = decode_facts(row.facts) if row.facts is not None else {}
    except StorageUnreadable:
        return []
    question = ShownTurn(
        row.message_id, row.reply_id, "user", incoming.text, incoming.received_at, row.state, incoming.attachments
    )
    if answer is None and not facts:
        return [question]
    text = answer or str(facts.get("sentence", ""))
    return [question, ShownTurn(row.message_id, row.reply_id, "assistant", text, row.at, row.state, facts=facts)]
