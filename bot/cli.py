"""`python -m bot [run | chat | batch | extract | doctor | models | keys | backup | restore | local-model]`.

Every command imports what it needs when it is asked for: `local-model` must not pay for a web server, nor `--help` for
anything.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot import VERSION
from bot.local.absent import absent
from core.domain.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from bot.config.loading import Loaded

WINDOWS = "Run it in WSL (https://learn.microsoft.com/windows/wsl/install), in a container, or on Linux or macOS"
"""It needs signals of POSIX, and the limits that hold the process which reads other people's files."""

WRONG_USE = 2
"""What argparse exits with; wrong settings are a wrong use as well."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status; problems that a person can mend are sentences on standard error."""
    if sys.platform == "win32":
        _complain("Tern does not run on Windows itself.", [WINDOWS])
        return WRONG_USE
    # What is written here are people's messages and keys: nobody else on this machine reads them.
    os.umask(0o077)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal's encoding cannot carry is a "?", not a traceback
    arguments = _parser().parse_args(argv)
    command = _COMMANDS[arguments.command or "run"]
    try:
        return command(arguments)
    except SettingsError as error:
        title = "Tern cannot start. Please mend:" if command is _run else "That does not work yet. Please mend:"
        _complain(title, error.problems)
        return WRONG_USE
    except StorageError as error:
        _complain("Tern cannot use its database:", [str(error)])
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot", description="Tern answers people where they already talk.")
    parser.add_argument("--version", action="version", version=f"Tern {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="start the bot (the default)")
    chat = commands.add_parser("chat", help="talk to it here, in the terminal")
    chat.add_argument("--model", default="", help="auto, speed, quality or a model id")
    chat.add_argument("--new", action="store_true", help="begin a new conversation instead of going on with the last")
    doctor = commands.add_parser("doctor", help="check keys, models, platforms, database and disk, and say what to do")
    doctor.add_argument("--json", action="store_true", help="findings as JSON")
    doctor.add_argument("--send", default="", metavar="slack:C123", help="post a test message there and take it back")
    commands.add_parser("models", help="list the models and what they can do")
    batch = commands.add_parser("batch", help="answer a file of prompts, line by line, going on where it stopped")
    batch.add_argument("source", type=Path, metavar="PROMPTS", help="JSON Lines, OpenAI's batch form, plain text")
    batch.add_argument("-o", "--output", type=Path, required=True, metavar="ANSWERS", help="JSON Lines; added to")
    batch.add_argument("--model", default="auto", help="for lines that name none: auto, speed, quality or a model id")
    batch.add_argument("--dry-run", action="store_true", help="only say what it would take and cost")
    batch.add_argument(
        "--provider-batch", action="store_true", help="hand it to Groq's Batch API: half the price, within a day"
    )
    extract = commands.add_parser("extract", help="turn files into data that follows a schema, as JSON Lines")
    extract.add_argument(
        "--schema", required=True, help='a file with a JSON Schema, a name in tern.toml, or "name, price:number"'
    )
    extract.add_argument("--model", default="auto", help="auto, speed, quality or a model id")
    extract.add_argument("--rows", action="store_true", help="many objects a file, one line each")
    extract.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="text, PDF, DOCX, HTML; without: standard input"
    )
    keys = commands.add_parser("keys", help="list, make and revoke API keys that have a name")
    orders = keys.add_subparsers(dest="order", metavar="ORDER")
    add = orders.add_parser("add", help="make a key and print it, once; one of the same name is replaced")
    add.add_argument("name", metavar="NAME")
    for limit, kind in (
        ("requests-per-minute", int),
        ("tokens-per-minute", int),
        ("tokens-per-day", int),
        ("cost-per-day-usd", float),
    ):
        add.add_argument(f"--{limit}", type=kind, metavar="N", help="of this key; 0: none; without: as for everybody")
    revoke = orders.add_parser("revoke", help="end a key; its holder's conversations stay")
    revoke.add_argument("name", metavar="NAME")
    backup = commands.add_parser("backup", help="copy the database to PATH, also while the bot runs")
    backup.add_argument("path", type=Path, metavar="PATH")
    restore = commands.add_parser("restore", help="put the copy at PATH in the database's place")
    restore.add_argument("path", type=Path, metavar="PATH")
    commands.add_parser("local-model", help="serve the local model to a parent process; the bot starts this by itself")
    return parser


def _run(_: argparse.Namespace) -> int:
    with absent("rich"):  # structlog takes it in, and Pygments and attrs with it, for tracebacks that are not ours
        import structlog  # noqa: F401

    from bot.commands.running import run

    return run(_load())


def _chat(arguments: argparse.Namespace) -> int:
    from bot.commands.chatting import chat

    return chat(_load(quiet=True), requested_model=arguments.model, begin_new=arguments.new)


def _doctor(arguments: argparse.Namespace) -> int:
    from bot.commands.checkup import checkup

    return checkup(_load(quiet=True), send_to=arguments.send, as_json=arguments.json)


def _models(_: argparse.Namespace) -> int:
    from bot.commands.tables import models_table

    print(models_table(_load().registry))
    return 0


def _batch(arguments: argparse.Namespace) -> int:
    from bot.commands.batching import batch

    return batch(
        _load(quiet=True),
        arguments.source,
        arguments.output,
        model=arguments.model,
        dry_run=arguments.dry_run,
        provider_batch=arguments.provider_batch,
    )


def _extract(arguments: argparse.Namespace) -> int:
    from bot.commands.extracting import extract

    return extract(_load(quiet=True), arguments.schema, arguments.files, model=arguments.model, rows=arguments.rows)


def _keys(arguments: argparse.Namespace) -> int:
    from bot.commands import keys

    settings = _load(quiet=True).settings
    match arguments.order:
        case "add":
            return keys.add_key(settings, arguments.name, {limit: getattr(arguments, limit) for limit in keys.LIMITS})
        case "revoke":
            return keys.revoke_key(settings, arguments.name)
    return keys.list_keys(settings)


def _backup(arguments: argparse.Namespace) -> int:
    from core.storage import back_up
    from core.storage.opening import database_path
    from core.storage.store import BLOBS

    settings = _load().settings
    path = database_path(settings.database_url, settings.data_dir)
    back_up(path, settings.data_dir / BLOBS, arguments.path)
    print(f"Copied {path} and its files to {arguments.path}.")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from core.storage.store import restore

    settings = _load().settings
    path = restore(arguments.path, settings.database_url, settings.data_dir)
    print(f"Put {arguments.path} in place of {path}.")
    return 0


def _local_model(_: argparse.Namespace) -> int:
    from bot.local import server as local_server

    return local_server.main()


def _load(*, quiet: bool = False) -> Loaded:
    """Settings, config and registry of this process, with its logs set up. Raises SettingsError.

    *quiet*: only warnings are logged, where a person reads other things on the screen.
    """
    from bot.config.loading import load
    from bot.config.settings import environment, near_misses
    from bot.logs import configure

    environ = environment()
    loaded = load(environ)
    settings = loaded.settings
    level = "error" if quiet and settings.log_level in ("info", "warning") else settings.log_level
    configure(level, settings.log_format, settings.secrets())
    for hint in near_misses(environ):
        print(hint, file=sys.stderr)
    return loaded


def _complain(title: str, problems: Sequence[str]) -> None:
    print(title, *(f"  - {problem}" for problem in problems), sep="\n", file=sys.stderr)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "chat": _chat,
    "doctor": _doctor,
    "models": _models,
    "batch": _batch,
    "extract": _extract,
    "keys": _keys,
    "backup": _backup,
    "restore": _restore,
    "local-model": _local_model,
}
