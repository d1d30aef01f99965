"""Typed lines, one at a time, without blocking the loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO


class Lines(Protocol):
    async def next(self) -> str | None:
        """The next line without its end; None once there are no more."""
        ...

    def overhear(self, heard: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
        """While the block runs, tell what is typed although nobody asked (`/stop` during an answer)."""
        ...


class TypedLines:
    """A person at a keyboard: a prompt, editing and earlier lines on the arrow keys, where readline is there."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        import readline  # noqa: F401 - its import alone gives input() its editing

    async def next(self) -> str | None:
        # A thread of its own that ends with the process: input() cannot be interrupted, and one of the loop's pool
        # would keep the program alive until somebody presses Return.
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str | None] = loop.create_future()

        def deliver(line: str | None) -> None:
            if not answer.done():
                answer.set_result(line)

        def ask() -> None:
            try:
                line: str | None = input(self._prompt)
            except EOFError:
                line = None
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(deliver, line)

        threading.Thread(target=ask, name="prompt", daemon=True).start()
        return await answer

    @contextlib.contextmanager
    def overhear(self, heard: Callable[[str], None]) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        with _without_echo():
            loop.add_reader(sys.stdin, lambda: heard(sys.stdin.readline().rstrip("\n")))
            try:
                yield
            finally:
                loop.remove_reader(sys.stdin)


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """Keys that the terminal itself shows, ^C among them, would move the cursor away from the growing answer."""
    before = termios.tcgetattr(sys.stdin)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class PipedLines:
    """A file or another program: each line is a question; the end of the file ends the conversation."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def next(self) -> str | None:
        line = await asyncio.to_thread(self._stream.readline)
        return line.rstrip("\n") if line else None

    @contextlib.contextmanager
    def overhear(self, heard: Callable[[str], None]) -> Iterator[None]:
        yield
