"""One answer on the terminal: absolute text in, a growing screen out."""

from __future__ import annotations

from collections.abc import Callable

from adapters.terminal.screen import Screen
from core.ports import Shown, SurfaceLimits

MIN_INTERVAL_S = 1 / 15


class TerminalSurface:
    """A surface without a platform behind it: nothing is limited, nothing is lost, nothing can fail."""

    def __init__(self, screen: Screen, on_end: Callable[[str], None]) -> None:
        """
        Args:
            on_end: Told the answer's text once it stands.
        """
        self._screen = screen
        self._on_end = on_end
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
        self._screen.say(comment or name)
        return name

    async def busy(self, on: bool) -> None:
        if on and not self._text and not self._ended:
            self._screen.grow("", "")

    async def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._screen.end(self._text, "")
        self._on_end(self._text)
