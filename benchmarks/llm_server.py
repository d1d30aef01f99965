"""A model with an exact rhythm: `python -m benchmarks.llm_server` prints its port and serves until stdin closes.

It speaks just enough HTTP for every client here and costs little, so that one core of it outruns the clients' core.
How an answer streams is read from the question: "@chunks=400;burst=10;every_ms=20;hold_ms=300@". Two chunks leave at
once, the others after `hold_ms`, *burst* of them in each write. Every chunk's text is a space and twelve digits: the
microseconds of the machine's monotonic clock when it was written, for the very first when the request had arrived.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from dataclasses import dataclass

from tests.fakes.llm_api.chunks import Chunks
from tests.fakes.llm_api.rules import GROQ_MODELS

TOKEN_CHARS = 13

_PLENTY = "1000000000"
_HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "content-type: text/event-stream\r\n"
    "transfer-encoding: chunked\r\n"
    "x-request-id: req_bench\r\n"
    + "".join(
        f"x-ratelimit-limit-{kind}: {_PLENTY}\r\nx-ratelimit-remaining-{kind}: {_PLENTY}\r\n"
        f"x-ratelimit-reset-{kind}: 1ms\r\n"
        for kind in ("requests", "tokens")
    )
    + "\r\n"
).encode()

_RHYTHM = re.compile(rb"@([a-z_]+=[a-z_0-9.;=]+)@")


@dataclass(frozen=True, slots=True)
class Rhythm:
    chunks: int = 20
    burst: int = 1
    every_ms: float = 0.0
    hold_ms: float = 0.0
    first_ms: float = 0.0
    """Time to the first chunk."""

    @classmethod
    def of(cls, body: bytes) -> Rhythm:
        """The last one in *body*: a history repeats earlier ones."""
        found = _RHYTHM.findall(body)
        if not found:
            return cls()
        given = dict(pair.split("=") for pair in found[-1].decode().split(";"))
        return cls(
            int(given.get("chunks", 20)),
            int(given.get("burst", 1)),
            float(given.get("every_ms", 0)),
            float(given.get("hold_ms", 0)),
            float(given.get("first_ms", 0)),
        )


def now_us() -> int:
    return int(time.monotonic() * 1e6)


def stamp(at_us: int) -> str:
    return f" {at_us:012d}"


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await _head(reader):
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            arrived_us = now_us()
            if head.startswith(b"GET"):
                _send_models(writer)
            else:
                model = json.loads(body).get("model", "")
                await _stream(writer, Rhythm.of(body), str(model), arrived_us)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


def _send_models(writer: asyncio.StreamWriter) -> None:
    listed = [{"id": model.id, "object": "model", "created": 1, "owned_by": "groq"} for model in GROQ_MODELS]
    body = json.dumps({"object": "list", "data": listed}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def _stream(writer: asyncio.StreamWriter, rhythm: Rhythm, model: str, arrived_us: int) -> None:
    chunks = Chunks("groq", model, "req_bench")
    head, tail = chunks.text("@").split(b"@")
    if rhythm.first_ms:
        await asyncio.sleep(rhythm.first_ms / 1e3)
    first = chunks.role() + b"".join(head + stamp(at_us).encode() + tail for at_us in (arrived_us, now_us()))
    writer.write(_HEAD + b"%x\r\n%b\r\n" % (len(first), first))
    if rhythm.hold_ms:
        await asyncio.sleep(rhythm.hold_ms / 1e3)
    size = len(head) + TOKEN_CHARS + len(tail)
    left = rhythm.chunks - 2
    due = _beat(next(_STREAMS), rhythm.every_ms / 1e3)
    while left > 0:
        count = min(rhythm.burst, left)
        left -= count
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due += rhythm.every_ms / 1e3
        if writer.is_closing():  # who asked has left
            return
        chunk = head + stamp(now_us()).encode() + tail
        writer.write(b"%x\r\n%b\r\n" % (size * count, chunk * count))
        if writer.transport.get_write_buffer_size() > 4_000_000:
            await writer.drain()
    usage = {"prompt_tokens": 100, "completion_tokens": rhythm.chunks, "total_tokens": 100 + rhythm.chunks}
    end = chunks.end("stop", usage, asked_for_usage=True)
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end))


_STREAMS = itertools.count()


def _beat(number: int, every_s: float) -> float:
    """When stream *number* begins to beat. Streams are out of step with each other, evenly, whoever asked and however
    fast: in step they would be read together, and a quick start would seem to make each packet cheaper."""
    if not every_s:
        return time.monotonic()
    now = time.monotonic()
    at = now // every_s * every_s + (number * _GOLDEN % 1) * every_s
    return at if at > now else at + every_s


_GOLDEN = 0.6180339887
"""Multiples of it fill a circle evenly, however many there are."""


async def main() -> None:
    server = await asyncio.start_server(serve_client, "127.0.0.1", 0, backlog=2_048, limit=2**22)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
