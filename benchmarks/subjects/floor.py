"""The least that Python can do: bytes read, the one field decoded, appended to a list. Arguments: asyncio or aiohttp.

No errors, no usage, no timeouts; HTTP's own framing is skipped rather than parsed in the asyncio one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from benchmarks.meter import Meter
from benchmarks.remote import obey, rhythm


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


decode = msgspec.json.Decoder(Chunk).decode

PATH = "/openai/v1/chat/completions"


async def raw(port: int, body: bytes) -> AsyncIterator[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (PATH.encode(), len(body), body))
    while piece := await reader.read(65_536):
        yield piece
        if b"[DONE]" in piece:
            break
    writer.close()


async def with_aiohttp(session: aiohttp.ClientSession, port: int, body: bytes) -> AsyncIterator[bytes]:
    async with session.post(f"http://127.0.0.1:{port}{PATH}", data=body) as response:
        while piece := await response.content.readany():
            yield piece


async def main() -> None:
    port, kind = int(sys.argv[1]), sys.argv[3]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(meter: Meter, question: str) -> str:
            asked = {"model": "m", "messages": [{"role": "user", "content": question}], "stream": True}
            body = json.dumps(asked).encode()
            pieces = raw(port, body) if kind == "asyncio" else with_aiohttp(session, port, body)
            parts: list[str] = []
            pending = b""
            async for piece in pieces:
                lines = (pending + piece).split(b"\n")
                pending = lines.pop()
                for line in lines:
                    choices = decode(line[6:]).choices if line.startswith(b"data: {") else None
                    if choices and (text := choices[0].delta.content):
                        if not parts:
                            meter.begin()
                        parts.append(text)
                        meter.text(text)
            return "".join(parts)

        async def stream(streams: int, chunks: int, burst: int, every_ms: float, hold_ms: float, lags: bool) -> Any:
            meter = Meter(streams, chunks, lags=lags)
            question = rhythm(chunks, burst, every_ms, hold_ms)
            async with asyncio.TaskGroup() as group:
                for _ in range(streams):
                    group.create_task(one(meter, question))
            return meter.figures()

        await obey({"stream": stream})


if __name__ == "__main__":
    asyncio.run(main())
