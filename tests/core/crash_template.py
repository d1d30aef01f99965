"""Starts the houses of crash_house.py, and looks at what they left: for tests that kill them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Template:
    """The process that forks houses."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.core.crash_house"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, folder: Path, *, die_at: str = "", slow_s: float = 0.01, wait: bool = True) -> int:
        """Start a house over *folder*; with *wait*, return when it has ended. Returns its pid."""
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


def shown(folder: Path) -> dict[str, str]:
    """What stands on the platform: message -> text."""
    return {path.name: json.loads(path.read_text())["text"] for path in (folder / "platform").glob("[!.]*")}


def damage(folder: Path) -> str:
    """What the database says of its own wholeness: "ok" where nothing is damaged."""
    [(verdict,)] = rows(folder, "PRAGMA integrity_check")
    return str(verdict)


def states(folder: Path) -> dict[str, str]:
    """Message id -> state of its newest run."""
    query = "SELECT message_id, state FROM runs JOIN messages ON messages.seq = message_seq ORDER BY runs.seq"
    return dict(rows(folder, query))


def rows(folder: Path, query: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(folder / "tern.db", timeout=5)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
