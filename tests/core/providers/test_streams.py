"""Every stream of streams.py, and any bytes at all, through a whole call: an answer, or one of our errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.errors import ProviderError
from core.domain.model_spec import ModelSpec
from core.domain.requests import Reply
from core.providers.callers import Answer
from core.providers.completions import Completions
from core.providers.stream import StreamDecoder
from tests.core.providers.conftest import LOCAL, QUICK, Heard, ask
from tests.core.providers.streams import STREAMS, Stream


class Wire:
    """A Caller and the body of its answer, which comes in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces[::-1]

    async def ready(self) -> None: ...

    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> Answer:
        return Answer("", self)  # type: ignore[arg-type] # as much of a body as is needed

    async def read(self) -> bytes:
        return self._pieces.pop() if self._pieces else b""

    def close(self) -> None: ...

    def leave(self, within_s: float) -> None: ...


async def told(*pieces: bytes) -> tuple[str, Reply | ProviderError]:
    """What the reader has seen, and how it ended."""
    heard = Heard()
    call = Completions("local", "local", Wire([piece for piece in pieces if piece]), QUICK)
    ended: Reply | ProviderError
    try:
        ended = await call(ask(), LOCAL, heard.send)
    except ProviderError as error:
        ended = error
    return heard.text, ended


@pytest.mark.parametrize("stream", STREAMS, ids=[stream.name for stream in STREAMS])
async def test_a_stream_as_servers_send_it(stream: Stream) -> None:
    """The reader sees its text, and it ends as the table says, however the network cuts it."""
    for size in (len(stream.raw) or 1, 700, 1):
        if size == 1 and len(stream.raw) > 20_000:
            continue
        text, ended = await told(*(stream.raw[at : at + size] for at in range(0, len(stream.raw), size)))

        assert text == stream.text
        if isinstance(stream.ends, str):
            assert isinstance(ended, Reply)
            assert (ended.finish, ended.text) == (stream.ends, stream.text)
            assert [(one.name, one.arguments) for one in ended.tool_calls] == stream.calls
        else:
            assert type(ended) is stream.ends
        for name, value in stream.more.items():
            assert getattr(ended, name) == value


def test_no_two_streams_have_one_name() -> None:
    """A name finds its line."""
    assert len({stream.name for stream in STREAMS}) == len(STREAMS)


SHORT = [stream.raw for stream in STREAMS if len(stream.raw) < 2_000]
CUTS = st.lists(st.integers(0, 4_000), max_size=8)
DAMAGE = st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 40), st.binary(max_size=12)), max_size=4)
"""Places, how many bytes go there, and what comes instead."""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SHORT), max_size=3), DAMAGE, CUTS, st.binary(max_size=80))
async def test_any_bytes_in_any_cut(
    whole: list[bytes], damage: list[tuple[int, int, bytes]], cuts: list[int], noise: bytes
) -> None:
    """Streams that were damaged anywhere, and noise, give an answer or one of our errors, the same in every cut."""
    raw = b"".join(whole) + noise
    for at, gone, new in damage:
        raw = raw[:at] + new + raw[at + gone :]
    bounds = [0, *sorted({cut for cut in cuts if cut < len(raw)}), len(raw)]

    at_once, in_pieces = await told(raw), await told(*(raw[a:b] for a, b in pairwise(bounds)))

    assert at_once[0] == in_pieces[0]
    assert type(at_once[1]) is type(in_pieces[1])


def calls_of(work: Callable[[], None]) -> int:
    """How many functions *work* calls, C's included."""
    calls = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "unit",
    [
        b"[",
        b"{",
        b'{"a":',
        b"data: {\n",
        b"data: {}\n",
        b"data:\n",
        b"data: [\n",
        b"event: x\n",
        b"<p>\n",
        b"\r",
        b"\n",
        b":\n",
        b"data: ",
        b"\xff",
        b'data: {"choices":[{"delta":{"content":"<think>"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":" "}}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"}"}}]}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n',
    ],
)
def test_repetition_costs_no_more_than_its_length(unit: bytes) -> None:
    """Whatever is repeated, twice as much takes twice the work, not four times."""

    def read(size: int) -> None:
        decoder = StreamDecoder(thinks_in_content=True)
        raw = unit * (size // len(unit))
        for at in range(0, len(raw), 500):
            decoder.feed(raw[at : at + 500])
        decoder.close()

    once, twice = calls_of(lambda: read(20_000)), calls_of(lambda: read(40_000))

    assert twice < 3 * once
