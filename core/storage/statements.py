"""Statements that several stores make, for both engines.

PostgreSQL's INSERT construct compiles for SQLite as well (ON CONFLICT and RETURNING are spelt alike): one serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, LargeBinary, Table, literal
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def insert_or_ignore(table: Table) -> Any:
    """INSERT that does nothing where a unique key exists already; see `rowcount` or RETURNING."""
    return insert(table).on_conflict_do_nothing()


def upsert(table: Table, keys: Sequence[str], columns: Sequence[str]) -> Any:
    """INSERT that replaces *columns* of the row with the same *keys*."""
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: statement.excluded[name] for name in columns}
    )


def add_up(table: Table, keys: Sequence[str], columns: Sequence[str]) -> Any:
    """INSERT that adds *columns* to those of the row with the same *keys*."""
    statement = insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: table.c[name] + statement.excluded[name] for name in columns}
    )


class holds(FunctionElement[bool]):  # noqa: N801 reads as the function it is
    """Whether a column of bytes has a piece in it; LIKE does not look into bytes."""

    type = Boolean()
    name = "holds"
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], piece: bytes) -> None:
        super().__init__(column, literal(piece, LargeBinary))


@compiles(holds, "sqlite")
def _holds_sqlite(element: holds, compiler: Any, **kw: Any) -> str:
    return f"instr({compiler.process(element.clauses, **kw)}) > 0"


@compiles(holds, "postgresql")
def _holds_postgresql(element: holds, compiler: Any, **kw: Any) -> str:
    column, piece = element.clauses
    return f"position({compiler.process(piece, **kw)} in {compiler.process(column, **kw)}) > 0"


def serves_many(c: Connection) -> bool:
    """Whether others write at the same time; SQLite has one writer, and what it reads stays true until it commits."""
    return c.dialect.name != "sqlite"
