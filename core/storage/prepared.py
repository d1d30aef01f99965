"""Statements of the hot path: written in SQLAlchemy Core, compiled once, run on the driver's own cursor.

Core's execution costs about 75 microseconds a statement (parameters, context, result objects), several times what
SQLite needs for it, and accepting a message takes six. What is prepared here keeps Core's schema and dialects and
leaves that out. Column types that need converting on the way in or out do not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam
from sqlalchemy.sql import ClauseElement


class Prepared:
    """One statement whose parameters are all named `bindparam`s."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._sql = ""
        self._names: Sequence[str] | None = None
        self._fixed: dict[str, Any] = {}

    def row(self, c: Connection, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Run it and return the first row, None where there is none."""
        cursor = self._run(c, values)
        try:
            found: tuple[Any, ...] | None = cursor.fetchone()
        finally:
            cursor.close()
        return found

    def rows(self, c: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it and return all rows."""
        found: list[tuple[Any, ...]] = self._run(c, values).fetchall()
        return found

    def value(self, c: Connection, values: Mapping[str, Any]) -> Any:
        """Run it and return the first row's first column. There must be a row."""
        found = self.row(c, values)
        if found is None:
            raise LookupError("the statement returned no row")
        return found[0]

    def count(self, c: Connection, values: Mapping[str, Any]) -> int:
        """Run it and return how many rows it changed."""
        cursor = self._run(c, values)
        try:
            changed: int = cursor.rowcount
        finally:
            cursor.close()
        return changed

    def _run(self, c: Connection, values: Mapping[str, Any]) -> Any:
        if not self._sql:
            self._compile(c)
        given = {**self._fixed, **values} if self._fixed else values
        driver: Any = c.connection.driver_connection
        return driver.execute(self._sql, given if self._names is None else [given[name] for name in self._names])

    def _compile(self, c: Connection) -> None:
        compiled: Any = self._statement.compile(dialect=c.dialect)
        self._names = compiled.positiontup if compiled.positional else None
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._sql = str(compiled)


def columns(*names: str) -> dict[str, Any]:
    """A parameter for each column of an INSERT, under the column's own name."""
    return {name: bindparam(name) for name in names}
