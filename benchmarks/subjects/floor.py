"""The least that Python can do: bytes read, the one field decoded, appended to a list.

Arguments: how bytes are read ("streams" of asyncio, "aiohttp", "house": the house's own connections), then the loop
("asyncio" or "uvloop"). No errors, no usage, no timeouts; "streams" skips HTTP's own framing rather than parse it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from benchmarks.meter import Meter, streaming
from benchmarks.remote import obey, run_on
from core.providers.connections import Connections


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


decode = msgspec.json.Decoder(Chunk).decode

PATH = "/openai/v1/chat/completions"


async def with_streams(port: int, body: bytes) -> AsyncIterator[bytes]:
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


async def with_house(connections: Connections, port: int, asked: bytes) -> AsyncIterator[bytes]:
    _, _, body = await connections.request("POST", f"http://127.0.0.1:{port}{PATH}", (), asked)
    while piece := await body.read():
        yield piece
    body.close()


async def main() -> None:
    port, kind = int(sys.argv[1]), sys.argv[3]
    connections = Connections().join()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(meter: Meter, question: str) -> str:
            asked = {"model": "m", "messages": [{"role": "user", "content": question}], "stream": True}
            body = json.dumps(asked).encode()
            ways = {
                "streams": lambda: with_streams(port, body),
                "aiohttp": lambda: with_aiohttp(session, port, body),
                "house": lambda: with_house(connections, port, body),
            }
            parts: list[str] = []
            pending = b""
            async for piece in ways[kind]():
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

        await obey({"stream": streaming(one)})
    await connections.leave()


if __name__ == "__main__":
    run_on(sys.argv[4], main())
