"""What no well-behaved client sends: malformed, ambiguous, endless and motionless requests, byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from adapters.web import WebSettings
from adapters.web.idle_connections import IdleConnections
from tests.adapters.web.house import House, a_house

CHAT = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'
HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /v1/models HTTP/1.1\r\n" + HOST
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(CHAT)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CHAT), CHAT)
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n" + CHAT

AMBIGUOUS = {
    "a length and chunks": POST + LENGTH + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and a length": POST + CHUNKED + b"Content-Length: 4\r\n\r\n" + CHUNKS + SMUGGLED,
    "the same length twice": POST + LENGTH + LENGTH + b"\r\n" + CHAT,
    "two lengths": POST + LENGTH + b"Content-Length: 5\r\n\r\n" + CHAT + SMUGGLED,
    "a list of lengths": POST + b"Content-Length: 60, 60\r\n\r\n" + CHAT,
    "a signed length": POST + b"Content-Length: +60\r\n\r\n" + CHAT,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + CHAT,
    "a length with an underscore": POST + b"Content-Length: 6_0\r\n\r\n" + CHAT,
    "a space before the colon": POST + b"Content-Length : 60\r\n\r\n" + CHAT,
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked and then not": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a folded header": GET + b"X-A: b\r\n c\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "bare line feeds": b"GET /v1/models HTTP/1.1\nHost: 127.0.0.1\n\n",
    "bare returns": b"GET /v1/models HTTP/1.1\rHost: 127.0.0.1\r\r",
    "a line feed in a header": GET + b"X-A: b\nTransfer-Encoding: chunked\r\n\r\n",
    "a line feed in a chunk's extension": POST + CHUNKED + b"\r\n3c;a=b\nGET\r\n" + CHAT + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk size with 0x": POST + CHUNKED + b"\r\n0x3c\r\n" + CHAT + b"\r\n0\r\n\r\n",
    "an enormous chunk": POST + CHUNKED + b"\r\nfffffffffffffffff\r\n" + CHAT,
    "a host in the trailer": POST + CHUNKED + b"\r\n3c\r\n" + CHAT + b"\r\n0\r\nHost: evil.example\r\n\r\n" + SMUGGLED,
    "two hosts": GET + b"Host: evil.example\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "a NUL": GET + b"X-A: a\0b\r\n\r\n",
    "a space in a name": GET + b"X A: b\r\n\r\n",
    "20,000 headers": GET + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    "a long header": GET + b"X-A: " + b"y" * 200_000 + b"\r\n\r\n",
    "a long address": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "no HTTP at all": bytes(range(256)) * 20,
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500,
}  # fmt: skip
"""What two servers could read differently (RFC 9112, sections 6 and 11.2), or none should read at all."""


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def sends(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def hears(self, *, within_s: float = 0.2) -> bytes:
        """What comes until the server closes or says nothing more for a while."""
        heard = b""
        try:
            async with asyncio.timeout(within_s):
                while piece := await self.reader.read(65_536):
                    heard += piece
        except (TimeoutError, ConnectionError):
            pass
        return heard

    async def is_let_go(self, *, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@asynccontextmanager
async def a_wire(house: House) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(house.url.rpartition(":")[2]), limit=2**16)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def statuses(heard: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.\d (\d\d\d) ", heard)]


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_ambiguous_requests_are_refused_and_the_connection_closed(house: House, case: str) -> None:
    """One 400, then the end: nothing behind it is read as a request, and no model is asked."""
    async with a_wire(house) as wire:
        await wire.sends(AMBIGUOUS[case])
        heard = await wire.hears(within_s=5)

        assert statuses(heard) in ([400], [])
        assert wire.reader.at_eof() or wire.reader.exception()
    assert house.handler.requests == []


async def test_malformed_requests_leave_no_word_in_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what they held, which may be a key, nor a traceback for each: anybody can send them."""
    caplog.set_level(logging.DEBUG)
    async with a_wire(house) as wire:
        await wire.sends(GET + b"Authorization: Basic c2VjcmV0\0\r\n\r\n")
        assert statuses(await wire.hears()) == [400]

    assert "c2VjcmV0" not in caplog.text
    assert "Traceback" not in caplog.text
    assert [record.levelname for record in caplog.records if "malformed" in record.message] == ["DEBUG"]


