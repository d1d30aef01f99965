"""An HTTP/1.1 answer, from bytes to head and body. No I/O: hand bytes in, take the body out."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

MAX_HEAD_BYTES: Final = 65_536
"""Of a status line with its headers, or of a line between two chunks."""

_STATUS: Final = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: .*)?")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")


class Malformed(ConnectionError):
    """What came is no HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers. Names are as they came."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    keeps_alive: bool
    """Whether another request may follow on this connection."""

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header, *name* in lower case; lists are taken apart, their items in lower case."""
        found = [value for key, value in self.headers if key.lower() == name]
        return [item.strip().lower() for value in found for item in value.split(b",")]


class AnswerReader:
    """Reads one answer to one request.

    Promises: any split of the bytes gives the same body; nothing after the answer's end is taken for a part of it.
    Raises Malformed.
    """

    __slots__ = (
        "_between",
        "_chunked",
        "_inflate",
        "_left",
        "_method",
        "_pending",
        "_trailers",
        "done",
        "head",
        "surplus",
    )

    def __init__(self, method: str) -> None:
        self.head: Head | None = None
        """None until it is complete; answers that are none yet (1xx) are skipped."""
        self.done = False
        self.surplus = False
        """Something came after the end: what follows on this connection cannot be trusted."""
        self._method = method
        self._pending = b""
        self._chunked = False
        self._left: int | None = 0
        """Bytes still to come of the body, or of its present chunk; None: until the connection is closed."""
        self._between = False
        """The line end that belongs to the chunk before is still to come."""
        self._trailers = False
        self._inflate: zlib._Decompress | None = None

    def feed(self, data: bytes) -> bytes:
        """Take what one read of the socket gave; return the part of the body in it."""
        if self._pending:
            data, self._pending = self._pending + data, b""
        if self.head is None:
            data = self._read_head(data)
            if self.head is None:
                return b""
        if self.done:
            self.surplus = self.surplus or bool(data)
            return b""
        body = self._read_chunks(data) if self._chunked else self._read_plain(data)
        if self._inflate is None or not body:
            return body
        try:
            return self._inflate.decompress(body)
        except zlib.error as error:
            raise Malformed(f"a body that cannot be unpacked: {error}") from error

    def forget_headers(self) -> None:
        """They have been read; the answer may grow for a minute."""
        if self.head is not None:
            self.head = replace(self.head, headers=())

    def close(self) -> bool:
        """The connection was closed: return whether the answer is whole."""
        self.done = self.done or (self.head is not None and not self._chunked and self._left is None)
        return self.done

    def _read_head(self, data: bytes) -> bytes:
        """Returns what follows the head."""
        while self.head is None:
            head, end, rest = data.partition(b"\r\n\r\n")
            if len(head) > MAX_HEAD_BYTES:
                raise Malformed("headers without end")
            if not end:
                self._pending = data
                return b""
            data = rest
            found = _head_of(head)
            if found.status >= 200:
                self._begin_body(found)
            elif found.status == 101:
                raise Malformed("another protocol than was asked for")
        return data

    def _begin_body(self, head: Head) -> None:
        self.head = head
        lengths = set(head.values(b"content-length"))
        codings = head.values(b"transfer-encoding")
        tunnel = self._method == "CONNECT" and head.status == 200
        if tunnel or self._method == "HEAD" or head.status in (204, 304):
            self.done = True
        elif codings:
            if codings != [b"chunked"]:
                raise Malformed(f"transfer coding {codings!r}")
            self._chunked = True
        elif lengths:
            length = lengths.pop()
            if lengths or not length.isdigit():
                raise Malformed("no clear content length")
            self._left = int(length)
            self.done = not self._left
        else:
            self._left = None
        packed = [coding for coding in head.values(b"content-encoding") if coding != b"identity"]
        if packed and packed[0] not in (b"gzip", b"x-gzip", b"deflate"):
            raise Malformed(f"content coding {packed!r}, which was not asked for")
        if packed:
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either of the two

    def _read_plain(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        body = data[: self._left]
        self._left -= len(body)
        self.done = not self._left
        self.surplus = len(data) > len(body)
        return body

    def _read_chunks(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        at = 0
        while not self.done and at < len(data):
            if self._left:
                end = at + self._left
                pieces.append(data[at:end])
                self._left = max(0, end - len(data))
                if data.startswith(b"\r\n", end):  # nearly always: one write, one chunk, one read
                    at = end + 2
                else:
                    at = end
                    self._between = not self._left
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._pending = data[at:]
                if len(self._pending) > MAX_HEAD_BYTES:
                    raise Malformed("a line without end")
                break
            self._read_line(data[at:end])
            at = end + 2
        self.surplus = self.done and at < len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_line(self, line: bytes) -> None:
        """A line between two chunks, or after the last one."""
        if self._between:
            if line:
                raise Malformed("a chunk longer than it said")
            self._between = False
        elif self._trailers:
            self.done = not line
        else:
            self._left = _chunk_size(line)
            self._trailers = not self._left


@lru_cache(1_024)
def _chunk_size(line: bytes) -> int:
    """A stream's chunks have few sizes, so they are mostly known already."""
    size = _CHUNK_SIZE.fullmatch(line)
    if size is None:
        raise Malformed("a chunk without size")
    return int(size[1], 16)


def _head_of(raw: bytes) -> Head:
    first, *lines = raw.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise Malformed(f"no HTTP/1.1: {first[:40]!r}")
    headers = []
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise Malformed(f"no header: {line[:40]!r}")
        headers.append((header[1], header[2]))
    head = Head(int(status[2]), tuple(headers), keeps_alive=False)
    keeps_alive = status[1] == b"1" and b"close" not in head.values(b"connection")
    return Head(head.status, head.headers, keeps_alive)
