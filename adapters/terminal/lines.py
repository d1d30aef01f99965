"""Typed lines, one at a time, without blocking the loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
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
        with contextlib.suppress(ImportError):  # its import alone gives input() its editing; Windows has none
            import readline  # noqa: F401

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
        try:
            loop.add_reader(sys.stdin, lambda: heard(sys.stdin.readline().rstrip("\n")))
        except (NotImplementedError, OSError, ValueError):  # no such thing on Windows; then Ctrl-C is the only stop
            yield
            return
        try:
            yield
        finally:
            loop.remove_reader(sys.stdin)


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
