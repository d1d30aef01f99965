"""Statements of the hot path: written in SQLAlchemy Core, compiled once, run on the driver's own cursor.

Core's execution costs about 75 microseconds a statement (parameters, context, result objects), several times what
SQLite needs for it, and accepting a message takes six. What is prepared here keeps Core's schema and dialects and
leaves that out. Column types that need converting on the way in or out do not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam
from sqlalchemy.sql import ClauseElement


@dataclass(frozen=True, slots=True)
class _Form:
    """A statement as one dialect spells it."""

    sql: str
    names: Sequence[str] | None
    """The parameters in order; None where the driver takes them by name."""
    fixed: Mapping[str, Any]


class Prepared:
    """One statement whose parameters are all named `bindparam`s."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}
        """By dialect."""

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
        form = self._forms.get(c.dialect.name) or self._compile(c)
        given = {**form.fixed, **values} if form.fixed else values
        parameters: Any = given if form.names is None else [given[name] for name in form.names]
        if c.dialect.name == "sqlite":
            driver: Any = c.connection.driver_connection
            return driver.execute(form.sql, parameters)
        cursor: Any = c.connection.cursor()
        cursor.execute(form.sql, parameters)
        return cursor

    def _compile(self, c: Connection) -> _Form:
        compiled: Any = self._statement.compile(dialect=c.dialect)
        form = self._forms[c.dialect.name] = _Form(
            str(compiled),
            compiled.positiontup if compiled.positional else None,
            {name: value for name, value in compiled.params.items() if value is not None},
        )
        return form


def columns(*names: str) -> dict[str, Any]:
    """A parameter for each column of an INSERT, under the column's own name."""
    return {name: bindparam(name) for name in names}
