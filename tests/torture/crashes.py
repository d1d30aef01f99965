"""kill -9 at random moments under load: real processes over one folder, again and again, until all is answered.

The house is tests/core/crash_house.py; the points between a platform's accepting a post and our hearing of it are
among those it can die at.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.core.crash_house import ANSWER, POINTS

KILLS_PER_FOLDER = 5
"""So many processes die over one database before one is let live."""

QUESTIONS = 12
"""In each folder, over two conversations: the inbox is never idle when the process dies."""


@dataclass(frozen=True, slots=True)
class CrashReport:
    kills: int
    messages: int
    points: Counter[str]
    broken: tuple[str, ...]
    took_s: float


class Template:
    """The process that forks houses; see crash_house.py."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.core.crash_house"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, folder: Path, *, die_at: str = "", slow_s: float = 0.01, wait: bool = True) -> int:
        assert self._process.stdin
        assert self._process.stdout
        order = {"folder": str(folder), "die_at": die_at, "slow_s": slow_s, "wait": wait}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        pid = json.loads(self._process.stdout.readline())["pid"]
        if wait:
            self._process.stdout.readline()
        return int(pid)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


@contextmanager
def template() -> Iterator[Template]:
    it = Template()
    try:
        yield it
    finally:
        it.close()


def run_crashes(seed: int, trials: int) -> CrashReport:
    """Kill *trials* processes; after each the database is checked, after the last of a folder everything."""
    began, random = time.monotonic(), Random(f"{seed}/crashes")
    points: Counter[str] = Counter()
    broken: list[str] = []
    messages = kills = 0
    with template() as houses:
        while kills < trials:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                texts = [f"question{number}@{random.choice(('root', 'other'))}" for number in range(QUESTIONS)]
                (folder / "messages").write_text("".join(f"{text}\n" for text in texts))
                for _ in range(min(KILLS_PER_FOLDER, trials - kills)):
                    points[_kill_one(houses, folder, random)] += 1
                    kills += 1
                    broken += [f"seed {seed}, kill {kills}: {line}" for line in _damage(folder)]
                for _ in range(4):  # a run whose process died holds its lease for a moment
                    houses.start(folder, slow_s=0.0)
                messages += len(texts)
                broken += [f"seed {seed}, kill {kills}: {line}" for line in _lost_or_doubled(folder, texts)]
    return CrashReport(kills, messages, points, tuple(broken), time.monotonic() - began)


def _kill_one(houses: Template, folder: Path, random: Random) -> str:
    """Let one process die, at a named point or at a random moment; returns where."""
    if random.random() < 0.5:
        point = random.choice(POINTS)
        pid = houses.start(folder, die_at=point, slow_s=random.choice((0.0, 0.005)), wait=False)
        _wait_for_death(pid, 4.0)
        return point
    pid = houses.start(folder, slow_s=random.choice((0.0, 0.005, 0.02)), wait=False)
    time.sleep(random.uniform(0.02, 0.8))
    _kill(pid)
    _wait_for_death(pid, 4.0)
    return "a random moment"


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
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _damage(folder: Path) -> list[str]:
    path = folder / "tern.db"
    if not path.exists():
        return []
    connection = sqlite3.connect(path, timeout=5)
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    finally:
        connection.close()
    return [] if verdict == "ok" else [f"the database is damaged: {verdict}"]


def _lost_or_doubled(folder: Path, texts: list[str]) -> list[str]:
    connection = sqlite3.connect(folder / "tern.db", timeout=5)
    try:
        states = dict(
            connection.execute(
                "SELECT message_id, state FROM runs JOIN messages ON messages.seq = message_seq ORDER BY runs.seq"
            ).fetchall()
        )
        known = {ref for (ref,) in connection.execute("SELECT ref FROM pages")}
    finally:
        connection.close()
    shown = {path.name: json.loads(path.read_text())["text"] for path in (folder / "platform").glob("[!.]*")}
    lines = []
    for text in texts:
        state = states.get(f"m-{text.split('@')[0]}", "never accepted")
        # A start that dies three times over is quarantined: with five kills a folder that is lawful.
        if state not in ("answered", "quarantined"):
            lines.append(f"{text} is {state}")
    answered = sum(state == "answered" for state in states.values())
    whole = sum(text == ANSWER for text in shown.values())
    if whole != answered:
        lines.append(f"{answered} were answered, {whole} whole answers stand on the platform")
    if len(shown) != len(texts):
        lines.append(f"{len(texts)} questions, {len(shown)} messages on the platform: {sorted(shown.values())}")
    if strangers := set(shown) - known:
        lines.append(f"{len(strangers)} messages on the platform belong to no reply")
    return lines
