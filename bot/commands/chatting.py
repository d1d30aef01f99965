"""`python -m bot chat`: the same house with a terminal in place of the page, Slack and Discord.

It may run beside the bot: both share one database, and each answers only what was asked of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import termios
from collections.abc import Iterator
from secrets import token_hex

from rich.console import Console

from adapters.terminal.adapter import TerminalAdapter
from adapters.terminal.lines import Lines, PipedLines, TypedLines
from adapters.terminal.screen import PlainScreen, RichScreen, Screen
from bot.app import App, build
from bot.config.loading import Loaded
from bot.startup_report import page_banner
from core.base.clock import SystemClock
from core.domain.errors import SettingsError, UnknownModel
from core.storage import Storage


def chat(loaded: Loaded, *, requested_model: str, begin_new: bool) -> int:
    """Talk until the person leaves. Returns the exit status."""
    if requested_model:
        try:
            loaded.registry.resolve(requested_model)
        except UnknownModel as error:
            raise SettingsError([f"--model: {error}"]) from error
    with _terminal_as_before():
        lost = asyncio.run(_chat(loaded, requested_model, begin_new))
    if lost is not None and not isinstance(lost, BrokenPipeError):
        print(f"The terminal took nothing more ({type(lost).__name__}), so the conversation ended.", file=sys.stderr)
    return 0 if lost is None else 1


async def _chat(loaded: Loaded, requested_model: str, begin_new: bool) -> Exception | None:
    """Returns why nothing could be shown any more, where that ended it."""
    screen, lines = _means()
    clock = SystemClock()

    def terminal(storage: Storage) -> TerminalAdapter:
        return TerminalAdapter(
            screen=screen,
            lines=lines,
            clock=clock,
            conversations=storage.conversations,
            new_id=lambda: token_hex(8),
            requested_model=requested_model,
            begin_new=begin_new,
            blobs=storage.blobs,
        )

    async with build(loaded.settings, loaded.config, registry=loaded.registry, clock=clock, instead=terminal) as app:
        if banner := page_banner(loaded.settings):
            screen.say(banner)
        if sys.stdin.isatty():
            screen.say("Enter sends, /help lists what else there is, Ctrl-D leaves.")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_watch_ctrl_c(app))
            await app.run(until="terminal")
            watching.cancel()
        adapter = app.adapters["terminal"]
        return adapter.lost if isinstance(adapter, TerminalAdapter) else None


def _means() -> tuple[Screen, Lines]:
    """A drawn screen where standard output is a terminal, plain text where it is not; likewise for input."""
    screen: Screen = RichScreen(Console()) if sys.stdout.isatty() else PlainScreen(sys.stdout)
    prompt = "› " if sys.stdout.isatty() else ""
    return screen, TypedLines(prompt) if sys.stdin.isatty() else PipedLines(sys.stdin)


async def _watch_ctrl_c(app: App) -> None:
    """Ctrl-C stops the answer that is being written; where there is none, it says how to leave. Twice leaves."""
    adapter = app.adapters["terminal"]
    pressed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, pressed.set)
    loop.add_signal_handler(signal.SIGTERM, app.stop)
    in_a_row = 0
    try:
        while in_a_row < 2:
            await pressed.wait()
            pressed.clear()
            stopped = isinstance(adapter, TerminalAdapter) and await adapter.interrupt(app.inbox)
            in_a_row = 0 if stopped else in_a_row + 1
            if in_a_row == 1:
                print("\n(Ctrl-C again, Ctrl-D or /quit to leave)")
        app.stop()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def _terminal_as_before() -> Iterator[None]:
    """Leaving while the prompt's thread still edits a line would keep the terminal as readline needs it."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
