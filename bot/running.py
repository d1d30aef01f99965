"""`python -m bot run`: the house open until a signal closes it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from bot.app import App, build
from bot.greeting import as_text, greeting
from bot.loading import Loaded

log: Any = structlog.get_logger(__name__)


def run(loaded: Loaded) -> int:
    """Open, serve, drain, close. Returns the exit status. Raises SettingsError when a part cannot be opened."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(loaded))
    return 0


async def _serve(loaded: Loaded) -> None:
    async with build(loaded.settings, loaded.config, registry=loaded.registry) as app:
        _greet(loaded, app)
        with _signals(app):
            await app.run()
    log.info("closed")


def _greet(loaded: Loaded, app: App) -> None:
    lines = greeting(loaded.settings, loaded.config, loaded.registry, page_url=app.url, now=app.clock.now())
    if loaded.settings.log_format == "json" or not sys.stderr.isatty():
        for line in lines:
            (log.info if line.state == "on" else log.warning)(line.text, part=line.part, state=line.state)
    else:
        print(as_text(our_version(), lines), file=sys.stderr)


class _signals:  # noqa: N801 - used like a function
    """SIGTERM and Ctrl-C drain, a second one cuts the drain short; SIGHUP reads tern.toml again."""

    def __init__(self, app: App) -> None:
        self._handlers: dict[int, Callable[[], None]] = {signal.SIGTERM: app.stop, signal.SIGINT: app.stop}
        if hasattr(signal, "SIGHUP"):
            self._handlers[signal.SIGHUP] = app.reload

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number, handler in self._handlers.items():
            loop.add_signal_handler(number, handler)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._handlers:
            loop.remove_signal_handler(number)


def our_version() -> str:
    try:
        return version("tern")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "(checkout)"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return None
