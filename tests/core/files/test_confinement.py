"""What a process that confined itself can no longer do, for each guard that holds on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.files import confinement

PROBE = """
import json, os, sys
sys.path[:] = {path!r}
from core.files import confinement
held = confinement.confine({reads!r}, programs={programs}, parent=os.getppid())

def outcome(work):
    try:
        return str(work())
    except OSError as error:
        return type(error).__name__

def network():
    import socket
    return bool(socket.socket())

def datagram():
    import socket
    return bool(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

def program():
    import subprocess
    return subprocess.run(["/usr/bin/env", "true"], capture_output=True).returncode

def thread():
    import threading
    one = threading.Thread(target=lambda: None)
    one.start()
    one.join()
    return "started"

def library():
    import PIL.Image, av, pypdf, pint
    return "loaded"

tries = dict(
    network=network, datagram=datagram, program=program, thread=thread, library=library,
    fork=lambda: os.fork() or os._exit(0),
    signal=lambda: os.kill(os.getppid(), 0),
    parent=lambda: open("/proc/%d/environ" % os.getppid(), "rb").read(9),
    secrets=lambda: open({secret!r}).read(),
    allowed=lambda: open({allowed!r}).read(),
    listing=lambda: os.listdir("/root" if os.getuid() == 0 else os.path.expanduser("~")),
    writing=lambda: open({secret!r} + ".new", "w"),
)
print(json.dumps(dict(held=held, **{{name: outcome(work) for name, work in tries.items()}})))
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "model.bin").write_text("weights")
    (tmp_path / ".env").write_text("SLACK_BOT_TOKEN=x")
    return tmp_path


def probe(house: Path, *, programs: bool = False) -> dict[str, Any]:
    code = PROBE.format(
        path=sys.path,
        reads=(str(house / "given"),),
        programs=programs,
        secret=str(house / ".env"),
        allowed=str(house / "given" / "model.bin"),
    )
    done = subprocess.run([sys.executable, "-E", "-c", code], capture_output=True, text=True, env={}, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_reader_of_files_reaches_nothing(house: Path) -> None:
    """No file but the libraries and what was named, no network, no program, no other process, where the kernel has it;
    threads and libraries still work."""
    found = probe(house)

    assert (found["thread"], found["library"], found["allowed"]) == ("started", "loaded", "weights")
    if "disk" in found["held"]:
        assert {found[name] for name in ("secrets", "parent", "listing", "writing")} == {"PermissionError"}
    if "programs" in found["held"]:
        refused = ("network", "datagram", "program", "fork", "signal")
        assert {found[name] for name in refused} == {"PermissionError"}
    assert set(found["held"]) <= set(confinement.GUARDS)


def test_reader_that_needs_a_program_gets_that_alone(house: Path) -> None:
    """The one that starts tesseract may start programs, and still has neither network nor files."""
    found = probe(house, programs=True)

    assert found["program"] == "0"
    if "programs" in found["held"]:
        assert (found["network"], found["signal"]) == ("PermissionError", "PermissionError")
    if "disk" in found["held"]:
        assert found["secrets"] == "PermissionError"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rlimits and prctl are Linux's here")
def test_it_is_bounded_and_goes_first(house: Path) -> None:
    """Memory, files and processes are limited, and the kernel ends it before anybody else when memory runs out."""
    assert {"memory", "files written", "open files", "processes", "killed first", "dies with the bot"} <= set(
        probe(house)["held"]
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a signal at the parent's death is Linux's")
def test_it_dies_with_the_bot() -> None:
    """Whoever is killed without a chance to tidy up leaves no reader behind."""
    reader = (
        f"import os, sys; sys.path[:] = {sys.path!r}; from core.files import confinement; "
        "confinement.confine((), programs=False, parent=os.getppid()); print(os.getpid(), flush=True); "
        "import time; time.sleep(600)"
    )
    bot = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {reader!r}]); child.wait()"
    parent = subprocess.Popen([sys.executable, "-c", bot], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert int(parent.stdout.readline())  # it runs

    parent.kill()

    assert parent.stdout.read() == ""  # the pipe ends when the last who holds it has: the reader
    parent.wait()