async def test_a_refused_body_is_not_read_as_the_next_request(house: House) -> None:
    """Where a body is refused unread, the connection ends with the refusal."""
    async with a_wire(house) as wire:
        await wire.sends(
            b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
            + b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
        )  # fmt: skip
        heard = await wire.hears()

    assert statuses(heard) == [415]
    assert house.handler.requests == []


async def test_pipelined_requests_are_answered_one_by_one(house: House) -> None:
    """The control: well-formed requests behind one another, chunked with an extension among them."""
    async with a_wire(house) as wire:
        extended = POST + CHUNKED + b"\r\n3c;a=b\r\n" + CHAT + b"\r\n0\r\n\r\n"
        await wire.sends(POST + LENGTH + b"\r\n" + CHAT + extended + GET + b"\r\n")
        heard = await wire.hears()

    assert statuses(heard) == [200, 200, 200]
    assert len(house.handler.requests) == 2


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/page/conversations/conversation-1/messages"])
async def test_a_body_that_says_it_is_too_large_is_refused_unread(house: House, path: str) -> None:
    """The announced length is enough."""
    async with a_wire(house) as wire:
        await wire.sends(
            b"POST %s HTTP/1.1\r\n" % path.encode() + HOST
            + b"Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{"
        )  # fmt: skip
        assert statuses(await wire.hears()) == [413]


async def test_a_packed_body_is_never_unpacked(house: House) -> None:
    """Nothing is unpacked: a packed body is refused by its header."""
    bomb = gzip.compress(b'{"model":"' + b"a" * 50_000_000 + b'"}')
    async with a_wire(house) as wire:
        await wire.sends(POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
        assert statuses(await wire.hears(within_s=5)) == [415]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"auto","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"auto","messages":[{"role":"user","content":"\xff\xfe"}]}',
        b'{"model":"auto","temperature":1e999,"messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"auto","max_tokens":' + b"9" * 5_000 + b',"messages":[{"role":"user","content":"hi"}]}',
    ],
    ids=["nested", "lone surrogate", "no UTF-8", "infinite", "5,000 digits"],
)
async def test_hostile_json_is_answered_in_a_sentence(house: House, body: bytes) -> None:
    """A 400 with a reason, or an answer; never a 500."""
    async with house.http.post(
        f"{house.url}/v1/chat/completions", data=body, headers={"Content-Type": "application/json"}
    ) as response:
        answer = await response.json()

    assert response.status in (200, 400)
    assert "choices" in answer or answer["error"]["message"]


@pytest.mark.parametrize("limit", ["9" * 5_000, "-1", "1e9", "٣", "0", ""])
async def test_any_limit_of_turns_is_understood_or_left(house: House, limit: str) -> None:
    """Numbers that Python would not even read are no error of ours."""
    url = f"{house.url}/page/conversations/conversation-1/events"
    async with house.http.get(url, params={"limit": limit}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "C:\\x.txt", "a\0b.txt", "\u202egnp.exe", "x" * 9_000],
)  # fmt: skip
async def test_file_names_are_names(house: House, name: str) -> None:
    """What is uploaded lies under its hash; its name is a label without path, control or direction marks."""
    async with house.http.post(f"{house.url}/page/uploads", params={"name": name[:7_000]}, data=b"words") as response:
        kept = await response.json()

    assert response.status == 201
    assert re.fullmatch(r"blob:[0-9a-f]{64}", kept["ref"])
    assert not re.search(r"[/\\\0\u202e]", kept["name"])
    assert 0 < len(kept["name"]) <= 255


# --- those who do nothing ---


