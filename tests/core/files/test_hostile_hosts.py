"""Files on hostile hosts: each download ends in one clear sentence, and nobody forbidden is ever asked."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from core.base.clock import SystemClock
from core.domain.errors import SurfaceBusy, Unfetchable
from core.domain.events import Event, Notice
from core.domain.incoming import Attachment, ConversationKey, Incoming
from core.domain.requests import Text
from core.files.attachments import AttachmentLimits, Attachments
from core.net.guarded_fetch import FetchPolicy, GuardedFetcher
from core.voice.transcription import Transcription
from tests.core.files.test_attachments import MemoryBlobs
from tests.core.voice.hearing import USER, DirectReader, MemoryCache
from tests.fakes.names import Names

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\n"
MAX_BYTES = 100_000


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"\r\n")
    while True:
        writer.write(b"0" * 4_096)
        await writer.drain()


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + b"0" * 4_096 + b"\r\n")
        await writer.drain()


async def understated(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 999999999\r\n\r\n" + b"0" * 10)
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 50000\r\n\r\n")
    while True:
        writer.write(b"0")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def headers_without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    while True:
        writer.write(b"X-More: " + b"y" * 4_000 + b"\r\n")
        await writer.drain()


def to(address: str) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + address.encode() + b"\r\nContent-Length: 0\r\n\r\n"


MISBEHAVIOUR: dict[str, Answer] = {
    "endless": endless,
    "endless-chunks": endless_chunks,
    "announces-a-gigabyte": understated,
    "dripping": dripping,
    "silent": silent,
    "hangs-up": b"",
    "garbage": b"\x00\xff\xfe garbage\r\n\r\n",
    "headers-without-end": headers_without_end,
    "breaks-off": OK + b"Content-Length: 5000\r\n\r\nhello",
    "bad-chunks": OK + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\nhello",
    "negative-length": OK + b"Content-Length: -5\r\n\r\nhello",
    "gzip-bomb": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"0" * 50_000_000),
    "not-there": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "not-allowed": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "down": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "part-of-it": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello",
    "in-circles": to("/in-circles"),
    "to-nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "to-nonsense": to("http://[broken/"),
}

FORBIDDEN = (
    "http://127.0.0.1:{port}/secret",
    "http://localhost:{port}/secret",
    "http://[::1]:{port}/secret",
    "http://[::ffff:127.0.0.1]:{port}/secret",
    "http://0.0.0.0:{port}/secret",
    "http://2130706433:{port}/secret",
    "http://0x7f000001:{port}/secret",
    "http://0177.0.0.1:{port}/secret",
    "http://127.1:{port}/secret",
    "http://rebinds.example:{port}/secret",
    "https://rebinds.example/secret",
    "http://169.254.169.254/latest/meta-data",
    "http://[fd00:ec2::254]/latest/meta-data",
    "http://metadata.example/computeMetadata/v1",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://100.64.0.1/",
    "http://[64:ff9b::7f00:1]/",
    "http://user:secret@files.example/",
    "https://files.example.evil.example/",
    "https://files.example:8443/",
    "file:///etc/passwd",
    "ftp://files.example/a",
    "gopher://files.example/a",
    "data:text/plain,hello",
    "//localhost:{port}/secret",
)
"""Where a host may want to send us; `{port}` is that of a server on this machine which must not be asked."""


@dataclass
class Hosts:
    """The hostile host, and beside it a server that nobody is to reach."""

    port: int = 0
    secret_port: int = 0
    secrets_told: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def hosts() -> AsyncIterator[Hosts]:
    at = Hosts()
    answering: set[asyncio.Task[None]] = set()

    async def misbehave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode().lstrip("/")
            what = to(FORBIDDEN[int(path)].format(port=at.secret_port)) if path.isdigit() else MISBEHAVIOUR[path]
            if isinstance(what, bytes):
                writer.write(what)
                await writer.drain()
            else:
                await what(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side has had enough
        finally:
            answering.discard(task)
            writer.close()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at.secrets_told.append(await reader.read(1_000))
        writer.close()

    async with (
        await asyncio.start_server(misbehave, "127.0.0.1", 0) as hostile,
        await asyncio.start_server(tell, "127.0.0.1", 0) as secret,
    ):
        at.port = hostile.sockets[0].getsockname()[1]
        at.secret_port = secret.sockets[0].getsockname()[1]
        yield at
        for task in answering:
            task.cancel()


async def told_of(url: str, policy: FetchPolicy, names: Names) -> list[Notice]:
    """What a reader is told of a file at *url*."""
    told: list[Notice] = []
    clock = SystemClock()

    async def send(event: Event) -> None:
        assert isinstance(event, Notice)
        told.append(event)

    async with GuardedFetcher(resolver=names) as fetcher:

        async def fetch(item: Attachment, incoming: Incoming) -> AsyncGenerator[bytes, None]:
            try:
                async with fetcher.open(url, policy) as download:
                    async for chunk in download.chunks():
                        yield chunk
            except Unfetchable as error:  # as the adapters do
                if error.passing:
                    raise SurfaceBusy(error.why, retry_after_s=0.0) from error
                raise

        desk = Attachments(
            fetch,
            DirectReader(),
            Transcription({}, lambda _: [], DirectReader(), MemoryCache(), clock),
            MemoryBlobs(),
            clock,
            limits=AttachmentLimits(max_bytes=MAX_BYTES, fetch_again_after_s=(0.0,), fetch_deadline_s=5.0),
        )
        item = Attachment("file", "", "a.txt", 0, "1")
        question = Incoming("1", "e", USER, ConversationKey("slack", "T", "c", "c"), "?", 0.0, (item,))
        (part,) = await desk.read(question, send, deadline_at=clock.now() + 60)
    assert isinstance(part, Text)
    return told


def allowing(origin: str, *, platform: bool = True, ports: frozenset[int] = frozenset({80, 443})) -> FetchPolicy:
    """The origin is the operator's own, as a fake platform's is. *platform* allows the platform's names alone, else
    every public host is allowed, as for a page that somebody asks about."""
    return FetchPolicy(
        MAX_BYTES,
        deadline_s=0.2,
        hosts=frozenset({"files.example", "rebinds.example", "metadata.example"}) if platform else None,
        schemes=frozenset({"http", "https"}),
        ports=ports,
        trusted_origins=frozenset({origin}),
    )


def resolver() -> Names:
    return Names(
        files_example=["127.0.0.1"],
        rebinds_example=["127.0.0.1"],
        metadata_example=["169.254.169.254"],
        localhost=["127.0.0.1"],
    )


@pytest.mark.parametrize("what", MISBEHAVIOUR)
async def test_misbehaving_host_ends_in_a_sentence(what: str) -> None:
    """Without end, without beginning, broken or packed: one reason, within the deadline, and no byte too many."""
    async with hosts() as at:
        origin = f"http://files.example:{at.port}"
        told = await told_of(f"{origin}/{what}", allowing(origin), resolver())

    assert [note.kind for note in told] == ["declined"]
    assert told[0].facts["reason"]


@pytest.mark.parametrize("platform", [True, False])
@pytest.mark.parametrize("number", range(len(FORBIDDEN)))
async def test_host_that_sends_us_elsewhere_ends_in_a_sentence(number: int, platform: bool) -> None:
    """A redirect to this machine, to the network's inside, to another's host or scheme is followed nowhere, not even
    where the port would be allowed."""
    async with hosts() as at:
        origin = f"http://files.example:{at.port}"
        policy = allowing(origin, platform=platform, ports=frozenset({80, 443, at.secret_port}))
        told = await told_of(f"{origin}/{number}", policy, resolver())

    assert [note.kind for note in told] == ["declined"]
    assert told[0].facts["reason"]
    assert at.secrets_told == []


async def test_secret_server_would_tell() -> None:
    """The server that is not to be reached can be reached: asked directly, it counts."""
    async with hosts() as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.secret_port)
        writer.write(b"GET /secret HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()

    assert len(at.secrets_told) == 1
