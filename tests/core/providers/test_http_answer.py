"""Answers of HTTP/1.1, from bytes."""

from __future__ import annotations

import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.providers.http_answer import MAX_HEAD_BYTES, AnswerReader, Malformed

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = CHUNKED + b"5\r\nhello\r\n1;note=x\r\n \r\nA\r\n0123456789\r\n0\r\nX-Late: yes\r\n\r\n"


def read(raw: bytes, method: str = "POST") -> tuple[AnswerReader, bytes]:
    reader = AnswerReader(method)
    return reader, reader.feed(raw)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_any_split_gives_the_same_body(cuts: list[int]) -> None:
    """Chunks, their sizes and the head may be cut anywhere."""
    edges = [0, *sorted(cuts), len(WHOLE)]
    reader = AnswerReader("POST")

    body = b"".join(reader.feed(WHOLE[a:b]) for a, b in itertools.pairwise(edges))

    assert body == b"hello 0123456789"
    assert reader.done


def test_a_length_ends_the_body() -> None:
    """What follows is no part of it."""
    reader, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more")

    assert (body, reader.done, reader.surplus) == (b"hello", True, True)


@pytest.mark.parametrize("end", [WHOLE, b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_what_follows_the_end_is_noticed(end: bytes) -> None:
    """In the same read or in a later one; the body stays what it was."""
    reader, body = read(end + b"HTTP/1.1 200")
    later, _ = read(end)

    assert (later.done, later.surplus, later.feed(b"H"), later.surplus) == (True, False, b"", True)
    assert (reader.surplus, body) == (True, read(end)[1])


def test_without_a_length_the_body_ends_with_the_connection() -> None:
    """As old servers do it; a chunked or counted body that ends so is cut off."""
    reader, body = read(b"HTTP/1.1 200 OK\r\n\r\nhello")

    assert (body, reader.done, reader.close()) == (b"hello", False, True)
    assert not read(CHUNKED + b"5\r\nhello\r\n")[0].close()
    assert not read(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello")[0].close()
    assert not read(b"HTTP/1.1 200 OK\r\nContent-")[0].close()


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("CONNECT", b"HTTP/1.1 200 Connection established\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_some_answers_have_no_body(method: str, head: bytes) -> None:
    """RFC 9112 section 6.3."""
    assert read(head, method)[0].done


def test_answers_that_are_none_yet_are_skipped() -> None:
    """100 Continue and 103 Early Hints may stand before the answer."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    reader, body = read(early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    assert reader.head is not None
    assert (reader.head.status, body) == (200, b"hi")


@pytest.mark.parametrize(
    ("head", "keeps_alive"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close", False),
        (b"HTTP/1.0 200 OK", False),
    ],
)
def test_whether_the_connection_can_be_used_again(head: bytes, keeps_alive: bool) -> None:
    """The other side says when not."""
    reader, _ = read(head + b"\r\nContent-Length: 0\r\n\r\n")

    assert reader.head is not None
    assert reader.head.keeps_alive == keeps_alive


@pytest.mark.parametrize("packed", [gzip.compress(b"hello"), zlib.compress(b"hello")], ids=["gzip", "zlib"])
def test_packed_bodies_are_unpacked(packed: bytes) -> None:
    """Nobody asked for them, but gateways do it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)

    assert read(head + packed)[1] == b"hello"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
        CHUNKED + b"+5\r\nhello\r\n",
        CHUNKED + b"0x5\r\nhello\r\n",
        CHUNKED + b"five\r\nhello\r\n",
        CHUNKED + b"\r\nhello\r\n",
        CHUNKED + b"5\r\nhello!\r\n",
        CHUNKED + b"1" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    """Never guessed at: a wrong frame would put one answer's bytes into another's."""
    with pytest.raises(Malformed):
        read(raw)
