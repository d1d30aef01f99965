"""The one way out: removes a message, and all that is about a person, from every table that names them.

Nobody else lists tables: `schema.OF_REPLY`, `OF_MESSAGE` and `OF_PERSON` say where something may stand.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, select

from core.domain.incoming import UserKey
from core.storage.encryption import Seals
from core.storage.schema import OF_MESSAGE, OF_PERSON, OF_REPLY, is_who, messages, tombstones
from core.storage.statements import insert_or_ignore


def erase_messages(c: Connection, seals: Seals, which: ColumnElement[bool], now: float) -> int:
    """As `remove_messages`, and leave tombstones, so that no redelivery or back-fill brings them back."""
    at = messages.c
    meant = c.execute(select(at.platform, at.workspace, at.channel, at.message_id).where(which)).all()
    if meant:
        c.execute(insert_or_ignore(tombstones), [{"mark": seals.message_mark(*row), "at": now} for row in meant])
    return remove_messages(c, which)


def remove_messages(c: Connection, which: ColumnElement[bool]) -> int:
    """Remove messages and all that hangs on them; returns how many rows went."""
    gone = 0
    reply_ids = select(messages.c.reply_id).where(which)
    for table in OF_REPLY:
        gone += c.execute(delete(table).where(table.c.reply_id.in_(reply_ids))).rowcount
    seqs = select(messages.c.seq).where(which)
    for table in OF_MESSAGE:
        gone += c.execute(delete(table).where(table.c.message_seq.in_(seqs))).rowcount
    return gone + c.execute(delete(messages).where(which)).rowcount


def remove_person(c: Connection, user: UserKey) -> int:
    """Remove what is about *user* beside their messages: choices, opinions, questions that wait for them."""
    return sum(c.execute(delete(table).where(is_who(table, user))).rowcount for table in OF_PERSON)
