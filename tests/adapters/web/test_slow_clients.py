"""Slow writers and slow readers at the real server, in virtual time: the sockets are real, the waiting is not."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from core.domain.incoming import UserKey
from tests.adapters.web.house import House
from tests.adapters.web.test_raw_requests import GET, HOST, POST, Wire, a_wire, statuses


async def drip(wire: Wire, raw: bytes, *, every_s: float) -> bytes:
    """Send one byte at a time, for ever, and return what the server said until it hung up."""
    hearing = asyncio.ensure_future(wire.hears(within_s=1_000))
    at = 0
    while not hearing.done():
        with contextlib.suppress(ConnectionError):
            await wire.sends(raw[at % len(raw) :][:1])
        at += 1
        await asyncio.wait({hearing}, timeout=every_s)
    return await hearing


@pytest.mark.parametrize("said", [b"", b"GET /v1/models HTTP/1.1\r\n", GET])
async def test_a_head_that_never_ends_is_not_waited_for(house: House, said: bytes) -> None:
    """Whether nothing comes or a byte every two seconds: within a minute the connection is gone."""
    loop = asyncio.get_running_loop()
    async with a_wire(house) as wire:
        began = loop.time()
        if said:
            await wire.sends(said)
            assert await drip(wire, b"X", every_s=2.0) == b""
        else:
            assert await wire.is_let_go(within_s=120)

    assert 30 <= loop.time() - began < 60


async def test_a_body_that_never_ends_is_not_waited_for(house: House) -> None:
    """A byte a second is a slow writer's: after half a minute it is a 408 and the end of the connection."""
    loop = asyncio.get_running_loop()
    async with a_wire(house) as wire:
        began = loop.time()
        await wire.sends(POST + b"Content-Length: 100000\r\n\r\n")
        heard = await drip(wire, b"{", every_s=1.0)

    assert statuses(heard) == [408]
    assert 30 <= loop.time() - began < 60
    assert house.handler.requests == []


async def test_an_upload_that_never_ends_is_not_waited_for(house: House) -> None:
    """A file has five minutes to arrive."""
    loop = asyncio.get_running_loop()
    async with a_wire(house) as wire:
        began = loop.time()
        await wire.sends(b"POST /page/uploads?name=a HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n")
        heard = await drip(wire, b"a", every_s=10.0)

    assert statuses(heard) == [408]
    assert 300 <= loop.time() - began < 360
    assert house.blobs.kept == {}


async def test_whoever_does_not_read_a_plain_answer_is_let_go(house: House) -> None:
    """Ten megabytes that nobody takes hold a connection for half a minute, not for ever."""
    loop = asyncio.get_running_loop()
    ref = await house.blobs.put(b"x" * 10_000_000, mime="", owner=UserKey("web", "", "local"))
    async with a_wire(house) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        began = loop.time()
        await wire.sends(b"GET /page/files/%s HTTP/1.1\r\n" % ref.encode() + HOST + b"\r\n")
        while house.open_connections:
            await asyncio.sleep(1)

    assert 30 <= loop.time() - began < 60


async def test_whoever_does_not_read_a_stream_is_let_go(house: House) -> None:
    """Words that nobody takes hold a connection for half a minute."""
    loop = asyncio.get_running_loop()
    house.handler.steps = ["words " * 1_000] * 10_000
    body = b'{"model":"auto","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    async with a_wire(house) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        began = loop.time()
        await wire.sends(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        while house.open_connections:
            await asyncio.sleep(1)

    assert len(house.handler.requests) == 1
    assert 30 <= loop.time() - began < 60


async def test_whoever_waits_between_requests_is_let_go(house: House) -> None:
    """A connection may be kept for the next request, for 75 seconds."""
    loop = asyncio.get_running_loop()
    async with a_wire(house) as wire:
        await wire.sends(GET + b"\r\n")
        began = loop.time()
        assert await wire.is_let_go(within_s=300)

    assert 60 <= loop.time() - began < 120
