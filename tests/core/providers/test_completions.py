"""What happens to one call, streamed or whole, where the other side does not play along."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from core.domain.errors import ConnectionFailed, OutputMalformed, ProviderError, Stalled, StreamBroken
from core.domain.requests import ChatRequest, OutputFormat, ToolCall
from core.providers.groq import GroqProvider
from core.providers.local import LocalProvider
from tests.core.providers.conftest import EYES, LOCAL, QUICK, REGISTRY, SMALL, Heard, ask
from tests.fakes.llm_api import Cut, FakeLlmApi, Say, Stall, Strange

MODEL = REGISTRY.get(SMALL)
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def whole(**wanted: object) -> ChatRequest:
    """A request that Groq cannot stream."""
    return ask(output_format=OutputFormat("json_schema", schema=SCHEMA), max_output_tokens=10, **wanted)


def completion(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> Strange:
    value = {"choices": [{"message": message, "finish_reason": finish}], **more}
    return Strange(json.dumps(value).encode(), "application/json")


@pytest.fixture
def mute() -> Any:
    """A server that takes a request and says nothing at all."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    return asyncio.start_server(listen, "127.0.0.1", 0)


async def test_no_headers_is_silence_before_the_first_token(mute: Any, heard: Heard) -> None:
    """The same deadline covers them."""
    async with await mute as server:
        provider = GroqProvider("k", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeouts=QUICK)

        with pytest.raises(Stalled) as caught:
            await provider(ask(), MODEL, heard.send)

        assert caught.value.first
        await provider.close()


async def test_the_list_of_a_mute_server_is_a_stall(mute: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up must not hang on it."""
    monkeypatch.setattr("core.providers.callers.LIST_TIMEOUT_S", 0.1)
    async with await mute as server:
        provider = LocalProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

        with pytest.raises(Stalled):
            await provider.models()

        await provider.close()


async def test_a_readers_own_timeout_is_passed_on(groq: GroqProvider, groq_api: FakeLlmApi) -> None:
    """It is not the model's."""

    async def late(event: object) -> None:
        raise TimeoutError("the reader's")

    with pytest.raises(TimeoutError, match="the reader's"):
        await groq(ask(), MODEL, late)


async def test_a_lost_usage_is_estimated(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """After the finish reason the answer is good, whatever happens to the connection."""
    groq_api.plays(SMALL, Strange(b'data: {"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}\n\n'))

    reply = await groq(ask(), MODEL, heard.send)

    assert reply.text == "Yes."
    assert reply.usage.estimated


async def test_an_unstreamed_answer_that_does_not_come(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Its deadline grows with the length it may have."""
    groq_api.plays(SMALL, Stall())

    with pytest.raises(Stalled) as caught:
        await groq(whole(), MODEL, heard.send)

    assert caught.value.silence_s == pytest.approx(QUICK.first_token_s + 2 * 10 / 1_000)


async def test_an_unstreamed_answer_that_breaks_off(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Before its first byte the connection failed."""
    groq_api.plays(SMALL, Cut("x", after=0))

    with pytest.raises(ConnectionFailed):
        await groq(whole(), MODEL, heard.send)


async def test_an_unstreamed_answer_cut_in_its_body(heard: Heard) -> None:
    """The headers had come."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"choices": [')
        writer.close()

    async with await asyncio.start_server(half, "127.0.0.1", 0) as server:
        provider = GroqProvider("k", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeouts=QUICK)
        with pytest.raises(StreamBroken) as caught:
            await provider(whole(), MODEL, heard.send)
        with pytest.raises(StreamBroken):
            await provider.models()
        await provider.close()

    assert caught.value.cause_kind == "closed"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Strange(b"<html>", "text/html"), "garbage"),
        (Strange(b"{}", "application/json"), "garbage"),
        (Strange(b'{"choices": "none"}', "application/json"), "garbage"),
        (Strange(b'{"error": {"message": "no"}}', "application/json"), "error_event"),
        (completion({"content": ""}), "empty"),
    ],
)
async def test_an_unstreamed_answer_that_is_none(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard, script: Strange, kind: str
) -> None:
    """Each told apart, with status 200."""
    groq_api.plays(SMALL, script)

    with pytest.raises(StreamBroken) as caught:
        await groq(whole(), MODEL, heard.send)

    assert caught.value.cause_kind == kind
    assert heard.text == ""


async def test_an_unstreamed_failure_keeps_its_class(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """An error object with status 200 that the table knows by its code."""
    body = {"error": {"message": "no", "code": "json_validate_failed", "failed_generation": "{"}}
    groq_api.plays(SMALL, Strange(json.dumps(body).encode(), "application/json"))

    with pytest.raises(OutputMalformed) as caught:
        await groq(whole(), MODEL, heard.send)

    assert caught.value.failed_generation == "{"


async def test_an_unstreamed_answer_in_full(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Reasoning, calls and usage as in a stream."""
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": None, "reasoning": "hm", "tool_calls": [call, {"function": {"name": "g"}}]}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}
    groq_api.plays(SMALL, completion(message, "tool_calls", usage=usage, x_groq={"id": "req_9"}))

    reply = await groq(whole(), MODEL, heard.send)

    assert reply.tool_calls == (ToolCall("c1", "f", "{}"), ToolCall("call_1", "g", ""))
    assert (reply.reasoning, reply.provider_request_id) == ("hm", "req_9")
    assert (reply.usage.prompt_tokens, reply.usage.output_tokens, reply.finish) == (3, 4, "tool_calls")


async def test_thinking_leaves_an_unstreamed_answer_too(
    local: LocalProvider, local_api: FakeLlmApi, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local model may write its tags into any text."""
    monkeypatch.setattr("core.providers.completions.streams", lambda request, model: False)
    monkeypatch.setattr("core.providers.wire.streams", lambda request, model: False)
    local_api.plays(LOCAL.id, Say("<think>hm</think>Four."))

    reply = await local(ask(max_output_tokens=10), LOCAL, heard.send)

    assert (reply.text, reply.reasoning) == ("Four.", "hm")


async def test_what_only_looks_like_thinking_is_kept(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Held back until it was clear, handed out at the end."""
    groq_api.plays(EYES, Say(chunks=["<thin"]))

    assert (await groq(ask(), REGISTRY.get(EYES), heard.send)).text == "<thin"


async def test_an_empty_answer_to_a_stop_sequence_is_good(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """It may have been hit at once."""
    groq_api.plays(SMALL, Say(""))

    assert (await groq(ask(stop=("\n",)), MODEL, heard.send)).text == ""


async def test_nothing_is_started_by_a_refusal(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Started comes with the first text, not with the request."""
    groq_api.plays(SMALL, Say("", reasoning="hm"))

    with pytest.raises(ProviderError):
        await groq(ask(), MODEL, heard.send)

    assert heard.events == []
