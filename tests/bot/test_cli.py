"""The commands as a person types them: what they print, and how they end."""

from __future__ import annotations

import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from bot.cli import main
from bot.config.settings import NAMES

ROOT = Path(__file__).parent.parent.parent

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run one command in an empty folder: `command("doctor", PORT="1")` -> (status, output, errors)."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    root = logging.getLogger()
    before = root.handlers[:], root.level
    mask = os.umask(0o022)
    yield run
    os.umask(mask)
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.mark.parametrize("arguments", [("models",), ("doctor",), ("batch", "none", "-o", "none", "--dry-run")])
def test_what_a_command_writes_is_its_owners_alone(
    command: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Databases, answers and backups hold people's messages; the usual mask would let every user of a machine read."""
    command(*arguments, LOCAL_MODEL="off")

    (tmp_path / "written").touch()

    assert oct((tmp_path / "written").stat().st_mode & 0o777) == "0o600"


def test_wrong_settings_are_named_at_once(command: Command, tmp_path: Path) -> None:
    """Environment and tern.toml: one message with everything, no traceback, exit status 2."""
    (tmp_path / "tern.toml").write_text("[limits]\nrequests = 1\n")

    status, _, err = command("run", PORT="x", SLACK_BOT_TOKEN="xapp-1")

    assert status == 2
    assert [line[:20] for line in err.splitlines()] == [
        "Tern cannot start. P",
        "  - SLACK_BOT_TOKEN ",
        "  - PORT must be a n",
        "  - tern.toml: limit",
    ]


def test_misspelt_variable_is_hinted_at(command: Command) -> None:
    """A variable that is nearly one of ours is pointed out."""
    _, _, err = command("models", DISCORD_TOKEN="x")

    assert "did you mean DISCORD_BOT_TOKEN?" in err


def test_models_lists_every_model(command: Command) -> None:
    """One line for each model, with its provider and prices."""
    status, out, _ = command("models")

    assert status == 0
    assert re.search(r"^openai/gpt-oss-20b +groq +speed +131,072 +0\.075 +0\.3", out, re.MULTILINE)


def test_doctor_without_anything_is_content(command: Command) -> None:
    """With nothing set the doctor only says where a key is to be had."""
    status, out, _ = command("doctor", LOCAL_MODEL="off")

    assert status == 0
    assert "console.groq.com/keys" in out
    assert out.endswith("0 to mend, 1 to know.\n")


def test_doctor_names_an_unreachable_provider(command: Command) -> None:
    """A provider that cannot be reached is something to mend, and the exit status says so."""
    status, out, _ = command("doctor", GROQ_API_KEY="gsk_x", GROQ_BASE_URL="http://127.0.0.1:9", LOCAL_MODEL="off")

    assert status == 1
    assert "BAD   groq: cannot be reached" in out


def test_backup_and_restore_bring_a_database_back(command: Command, tmp_path: Path) -> None:
    """What was backed up stands again after restore."""
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data" / "tern.db") as connection:
        connection.execute("CREATE TABLE told (words)")
        connection.execute("INSERT INTO told VALUES ('kept')")
    connection.close()

    saved, _, _ = command("backup", "copy")
    (tmp_path / "data" / "tern.db").unlink()
    restored, _, _ = command("restore", "copy")

    assert (saved, restored) == (0, 0)
    rows = sqlite3.connect(tmp_path / "data" / "tern.db").execute("SELECT words FROM told").fetchall()
    assert rows == [("kept",)]


def test_backup_of_nothing_is_a_sentence(command: Command) -> None:
    """Without a database there is nothing to copy, and that is said."""
    status, _, err = command("backup", "copy")

    assert status == 1
    assert "there is no database" in err


def test_chat_with_an_unknown_model_lists_the_known(command: Command) -> None:
    """`chat --model nope` says which models there are before anything is opened."""
    status, _, err = command("chat", "--model", "nope", LOCAL_MODEL="off")

    assert status == 2
    assert "openai/gpt-oss-20b" in err


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `python -m bot ...` for real, in an empty folder and a bare environment."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
        bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": "0", "LOCAL_MODEL": "off"}
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", *arguments],
            cwd=tmp_path,
            env=bare | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


def test_run_opens_and_closes_on_sigterm(process: Callable[..., subprocess.Popen[str]]) -> None:
    """Without arguments the bot starts, says where its page is, and ends cleanly on SIGTERM."""
    bot = process(LOG_FORMAT="console")
    assert bot.stderr is not None
    first = bot.stderr.readline()

    bot.send_signal(signal.SIGTERM)
    _, rest = bot.communicate(timeout=30)

    assert re.search(r"http://127\.0\.0\.1:\d+", first)
    assert bot.returncode == 0
    assert "Traceback" not in rest
    assert rest.rstrip().splitlines()[-1].endswith("closed [bot.commands.running]")


def test_chat_answers_a_pipe(process: Callable[..., subprocess.Popen[str]]) -> None:
    """Orders piped in are carried out one after the other, and the end of the pipe is the end."""
    chat = process("chat")

    out, err = chat.communicate("/model\n/quit\n", timeout=60)

    assert chat.returncode == 0, err
    assert "quality" in out


def test_keys_are_made_shown_once_and_revoked(command: Command) -> None:
    """A new key is printed alone, so that it can be piped; the list has its name and limits, and never the key."""
    status, secret, _ = command("keys", "add", "ann", "--requests-per-minute", "100", "--tokens-per-day", "0")
    assert (status, len(secret.split())) == (0, 1)

    _, listed, _ = command("keys")
    assert listed.splitlines()[1].split()[0] == "ann"
    assert listed.splitlines()[1].split()[2:] == ["100", "-", "none", "-"]
    assert secret.strip() not in listed

    assert command("keys", "revoke", "ann")[0] == 0
    assert command("keys", "revoke", "ann")[0] == 1
    assert "no key with a name" in command("keys")[1]


@pytest.mark.parametrize("name", ["", "Ann", "a b", "x" * 41, "../ann", "-", "ä"])
def test_a_keys_name_is_plain(command: Command, name: str) -> None:
    """It stands in logs and tables."""
    status, _, err = command("keys", "add", "--", name)

    assert status == 2
    assert "NAME" in err


@pytest.mark.parametrize("arguments", [("run",), ("chat",), ("models",), ()])
def test_windows_is_answered_with_a_sentence(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """In place of an AttributeError for a signal that is not there: what to use instead."""
    monkeypatch.setattr(sys, "platform", "win32")

    status, _, err = command(*arguments)

    assert status == 2
    assert "WSL" in err
