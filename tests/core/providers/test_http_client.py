"""Connections to real sockets on this machine."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.providers.http_client import MAX_UNREAD_BYTES, CannotConnect, Connections, Origin, ProxyFailed

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(once, "127.0.0.1", 0, ssl=tls) as listening:
        yield Origin(tls is not None, "127.0.0.1", listening.sockets[0].getsockname()[1])


@asynccontextmanager
async def connections(tls: ssl.SSLContext | None = None, proxy: str | None = None) -> AsyncIterator[Connections]:
    opened = Connections(tls, proxy)
    yield opened
    await opened.close()


async def asked(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def fetched(pool: Connections, origin: Origin, content: bytes = b"") -> tuple[int, bytes]:
    head, body = await pool.request(origin, "POST", "/x?y", [(b"Host", b"here")], content)
    try:
        return head.status, await body.read_all()
    finally:
        body.close()


async def test_a_request_is_sent_whole() -> None:
    """The client counts the content; what callers say about framing is left out."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await asked(reader) + await reader.readexactly(4))
        writer.write(HELLO)

    async with server(serve) as origin, connections() as pool:
        headers = [(b"Host", b"here"), (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"9")]
        head, body = await pool.request(origin, "POST", "/x?y", headers, b"what")
        assert (head.status, await body.read_all()) == (200, b"hello")
        body.close()

    assert seen == [b"POST /x?y HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\nwhat"]


async def test_a_header_cannot_begin_another() -> None:
    """Refused before anybody is connected to."""
    async with connections() as pool:
        with pytest.raises(ValueError, match="line break"):
            await pool.request(Origin(False, "127.0.0.1", 1), "GET", "/", [(b"Host", b"x\r\nEvil: yes")], b"")


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
        _, body = await pool.request(origin, "POST", "/", [(b"Host", b"here")], b"")
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
        _, body = await pool.request(origin, "POST", "/", [(b"Host", b"here")], b"")
        assert await body.read() == b"hello"
        waiting = asyncio.ensure_future(body.read())
        await asyncio.sleep(0)
        body.close()
        with pytest.raises(ConnectionError):
            await waiting
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_connection_that_its_server_closed_is_not_used_again() -> None:
    """Servers close idle connections; ones that say so are not even kept."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await asked(reader)
        writer.write(HELLO)
        await writer.drain()

    async with server(serve) as origin, connections() as pool:
        await fetched(pool, origin)
        async with asyncio.timeout(5):
            while pool.idle:
                await asyncio.sleep(0.001)
        assert await fetched(pool, origin) == (200, b"hello")

    assert opened == 2


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


@pytest.mark.parametrize("broken", [True, False])
async def test_an_open_ended_answer_must_end_in_peace(broken: bool) -> None:
    """Without a length the end of the connection is the end of the answer, but a reset one is a broken answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        if broken:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with server(serve) as origin, connections() as pool:
        if broken:
            with pytest.raises(ConnectionError):
                await fetched(pool, origin)
        else:
            assert await fetched(pool, origin) == (200, b"hello")


async def test_a_body_that_cannot_be_unpacked_is_an_error() -> None:
    """Also where only the connection's end would end it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        await writer.drain()
        writer.write(b"hello")

    async with server(serve) as origin, connections() as pool:
        with pytest.raises(ConnectionError, match="unpacked"):
            await fetched(pool, origin)


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
        assert not pool.idle
        assert await fetched(pool, origin, b"x" * 8_000_000) == (413, b"big")

    assert opened == 2


async def test_a_slow_reader_makes_the_other_side_wait() -> None:
    """Memory stays bounded, and nothing is lost."""
    size = 40 * MAX_UNREAD_BYTES

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await writer.drain()

    async with server(serve) as origin, connections() as pool:
        _, body = await pool.request(origin, "POST", "/", [(b"Host", b"here")], b"")
        largest = total = 0
        while piece := await body.read():
            largest, total = max(largest, len(piece)), total + len(piece)
            for _ in range(20):
                await asyncio.sleep(0)
        body.close()

    assert total == size
    assert largest < 4 * MAX_UNREAD_BYTES


async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    """They would be taken for the next answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(HELLO + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await reader.read()

    async with server(serve) as origin, connections() as pool:
        assert await fetched(pool, origin) == (200, b"hello")
        assert await fetched(pool, origin) == (200, b"hello")


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
        inner_reader, inner_writer = await asyncio.open_connection(origin.host, origin.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async with server(greet, there) as origin, server(lead, there if secure else None) as proxy:
        url = f"{'https' if secure else 'http'}://me:p%40ss@127.0.0.1:{proxy.port}"
        async with connections(trusting, url) as pool:
            assert await fetched(pool, origin) == (200, b"hello")
            assert await fetched(pool, origin) == (200, b"hello")

    target = f"127.0.0.1:{origin.port}"
    assert heads == [
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n".encode()
    ]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", b"", b"garbage\r\n\r\n"])
async def test_a_proxy_that_does_not_lead_there_says_so(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], answer: bytes
) -> None:
    """Whatever it says instead, nothing of the request was sent."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(answer)

    async with server(refuse) as proxy, connections(contexts[1], f"http://127.0.0.1:{proxy.port}") as pool:
        with pytest.raises(ProxyFailed):
            await fetched(pool, Origin(True, "api.example", 443))


async def test_a_proxy_that_is_not_there_says_so(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The proxy is to be mended, not the provider."""
    async with server(greet) as proxy:
        pass
    async with connections(contexts[1], f"http://127.0.0.1:{proxy.port}") as pool:
        with pytest.raises(ProxyFailed):
            await fetched(pool, Origin(True, "api.example", 443))
