"""kill -9 at random moments under load: real processes over one folder, again and again, until all is answered.

The house is tests/core/crash_house.py; the points between a platform's accepting a post and our hearing of it are
among those it can die at. Some processes die while a second one takes over from a first that drains, and in some
folders a message kills whoever answers it.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from core import wording
from tests.core.crash_house import ANSWER, POINTS
from tests.core.crash_template import Template, damage, rows, shown, states, template

KILLS_PER_FOLDER = 5
"""So many processes die over one database before one is let live: fewer than a sentence of farewell is tried."""

QUESTIONS = 12
"""In each folder, over two conversations: the inbox is never idle when the process dies."""

POISON = "poison"
"""The question that takes the process down: in every third folder."""

RECOVERIES = 10
"""Starts within which everything must have ended: a message that kills takes three of them along."""

_ENDS_WITHIN_S = 8.0


@dataclass(frozen=True, slots=True)
class CrashReport:
    kills: int
    messages: int
    points: Counter[str]
    ends: Counter[str]
    broken: tuple[str, ...]
    took_s: float


def run_crashes(seed: int, trials: int) -> CrashReport:
    """Kill *trials* processes; after each the database is checked, after the last of a folder everything."""
    began, random = time.monotonic(), Random(f"{seed}/crashes")
    points: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    broken: list[str] = []
    messages = kills = 0
    with template() as houses:
        while kills < trials:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                texts = [f"question{number}@{random.choice(('root', 'other'))}" for number in range(QUESTIONS)]
                if kills // KILLS_PER_FOLDER % 3 == 2:
                    texts.insert(random.randrange(QUESTIONS), f"{POISON}@root")
                (folder / "messages").write_text("".join(f"{text}\n" for text in texts))
                for _ in range(min(KILLS_PER_FOLDER, trials - kills)):
                    points[_kill_one(houses, folder, random)] += 1
                    kills += 1
                    if (folder / "tern.db").exists() and (verdict := damage(folder)) != "ok":
                        broken.append(f"seed {seed}, kill {kills}: the database is damaged: {verdict}")
                _recover(houses, folder)
                messages += len(texts)
                ends.update(states(folder).values())
                broken += [f"seed {seed}, kill {kills}: {line}" for line in _lost_or_doubled(folder, texts)]
    return CrashReport(kills, messages, points, ends, tuple(broken), time.monotonic() - began)


def _kill_one(houses: Template, folder: Path, random: Random) -> str:
    """Let one process die, at a named point, at a random moment or beside another; returns where."""
    slow_s = random.choice((0.0, 0.005, 0.02))
    drawn = random.random()
    if drawn < 0.5:
        point = random.choice(POINTS)
        _wait_for_death(houses.start(folder, die_at=point, slow_s=slow_s, wait=False), 4.0)
        return point
    first = houses.start(folder, slow_s=slow_s, wait=False)
    time.sleep(random.uniform(0.02, 0.8))
    if drawn < 0.85:
        _kill(first)
        _wait_for_death(first, 4.0)
        return "a random moment"
    _signal(first, signal.SIGTERM)
    second = houses.start(folder, slow_s=slow_s, wait=False)
    time.sleep(random.uniform(0.02, 0.3))
    dies, lives, name = random.choice(((first, second, "draining"), (second, first, "taking over")))
    _kill(dies)
    _wait_for_death(dies, 4.0)
    _wait_for_death(lives, _ENDS_WITHIN_S)
    return name


def _recover(houses: Template, folder: Path) -> None:
    """Start houses until everything has ended. A run whose process died holds its lease for a moment."""
    for _ in range(RECOVERIES):
        houses.start(folder, slow_s=0.0)
        if not set(states(folder).values()) & {"accepted", "running", "waiting"}:
            return


def _wait_for_death(pid: int, within_s: float) -> None:
    """Houses are children of the template, which does not wait for these: a zombie is dead enough."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    _kill(pid)
    time.sleep(0.05)


def _kill(pid: int) -> None:
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, what: signal.Signals) -> None:
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return


def _lost_or_doubled(folder: Path, texts: list[str]) -> list[str]:
    ended, stand = states(folder), shown(folder)
    lines = []
    for text in texts:
        question = text.split("@")[0]
        state = ended.get(f"m-{question}", "never accepted")
        # A start that dies three times over is quarantined: with five kills a folder that is lawful.
        lawful = {"quarantined"} if question == POISON else {"answered", "quarantined"}
        if state not in lawful:
            lines.append(f"{text} is {state}")
    counts = Counter(ended.values())
    if (whole := sum(text == ANSWER for text in stand.values())) != counts["answered"]:
        lines.append(f"{counts['answered']} were answered, {whole} whole answers stand on the platform")
    if (said := sum(text == wording.QUARANTINED for text in stand.values())) != counts["quarantined"]:
        lines.append(f"{counts['quarantined']} were quarantined, {said} sentences say so")
    if len(stand) != len(texts):
        lines.append(f"{len(texts)} questions, {len(stand)} messages on the platform: {sorted(stand.values())}")
    if strangers := set(stand) - {ref for (ref,) in rows(folder, "SELECT ref FROM pages")}:
        lines.append(f"{len(strangers)} messages on the platform belong to no reply")
    return lines