class StillConnection:
    """A connection as `IdleConnections` sees one: some bytes unsent, nothing moving unless told."""

    def __init__(self, unsent_bytes: int = 0) -> None:
        self.unsent_bytes = unsent_bytes
        self.aborted = False
        self.transport = self

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.aborted = True


def idle_connections(*connections: StillConnection) -> IdleConnections:
    made = IdleConnections(
        lambda: connections,  # type: ignore[arg-type,return-value]
        unread_s=30.0,
        first_request_s=20.0,
        total=100,
        per_address=100,
    )
    for one in connections:
        made.opened(one, "203.0.113.1", 0.0)  # type: ignore[arg-type]
    return made


def test_a_connection_without_a_request_is_let_go() -> None:
    """After its time; one that asked may stay for whatever aiohttp allows between requests."""
    silent, asked = StillConnection(), StillConnection()
    watching = idle_connections(silent, asked)
    watching.heard(asked)  # type: ignore[arg-type]

    gone_at = []
    for now in range(0, 200, 5):
        watching.look(now)
        if silent.aborted:
            gone_at.append(now)

    assert gone_at[0] == 20
    assert not asked.aborted


def test_a_reader_who_takes_nothing_is_let_go() -> None:
    """Whoever takes a little now and then may go on; whoever takes nothing for half a minute may not."""
    stuck, slow, quick = StillConnection(90_000), StillConnection(90_000), StillConnection()
    watching = idle_connections(stuck, slow, quick)
    for one in (stuck, slow, quick):
        watching.heard(one)  # type: ignore[arg-type]

    for now in range(0, 100, 5):
        slow.unsent_bytes -= 100 if now % 20 == 0 else 0
        watching.look(now)

    assert (stuck.aborted, slow.aborted, quick.aborted) == (True, False, False)


async def test_a_crowd_of_idle_sockets_keeps_nobody_out() -> None:
    """A thousand sockets that say nothing cost the oldest of themselves, not who comes after them; a stream that is
    being read stays."""
    async with a_house(replace(WebSettings(), max_connections=20)) as house, AsyncExitStack() as stack:
        events = f"{house.url}/page/conversations/conversation-1/events"
        async with house.http.get(events) as stream:
            await stream.content.readline()
            crowd = [await stack.enter_async_context(a_wire(house)) for _ in range(100)]

            async with house.http.get(f"{house.url}/v1/models", headers={"Connection": "close"}) as answer:
                assert answer.status == 200

            assert house.open_connections <= 20
            assert await crowd[0].is_let_go(within_s=5)
            house.adapter.hub.tell(house.incoming().conversation, "question", {})
            assert b"question" in await stream.content.readuntil(b"question")


def test_one_address_cannot_take_the_room_of_others() -> None:
    """Beyond its share an address loses its own longest idle connection; where all of its are busy it gets no more."""
    mine, theirs = [StillConnection() for _ in range(3)], StillConnection()
    watching = IdleConnections(
        lambda: [*mine, theirs],  # type: ignore[arg-type,return-value]
        unread_s=30.0,
        first_request_s=20.0,
        total=4,
        per_address=3,
    )
    watching.opened(theirs, "198.51.100.1", 0.0)  # type: ignore[arg-type]
    for number, one in enumerate(mine):
        assert watching.has_room("203.0.113.1")
        watching.opened(one, "203.0.113.1", number + 1.0)  # type: ignore[arg-type]
    watching.heard(mine[0])  # type: ignore[arg-type]

    assert watching.has_room("203.0.113.1")

    assert [one.aborted for one in mine] == [False, True, False]
    assert not theirs.aborted
    for one in (mine[2], theirs):
        watching.heard(one)  # type: ignore[arg-type]
    watching.opened(mine[1], "203.0.113.1", 9.0)  # type: ignore[arg-type]
    watching.heard(mine[1])  # type: ignore[arg-type]
    assert not watching.has_room("203.0.113.1")
    assert not watching.has_room("192.0.2.7")
