"""Statements that several stores make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.sqlite import insert


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
