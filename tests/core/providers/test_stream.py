"""The stream decoder, byte by byte."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.events import ToolCallDelta
from core.domain.requests import ToolCall
from core.providers.stream import Fault, StreamDecoder


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    value = {"id": "c1", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def decode(*pieces: bytes, thinks: bool = False) -> tuple[str, StreamDecoder]:
    decoder = StreamDecoder(thinks_in_content=thinks)
    text = "".join(decoder.feed(piece) for piece in pieces) + decoder.close()
    return text, decoder


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 1}}


def test_a_whole_answer() -> None:
    """Text, finish reason, usage in x_groq and the request id."""
    text, decoder = decode(
        chunk({"role": "assistant"}, x_groq={"id": "req_1"}),
        chunk({"content": "Hel"}) + chunk({"content": "lo"}),
        chunk(finish="stop", x_groq={"id": "req_1", "usage": USAGE}) + DONE,
    )

    assert text == "Hello"
    assert decoder.finish == "stop"
    assert decoder.done
    assert decoder.provider_request_id == "req_1"
    assert decoder.usage is not None
    assert decoder.usage.completion_tokens == 3


def test_usage_in_a_last_chunk_without_choices() -> None:
    """OpenAI's way, with include_usage."""
    _, decoder = decode(chunk({"content": "x"}, "stop"), b'data: {"choices":[],"usage":{"prompt_tokens":5}}\n\n', DONE)

    assert decoder.usage is not None
    assert decoder.usage.prompt_tokens == 5


def test_a_role_alone_is_no_token() -> None:
    """llama.cpp sends it before it has read the prompt."""
    _, decoder = decode(chunk({"role": "assistant", "content": ""}))

    assert decoder.tokens == 0


def test_calls_in_pieces() -> None:
    """Id and name come with the first piece only."""
    _, decoder = decode(
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}, "tool_calls"),
    )

    assert decoder.tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))
    assert decoder.tool_deltas[1] == ToolCallDelta(0, "", "", '{"x"')


def test_calls_without_an_index() -> None:
    """Some local servers leave it out: an id begins the next call."""
    _, decoder = decode(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"function": {"arguments": "}"}}]}),
        chunk({"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
    )

    assert decoder.tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}"))


@pytest.mark.parametrize(
    ("piece", "fault"),
    [
        (b'event: error\ndata: {"error":{"message":"no"}}\n\n', Fault("error_event", {"message": "no"})),
        (b'data: {"error":{"message":"no"}}\n\n', Fault("error_event", {"message": "no"})),
        (b'{"error":{"message":"no"}}\n', Fault("error_event", {"message": "no"})),
        (b"event: error\ndata: oops\n\n", Fault("error_event", "oops")),
        (chunk(x_groq={"error": "over capacity"}), Fault("x_groq_error", "over capacity")),
        (b'data: {"choices":[{"ind\n\n', Fault("garbage", "no JSON (17 bytes)")),
        (b'data: {"choices":"many"}\n\n', Fault("garbage", "choices that is no list")),
    ],
)
def test_faults(piece: bytes, fault: Fault) -> None:
    """Each is told apart, and the text before it is handed out."""
    text, decoder = decode(chunk({"content": "a"}) + piece + chunk({"content": "b"}))

    assert text == "a"
    assert decoder.fault == fault


def test_a_finish_beside_a_fault_does_not_count() -> None:
    """Over capacity may come with a finish reason in the same chunk."""
    _, decoder = decode(chunk(finish="stop", x_groq={"error": "over capacity"}))

    assert decoder.finish is None


def test_an_unknown_finish_reason_says_nothing() -> None:
    """Only what follows tells whether the answer is whole."""
    assert decode(chunk({"content": "x"}, finish="moonrise"))[1].finish is None


