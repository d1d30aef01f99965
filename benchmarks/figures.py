"""Spreads, goals and tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """The same figure from several rounds."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.values)

    def over(self, other: Spread) -> Spread:
        """Round by round: rounds are interleaved, so that what disturbed one disturbed both."""
        return Spread(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True) if theirs))

    def text(self, digits: int = 1) -> str:
        if not self.values:
            return "-"
        low, high = min(self.values), max(self.values)
        if len(self.values) == 1 or low == high:
            return f"{self.middle:,.{digits}f}"
        return f"{self.middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* (0 to 1) of *values* do not exceed; nan for none."""
    if not values:
        return math.nan
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class Goal:
    """What the issue asks for, and what came out."""

    wanted: str
    measured: str
    met: bool | None
    """None: could not be measured here."""
    note: str = ""

    @property
    def verdict(self) -> str:
        return {True: "met", False: "**not met**", None: "not measured"}[self.met]


def at_most(wanted: str, value: float, limit: float, unit: str, note: str = "") -> Goal:
    return Goal(wanted, f"{value:,.2f} {unit}".strip(), None if math.isnan(value) else value <= limit, note)


def at_least(wanted: str, value: float, limit: float, unit: str, note: str = "") -> Goal:
    return Goal(wanted, f"{value:,.1f} {unit}".strip(), None if math.isnan(value) else value >= limit, note)


@dataclass(frozen=True, slots=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def markdown(self) -> str:
        lines = [f"{self.caption}\n"] if self.caption else []
        lines.append("| " + " | ".join(self.head) + " |")
        lines.append("|" + " --- |" * len(self.head))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Section:
    """One point of the report."""

    title: str
    how: str
    """What was done, in a few sentences: enough to doubt it."""
    tables: tuple[Table, ...] = ()
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def markdown(self) -> str:
        parts = [f"## {self.title}", self.how, *(table.markdown() for table in self.tables)]
        if self.goals:
            rows = tuple((goal.wanted, goal.measured, goal.verdict, goal.note) for goal in self.goals)
            parts.append(Table(("goal", "measured", "", "note"), rows).markdown())
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts)
