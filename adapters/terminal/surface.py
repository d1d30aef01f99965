"""One answer on the terminal: absolute text in, a growing screen out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from adapters.terminal.files import written
from adapters.terminal.screen import Screen
from core.domain.errors import SurfaceGone, SurfaceRejected
from core.ports.platform import Shown, SurfaceLimits

MIN_INTERVAL_S = 1 / 15


class TerminalSurface:
    """A surface without a platform behind it: nothing is limited or lost, and only a file's folder can refuse it."""

    def __init__(self, screen: Screen, on_end: Callable[[str], None], folder: Path = Path()) -> None:
        """
        Args:
            on_end: Told the answer's text once it stands.
            folder: Where the answer's files are written.
        """
        self._screen = screen
        self._on_end = on_end
        self._folder = folder
        self._text = ""
        self._ended = False
        self._limits = SurfaceLimits(max_chars=10**9, min_interval_s=MIN_INTERVAL_S)

    @property
    def limits(self) -> SurfaceLimits:
        return self._limits

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        await self.edit(nonce, page, shown)
        return nonce

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        if self._ended:
            return
        if shown.final:
            self._ended = True
            self._text = shown.text
            self._screen.end(shown.text, shown.footer)
            return
        # What only closes an open fence would have to be taken back with the next words.
        self._text = shown.text[: len(shown.text) - shown.closing_chars]
        self._screen.grow(self._text, shown.status)

    async def remove(self, ref: str, page: int) -> None:
        return

    async def find(self, page: int, nonce: str) -> str | None:
        return None

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        try:
            path = await asyncio.to_thread(written, self._folder, name, content)
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._screen.say(f"`{name}` could not be written to `{self._folder.resolve()}`: {why}.")
            raise SurfaceRejected(f"{name} could not be written") from error
        self._screen.say(f"{comment} Written to `{path}`.".strip())
        return str(path)

    async def busy(self, on: bool) -> None:
        if on and not self._text and not self._ended:
            self._screen.grow("", "")

    async def close(self) -> None:
        try:
            if not self._ended:
                self._ended = True
                self._screen.end(self._text, "")
        except SurfaceGone:
            pass  # nobody sees that it ends
        finally:
            self._on_end(self._text)