def test_a_line_without_end_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr("core.providers.sse.MAX_EVENT_BYTES", 100)

    assert decode(b"data: " + b"x" * 200)[1].fault == Fault("garbage", "an event of more than 100 bytes")


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "word "},
        {"reasoning": "word "},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "word "}}]},
    ],
)
def test_an_answer_without_end_is_cut(delta: dict[str, Any]) -> None:
    """Text, thoughts and calls count together; the rest is not even read."""
    decoder = StreamDecoder(max_chars=100)

    for _ in range(1_000):
        decoder.feed(chunk(delta))

    assert decoder.cut
    assert decoder.finish == "length"
    assert decoder.tokens < 30


def test_calls_without_end_are_cut() -> None:
    """However short each of them is."""
    decoder = StreamDecoder()

    for at in range(1_000):
        decoder.feed(chunk({"tool_calls": [{"index": at, "id": f"c{at}", "function": {"name": "f"}}]}))

    assert decoder.cut
    assert len(decoder.tool_calls) == 128


def test_a_last_line_without_newline_counts() -> None:
    """A server may end without one."""
    assert decode(chunk({"content": "a"}), chunk({"content": "b"}, "stop").rstrip(b"\n"))[0] == "ab"


PIECES = [
    chunk({"role": "assistant"}, x_groq={"id": "req_1"}),
    chunk({"content": "Grüße, 世界 🙂 \n\ndata: {not a line}"}),
    chunk({"content": "<think>"}),
    chunk({"content": "x</think>y"}),
    chunk({"reasoning": "hm", "content": None}),
    chunk({"reasoning_content": "hm"}),
    chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
    chunk(finish="stop"),
    chunk(x_groq={"usage": USAGE}),
    chunk(x_groq={"error": "busy"}),
    b": ping\n\n",
    b"\n",
    b"id: 7\nretry: 10\n\n",
    b"event: message\n" + chunk({"content": "named"}),
    b'data:{"choices":[]}\r\n\r\n',
    b"event: error\ndata: nope\n\n",
    b'{"error": {"message": "bare"}}\n',
    b"garbage\n",
    b"data: [1]\n\n",
    b"data: \n\n",
    b'data: {"choices":[{"delta":{"content":5}}]}\n\n',
    b"\xff\xfe\n",
    DONE,
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.lists(st.integers(0, 2_000), max_size=12), st.booleans())
def test_any_split_of_the_bytes_says_the_same(pieces: list[bytes], cuts: list[int], thinks: bool) -> None:
    """Text, calls, reasoning, finish, fault and usage do not depend on how the network cut the stream."""
    whole = b"".join(pieces)
    bounds = [0, *sorted({cut for cut in cuts if cut < len(whole)}), len(whole)]
    parts = [whole[start:end] for start, end in pairwise(bounds)]

    def outcome(*given_parts: bytes) -> tuple[object, ...]:
        text, decoder = decode(*given_parts, thinks=thinks)
        # Thoughts in a field of their own and between tags in the text are never shown: their order is not promised.
        reasoning = sorted("".join(decoder.reasoning))
        return text, decoder.tool_calls, reasoning, decoder.finish, decoder.fault, decoder.done, decoder.usage

    byte_by_byte = [whole[i : i + 1] for i in range(len(whole))]
    assert outcome(whole) == outcome(*parts) == outcome(*byte_by_byte)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_unknown_fields_are_ignored(on_chunk: dict[str, Any], on_delta: dict[str, Any]) -> None:
    """Whatever a provider adds, at any level, the text stays readable."""
    known = {"choices", "usage", "x_groq", "error", "content", "reasoning", "reasoning_content", "tool_calls"}
    delta = {**{k: v for k, v in on_delta.items() if k not in known}, "content": "ok"}
    more = {k: v for k, v in on_chunk.items() if k not in known}

    text, decoder = decode(chunk(delta, **more))

    assert (text, decoder.fault) == ("ok", None)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_crash_it(noise: bytes) -> None:
    """Noise gives text or a fault, never an exception."""
    decode(noise)
    decode(b"data: " + noise + b"\n\n")
