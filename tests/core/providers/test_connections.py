"""Connections to real sockets on this machine, and the SDKs' clients over them."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.providers.connections import LOST, CannotConnect, Connections, Headers, ProxyFailed

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(once, "127.0.0.1", 0, ssl=tls) as listening:
        yield f"http{'s' if tls else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def connections(tls: ssl.SSLContext | None = None) -> AsyncIterator[Connections]:
    opened = Connections(tls).join()
    yield opened
    await opened.leave()


async def asked(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def fetched(
    pool: Connections, origin: str, content: bytes = b"", *, headers: Headers = (), proxy: str | None = None
) -> tuple[int, bytes]:
    status, _, body = await pool.request("POST", origin + "/x?y", headers, content, proxy=proxy)
    try:
        return status, await body.read_all()
    finally:
        body.close()


async def test_a_request_says_who_asks_and_takes_nothing_packed() -> None:
    """By our name; what is packed would come in the packer's portions."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await asked(reader) + await reader.readexactly(4))
        writer.write(HELLO)

    async with server(serve) as origin, connections() as pool:
        assert await fetched(pool, origin, b"what", headers=((b"Authorization", b"Bearer k"),)) == (200, b"hello")

    head = seen[0].lower()
    assert head.startswith(b"post /x?y http/1.1\r\n")
    assert b"user-agent: tern\r\n" in head
    assert b"accept-encoding: identity\r\n" in head
    assert b"authorization: bearer k\r\n" in head
    assert head.endswith(b"\r\n\r\nwhat")


async def test_a_connection_is_used_again_once_its_answer_was_read() -> None:
    """And only then: who leaves in the middle closes it."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await asked(reader):
            writer.write(HELLO)

    async with server(serve) as origin, connections() as pool:
        for _ in range(3):
            assert await fetched(pool, origin) == (200, b"hello")
        assert opened == 1
        _, _, body = await pool.request("POST", origin, (), b"")
        body.close()
        body.close()
        await fetched(pool, origin)

    assert opened <= 2


async def test_a_body_left_in_the_middle_closes_its_connection() -> None:
    """The provider stops writing, and nobody else gets the rest."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        await reader.read()
        gone.set()

    async with server(serve) as origin, connections() as pool:
        _, _, body = await pool.request("POST", origin, (), b"")
        assert await body.read() == b"hello"
        waiting = asyncio.ensure_future(body.read())
        await asyncio.sleep(0)
        body.close()
        with pytest.raises(LOST):
            await waiting
        async with asyncio.timeout(5):
            await gone.wait()


async def test_nobody_waits_for_the_end_of_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete answer is left at once: its connection is kept if the end comes soon, closed if it does not."""
    opened, gone = 0, asyncio.Event()
    ends = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        for number in range(3):
            try:
                await asked(reader)
            except asyncio.IncompleteReadError:
                gone.set()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            if number == 0:
                await ends.wait()
                writer.write(b"0\r\n\r\n")

    async with server(serve) as origin, connections() as pool:
        _, _, body = await pool.request("POST", origin, (), b"")
        assert await body.read() == b"hello"
        body.leave(5.0)
        ends.set()
        async with asyncio.timeout(5):
            while not body.ended:
                await asyncio.sleep(0.001)
        _, _, body = await pool.request("POST", origin, (), b"")
        assert (opened, await body.read()) == (1, b"hello")
        body.leave(0.01)
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_pool_closes_with_the_last_who_uses_it() -> None:
    """Providers share it, and each leaves when it likes."""
    async with server(greet) as origin:
        pool = Connections().join().join()
        assert await fetched(pool, origin) == (200, b"hello")
        await pool.leave()
        assert await fetched(pool, origin) == (200, b"hello")
        await pool.leave()


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]
)
async def test_a_connection_that_breaks_is_an_error(sent: bytes) -> None:
    """Before the head, within it, within the body: never a short answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(sent)
        await writer.drain()

    async with server(serve) as origin, connections() as pool:
        with pytest.raises(ConnectionError):
            await fetched(pool, origin)


async def test_an_open_ended_answer_ends_with_its_connection() -> None:
    """Without a length; whether it is whole, its last words say."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()

    async with server(serve) as origin, connections() as pool:
        assert await fetched(pool, origin) == (200, b"hello")


@pytest.mark.parametrize("status", [200, 429])
async def test_a_coding_that_was_not_asked_for_is_not_unpacked(status: int) -> None:
    """A few bytes can be unpacked into more than the memory: such an answer is none, such a refusal has no words."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello" % status)
        await writer.drain()

    async with server(serve) as origin, connections() as pool:
        if status == 200:
            with pytest.raises(ConnectionError, match="not asked for"):
                await fetched(pool, origin)
        else:
            assert await fetched(pool, origin) == (429, b"")


