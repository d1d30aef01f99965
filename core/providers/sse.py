"""Server-sent events from bytes. No I/O.

By https://html.spec.whatwg.org/multipage/server-sent-events.html (read 2026-11-30).
Two things are taken more leniently than there: an event that the end of the stream cuts from its blank line counts, and
so do servers that send no blank lines at all, as long as each of their data lines is JSON of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from core.base.foreign import Malformed

MAX_EVENT_BYTES: Final = 4_000_000
"""Nothing sane sends a longer one; without a bound a broken server could fill the memory."""

DONE: Final = b"[DONE]"
STRAY: Final = b"stray"
"""The type of what was no event stream at all: everything that came."""

_BOM: Final = b"\xef\xbb\xbf"
_FIELD: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")


class SseReader:
    """Cuts what arrives into events; any split of the bytes gives the same ones.

    `take` gives whole lines, `events` reads them. A caller may read by himself what comes while it is `idle`.
    """

    __slots__ = (
        "_after_cr",
        "_begun",
        "_data",
        "_data_bytes",
        "_kept",
        "_name",
        "_rest",
        "_stray_bytes",
        "_strays",
        "heard",
    )

    def __init__(self) -> None:
        self.heard = False
        """Whether there was any event so far."""
        self._rest: list[bytes] = []
        """The pieces of a line without end so far."""
        self._kept = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = b""
        self._after_cr = False
        self._begun = False
        self._strays: list[bytes] = []
        """Lines that are no part of an event stream: a page of HTML, JSON over several lines."""
        self._stray_bytes = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is half read: no line, no line's end, no event."""
        return not (self._rest or self._after_cr or self._data or self._name)

    def take(self, data: bytes) -> bytes:
        """Return the whole lines that are there now, with newlines for all line ends. Raises Malformed."""
        if self._after_cr or b"\r" in data:
            data = self._unified(data)
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if not end:
            if rest:
                self._keep(rest)
            return b""
        block = data[:end] if rest else data
        if self._rest:
            block = b"".join((*self._rest, block))
            self._rest.clear()
            self._kept = 0
        if rest:
            self._keep(rest)
        if not self._begun:
            self._begun = True
            block = block.removeprefix(_BOM)
        return block

    def events(self, block: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Read whole lines; yields (type, data) of each event, DONE as soon as its line is there. Raises Malformed."""
        for line in block[:-1].split(b"\n"):  # without the last newline, or a blank line would seem to follow it
            if not line:
                yield from self._dispatched()
                self._name = b""
                continue
            name, colon, value = line.partition(b":")
            if name == b"data":
                value = value.removeprefix(b" ")
                if value.strip() == DONE:
                    yield from self._dispatched()
                    yield b"", DONE
                    continue
                if len(self._data) == 1 and _is_json(self._data[0]):
                    yield from self._dispatched()
                self._data.append(value)
                self._data_bytes = _bounded(self._data_bytes + len(value) + 1)
            elif name == b"event":
                self._name = value.strip()
            elif name and not (colon and _FIELD.fullmatch(name)):
                yield from self._stray(line)

    def close(self) -> Iterator[tuple[bytes, bytes]]:
        """The stream has ended: yields what was held back. Raises Malformed."""
        if self._rest:
            line = b"".join(self._rest)
            self._rest.clear()
            yield from self.events((line if self._begun else line.removeprefix(_BOM)) + b"\n")
        yield from self._dispatched()
        if self._strays and not self.heard:
            yield STRAY, b"\n".join(self._strays)

    def _dispatched(self) -> Iterator[tuple[bytes, bytes]]:
        if self._data:
            data, name = b"\n".join(self._data), self._name
            self._data.clear()
            self._data_bytes = 0
            self._name = b""
            if data.strip():
                self.heard = True
                yield name, data

    def _stray(self, line: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Some gateways answer bare JSON with status 200, in one line or in many."""
        if line.lstrip().startswith(b"{") and _is_json(line):
            self.heard = True
            yield b"", line
        elif not self.heard:
            self._stray_bytes = _bounded(self._stray_bytes + len(line) + 1)
            self._strays.append(line)

    def _keep(self, rest: bytes) -> None:
        self._kept = _bounded(self._kept + len(rest))
        self._rest.append(rest)

    def _unified(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _bounded(size: int) -> int:
    if size > MAX_EVENT_BYTES:
        raise Malformed(f"an event of more than {MAX_EVENT_BYTES:,} bytes")
    return size


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True
