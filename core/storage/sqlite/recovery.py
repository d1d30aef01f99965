"""What can still be read of a damaged database, carried over into the one that takes its place."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    Table,
    Text,
    delete,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy.sql import ClauseElement

from core.domain.errors import StorageError
from core.storage.codec import decode_facts, decode_incoming, turn_from
from core.storage.schema import (
    OF_MESSAGE,
    OF_REPLY,
    audit,
    blob_owners,
    blobs,
    capabilities,
    conversations,
    feedback,
    installations,
    memories,
    messages,
    notes,
    pages,
    people,
    preferences,
    replies,
    runs,
    suspensions,
    tombstones,
    turns,
    usage,
    usage_days,
    workspaces,
)
from core.storage.sqlite.dialect import BUSY_S

WITHIN_S = 20.0
"""Nothing else is written meanwhile. Enough for some million rows; what is not reached stays in the damaged file."""

_AT_ONCE = 500

_TABLES = (
    *(tombstones, conversations, messages, runs, replies, pages, capabilities, suspensions, turns),
    *(blobs, blob_owners, preferences, usage_days, usage, feedback, audit, notes),
    *(installations, workspaces, memories, people),
)
"""What was forgotten first, what was promised next. The cache is left behind: it can be made anew."""

_KINDS: Mapping[type, tuple[type, ...]] = {Text: (str,), BigInteger: (int,), Float: (float, int), LargeBinary: (bytes,)}

_READABLE: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "messages": lambda row: decode_incoming(row["body"]),
    "replies": lambda row: decode_facts(row["facts"]),
    "turns": lambda row: turn_from(row["role"], row["words"], row["parts"]),
}

Row = dict[str, Any]


def salvage(damaged: Path, c: Connection) -> int:
    """Copy every row of *damaged* that can be read into the empty tables behind *c*; returns how many those were.

    Indexes are not looked at: they break like anything else, and the new file has its own. Rows are read from the
    oldest to the first damage, then from the newest back to the next; what lies between is lost.
    """
    give_up_at = time.monotonic() + WITHIN_S  # a bound on work, no date: the handed-in clock has no say here
    source = sqlite3.connect(damaged, timeout=BUSY_S)
    source.row_factory = sqlite3.Row
    copied = 0
    try:
        for table in _TABLES:
            rows = (row for row in _rows(source, table, give_up_at) if _is_whole(row, table))
            while batch := list(islice(rows, _AT_ONCE)):
                copied += c.execute(insert(table).prefix_with("OR IGNORE"), batch).rowcount
    finally:
        source.close()
    return copied - _drop_fragments(c)


def _rows(source: sqlite3.Connection, table: Table, give_up_at: float) -> Iterator[Row]:
    number: ColumnElement[int] = literal_column("rowid")
    everything: Any = select(number.label("row"), literal_column("*")).select_from(text(f"{table.name} NOT INDEXED"))
    last = yield from _until_damage(source, everything.order_by(number), give_up_at)
    if last is not None:
        behind = everything.where(number > literal_column(str(last)))
        yield from _until_damage(source, behind.order_by(number.desc()), give_up_at)


def _until_damage(
    source: sqlite3.Connection, query: ClauseElement, give_up_at: float
) -> Generator[Row, None, int | None]:
    """Returns the last row's number where it ended in damage, None where everything was read."""
    last = -1
    try:
        for row in source.execute(str(query)):
            if time.monotonic() > give_up_at:
                return None
            last = row[0]
            yield dict(zip(row.keys()[1:], row[1:], strict=True))
    except sqlite3.DatabaseError:
        return last
    return None


def _is_whole(row: Row, table: Table) -> bool:
    """Whether a row is what the program writes: damage can also look like a row."""
    for column in table.columns:
        value = row.get(column.name)
        if value is None and column.nullable:
            continue
        if not isinstance(value, _KINDS[type(column.type)]):
            return False
    try:
        _READABLE.get(table.name, bool)(row)
    except (msgspec.MsgspecError, StorageError, ValueError, KeyError, TypeError):
        return False
    return True


def _drop_fragments(c: Connection) -> int:
    """Remove what belongs to a message that was lost: nobody could answer it, or have it forgotten."""
    homeless = messages.c.conversation_id.not_in(select(conversations.c.id))
    gone = c.execute(delete(messages).where(homeless)).rowcount
    for table in OF_MESSAGE:
        gone += c.execute(delete(table).where(table.c.message_seq.not_in(select(messages.c.seq)))).rowcount
    for table in OF_REPLY:
        gone += c.execute(delete(table).where(table.c.reply_id.not_in(select(messages.c.reply_id)))).rowcount
    return gone
