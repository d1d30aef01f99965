"""Who may change what at the same time, where several processes share a server. SQLite has one writer and needs none.

1. Whoever may start a run locks its conversation first, several in the order of ids (`accept` does by its upsert).
2. Whoever writes for a claim locks its run, so that a new owner waits for what the old one is just writing.
3. A lost race for a unique key is a duplicate.
4. What fails by a deadlock is done again (`PostgresDatabase.write`).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, select

from core.storage.schema import conversations, messages, runs
from core.storage.statements import serves_many


def lock_conversations(c: Connection, which: ColumnElement[bool]) -> None:
    """Of the messages *which*."""
    if serves_many(c):
        ids = select(messages.c.conversation_id).where(which)
        _lock_in_order(c, conversations.c.id.in_(ids))


def lock_conversations_of(c: Connection, run_ids: Sequence[str]) -> None:
    if serves_many(c):
        ids = select(runs.c.conversation_id).where(runs.c.run_id.in_(run_ids))
        _lock_in_order(c, conversations.c.id.in_(ids))


def lock_run(c: Connection, run_id: str) -> None:
    """Shared: several writes for one claim may go on side by side, a take-over waits for all."""
    if serves_many(c):
        c.execute(select(runs.c.seq).where(runs.c.run_id == run_id).with_for_update(read=True))


def _lock_in_order(c: Connection, which: ColumnElement[bool]) -> None:
    c.execute(select(conversations.c.id).where(which).order_by(conversations.c.id).with_for_update()).all()
