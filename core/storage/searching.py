"""Turns by their words, on both engines alike."""

from __future__ import annotations

from sqlalchemy import Connection, false
from sqlalchemy.sql import ColumnElement

from core.storage.postgres import searching as postgres
from core.storage.sqlite import dialect as sqlite


def matches(c: Connection, words: str) -> ColumnElement[bool]:
    """The turns that hold every one of *words*, in any order; the last one may be only a beginning. Case and marks
    above letters do not count."""
    wanted = words.replace("\x00", " ").split()
    if not wanted:
        return false()
    return sqlite.matches(wanted) if c.dialect.name == "sqlite" else postgres.matches(wanted)
