"""The door to the terminal: what is not meant to be shown is made visible, so that nothing can steer the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.terminal.screen import Screen
from core.domain.errors import SurfaceGone

_STEERING = re.compile(
    # all of C0 but newline and tab, DEL, C1 (a terminal takes U+009B for ESC [), and what turns the direction of text
    "\r\n|[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)

_REFERENCE = re.compile(r"&#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}));")
"""Markdown's way to write a character by its number, which is taken for the character only after this door."""


def visible(text: str) -> str:
    """Return *text* with every control and direction mark as a mark that can be seen: ␛ for escape, ‹9B› for the rest.

    Line ends of other systems become newlines.
    """
    return _STEERING.sub(lambda found: _mark(found.group()), _REFERENCE.sub(_written_out, text))


def _written_out(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else int(found[2])
    return chr(code) if code <= sys.maxunicode and _STEERING.match(chr(code)) else found[0]


def _mark(char: str) -> str:
    code = ord(char[0])
    if char == "\r\n" or code in (0x2028, 0x2029):
        return "\n"
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's control pictures
    return "\u2421" if code == 0x7F else f"‹{code:02X}›"


class VisibleScreen:
    """A screen behind the door: whatever is shown on *inner* passes `visible`.

    A screen that fails, whatever the reason (its reader left, its encoding, a renderer's fault), raises SurfaceGone.
    """

    def __init__(self, inner: Screen) -> None:
        self._inner = inner
        self.lost: Exception | None = None
        """Why nothing can be shown any more."""

    def grow(self, text: str, status: str) -> None:
        with self._translated():
            self._inner.grow(visible(text), visible(status))

    def end(self, text: str, footer: str) -> None:
        with self._translated():
            self._inner.end(visible(text), visible(footer))

    def say(self, markdown: str) -> None:
        with self._translated():
            self._inner.say(visible(markdown))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.lost = error
            raise SurfaceGone(f"the terminal takes nothing more: {type(error).__name__}") from error
