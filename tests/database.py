"""A PostgreSQL server for tests: Debian's own, in a temporary folder, on a Unix socket, gone with the session.

A folder for tests holds either an empty SQLite database or the address of an empty PostgreSQL one; `url_in` says which.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

_ADDRESS = "DATABASE_URL"
_TEMPLATE = "tern_template"
_numbers = count(1)


def binaries() -> Path | None:
    """Debian keeps them off the PATH, one folder per version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path else None


def url_in(folder: Path) -> str:
    """DATABASE_URL for a test's data folder: "" for its own SQLite file."""
    address = folder / _ADDRESS
    return address.read_text() if address.exists() else ""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `psql` speaks to it as its superuser."""

    bin: Path
    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql://tern@/{database}?host={self.folder}"

    def psql(self, *statements: str) -> None:
        commands = [part for statement in statements for part in ("-c", statement)]
        at = ("-h", str(self.folder), "-U", "tern", "-d", "postgres")
        subprocess.run([self.bin / "psql", "-q", *at, *commands], check=True, capture_output=True)

    @contextmanager
    def database(self, folder: Path, template: str = _TEMPLATE) -> Iterator[str]:
        """A database of one test's own, named in *folder*; yields its address."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
        (folder / _ADDRESS).write_text(self.url(name))
        try:
            yield self.url(name)
        finally:
            self.psql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server for nobody else; it ends with the block. Skips where PostgreSQL is not installed."""
    found = binaries()
    assert found
    # Not in pytest's folder: the server's own user must be able to reach it, and a socket's path may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="tern-pg-") as name:
        folder = Path(name)
        as_user = _unprivileged(folder)
        data = folder / "data"
        make = [found / "initdb", "-D", data, "-A", "trust", "-U", "tern", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        subprocess.run(make, check=True, capture_output=True, **as_user)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        options += ["-c", "max_connections=200", "-c", "log_min_messages=panic"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([found / "postgres", "-D", data, *options], stdout=log, stderr=log, **as_user)
        try:
            ready = [found / "pg_isready", "-q", "-h", folder, "-U", "tern", "-d", "postgres"]
            while subprocess.run(ready, check=False).returncode:
                assert process.poll() is None, (folder / "log").read_text()
            yield Server(found, folder)
        finally:
            process.send_signal(2)  # fast shutdown: no waiting for sessions
            process.wait(30)


def _unprivileged(folder: Path) -> dict[str, str]:
    """The server refuses root; Debian's package brings a user for it."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, "postgres", "postgres")
    return {"user": "postgres", "group": "postgres"}