async def test_a_whole_answer_has_a_bound() -> None:
    """And of a refusal the first bytes are enough."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await asked(reader):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)

    async with server(serve) as origin, connections() as pool:
        _, _, body = await pool.request("POST", origin, (), b"")
        with pytest.raises(ConnectionError, match="more than 10 bytes"):
            await body.read_all(10)
        body.close()
        _, _, body = await pool.request("POST", origin, (), b"")
        assert await body.read_all(10, cut=True) == b"x" * 10
        body.close()


async def test_an_answer_before_everything_was_sent_counts() -> None:
    """A 413 comes while the recording is still on its way; the connection is not used again."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await asked(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await reader.read()

    async with server(serve) as origin, connections() as pool:
        assert await fetched(pool, origin, b"x" * 8_000_000) == (413, b"big")
        assert await fetched(pool, origin, b"x" * 8_000_000) == (413, b"big")

    assert opened == 2


async def test_a_slow_reader_makes_the_other_side_wait() -> None:
    """Memory stays bounded, and nothing is lost."""
    size = 20_000_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await writer.drain()

    async with server(serve) as origin, connections() as pool:
        _, _, body = await pool.request("POST", origin, (), b"")
        largest = total = 0
        while piece := await body.read():
            largest, total = max(largest, len(piece)), total + len(piece)
            for _ in range(20):
                await asyncio.sleep(0)
        body.close()

    assert total == size
    assert largest < 1_000_000


async def test_nobody_there_is_no_connection() -> None:
    """Nothing was sent, so it is safe to ask again."""
    async with server(lambda reader, writer: asyncio.sleep(0)) as origin:
        pass
    async with connections() as pool:
        with pytest.raises(CannotConnect):
            await fetched(pool, origin)


# --- TLS and proxies ---


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(the server's, a client's that trusts it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(secret + pem)
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(file)
    return there, ssl.create_default_context(cadata=pem.decode())


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await asked(reader):
        writer.write(HELLO)


async def test_tls_is_spoken_and_checked(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A certificate that nobody vouches for is no connection."""
    there, trusting = contexts
    async with server(greet, there) as origin:
        async with connections(trusting) as pool:
            assert await fetched(pool, origin) == (200, b"hello")
        async with connections(ssl.create_default_context()) as pool:
            with pytest.raises(CannotConnect, match="certificate"):
                await fetched(pool, origin)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_proxy_leads_to_https_addresses(contexts: tuple[ssl.SSLContext, ssl.SSLContext], secure: bool) -> None:
    """With name and password from its URL; the tunnel is kept and used again. The proxy itself may speak TLS."""
    there, trusting = contexts
    heads: list[bytes] = []

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await asked(reader))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", int(origin.rpartition(":")[2]))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async with server(greet, there) as origin, server(lead, there if secure else None) as proxy:
        url = proxy.replace("://", "://me:p%40ss@")
        async with connections(trusting) as pool:
            assert await fetched(pool, origin, proxy=url) == (200, b"hello")
            assert await fetched(pool, origin, proxy=url) == (200, b"hello")

    assert len(heads) == 1
    assert heads[0].startswith(f"CONNECT {origin.removeprefix('https://')} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in heads[0]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", b"", b"garbage\r\n\r\n"])
async def test_a_proxy_that_does_not_lead_there_says_so(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], answer: bytes
) -> None:
    """Whatever it says instead, nothing of the request was sent."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(answer)

    async with server(refuse) as proxy, connections(contexts[1]) as pool:
        with pytest.raises(ProxyFailed if b"407" in answer else ConnectionError):
            await fetched(pool, "https://api.example", proxy=proxy)


async def test_plain_addresses_go_past_the_proxy() -> None:
    """A server of one's own on this machine is not the proxy's business."""
    async with server(greet) as origin, connections() as pool:
        assert await fetched(pool, origin, proxy="http://127.0.0.1:9") == (200, b"hello")


async def test_a_proxy_that_is_not_there_says_so(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The proxy is to be mended, not the provider."""
    async with server(greet) as proxy:
        pass
    async with connections(contexts[1]) as pool:
        with pytest.raises(ProxyFailed):
            await fetched(pool, "https://api.example", proxy=proxy)
