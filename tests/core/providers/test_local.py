"""A local server by its address, without an SDK, against a strict fake of llama.cpp's server."""

from __future__ import annotations

import asyncio

import pytest

from core.domain.errors import ConnectionFailed, ContextTooLong, KeyRejected, Stalled, StreamBroken
from core.domain.requests import Image, OutputFormat, Text, Tool, ToolCall, ToolResult, Turn
from core.providers.local import LocalProvider
from tests.core.providers.conftest import LOCAL, Heard, ask
from tests.fakes.llm_api import Cut, Disconnect, FakeLlmApi, Say, Stall


async def test_text_arrives(local: LocalProvider, local_api: FakeLlmApi, heard: Heard) -> None:
    """With the name of the limit that every local server knows."""
    local_api.plays(LOCAL.id, Say("Hello there."))

    reply = await local(ask(max_output_tokens=64), LOCAL, heard.send)

    assert reply.text == heard.text == "Hello there."
    assert reply.provider == "local"
    assert local_api.requests[-1].body["max_tokens"] == 64


async def test_tools_and_pictures_are_never_sent(local: LocalProvider, local_api: FakeLlmApi, heard: Heard) -> None:
    """The small model makes no calls and sees nothing: a tool's result becomes text, a picture a word."""
    turns = (
        Turn("user", (Text("weather?"), Image("", "image/png", data=b"x"))),
        Turn("assistant", (ToolCall("c1", "weather", "{}"),)),
        Turn("tool", (ToolResult("c1", "weather", "sunny"),)),
        Turn("user", (Text("and now?"),)),
    )

    await local(ask(turns=turns, tools=(Tool("weather"),), tool_choice="auto"), LOCAL, heard.send)

    body = local_api.requests[-1].body
    assert "tools" not in body
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert "[weather] sunny" in body["messages"][0]["content"]


async def test_reasoning_in_a_field_of_its_own_stays_out(
    local: LocalProvider, local_api: FakeLlmApi, heard: Heard
) -> None:
    """llama.cpp calls it reasoning_content."""
    local_api.plays(LOCAL.id, Say("Four.", reasoning="two and two"))

    reply = await local(ask(), LOCAL, heard.send)

    assert heard.text == "Four."
    assert reply.reasoning == "two and two"


async def test_a_prompt_that_is_too_long_says_so(local: LocalProvider, heard: Heard) -> None:
    """exceed_context_size_error, whose code is a number."""
    with pytest.raises(ContextTooLong):
        await local(ask("x" * 40_000), LOCAL, heard.send)


async def test_json_is_asked_for(local: LocalProvider, local_api: FakeLlmApi, heard: Heard) -> None:
    """The grammar does the rest."""
    local_api.plays(LOCAL.id, Say("{}"))

    await local(ask(output_format=OutputFormat("json_schema", schema={"type": "object"})), LOCAL, heard.send)

    assert local_api.requests[-1].body["response_format"]["type"] == "json_schema"


async def test_failures_are_those_of_any_provider(local: LocalProvider, local_api: FakeLlmApi, heard: Heard) -> None:
    """A dead process, a cut and a stall."""
    local_api.plays(LOCAL.id, Disconnect(), Cut("a b c", after=1), Stall())

    with pytest.raises(ConnectionFailed):
        await local(ask(), LOCAL, heard.send)
    with pytest.raises(StreamBroken):
        await local(ask(), LOCAL, heard.send)
    with pytest.raises(Stalled):
        await local(ask(), LOCAL, heard.send)


async def test_the_wrong_key_is_rejected(local_api: FakeLlmApi, heard: Heard) -> None:
    """No key sends no header at all."""
    provider = LocalProvider(local_api.base_url)

    with pytest.raises(KeyRejected):
        await provider(ask(), LOCAL, heard.send)

    assert "Authorization" not in local_api.requests[-1].headers
    await provider.close()


async def test_its_list_of_models(local: LocalProvider, local_api: FakeLlmApi) -> None:
    """For the name of the one model it serves."""
    assert [model.id for model in await local.models()] == [LOCAL.id]


async def test_a_list_from_nowhere_is_a_failed_connection() -> None:
    """The server may not be up yet."""
    provider = LocalProvider("http://127.0.0.1:9")

    with pytest.raises(ConnectionFailed):
        await provider.models()

    await provider.close()


async def test_a_cancelled_request_closes_its_connection(
    local: LocalProvider, local_api: FakeLlmApi, heard: Heard
) -> None:
    """Otherwise the processor would go on writing."""
    local_api.plays(LOCAL.id, Say("word " * 5_000, tokens_per_s=200))
    task = asyncio.create_task(local(ask(), LOCAL, heard.send))
    while not heard.text:
        await asyncio.sleep(0.005)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not local_api.requests[0].hung_up:
        await asyncio.sleep(0.005)

    assert local_api.requests[0].tokens_sent < 5_000


async def test_a_refusal_that_breaks_off_is_a_failed_connection(heard: Heard) -> None:
    """Its status alone says too little."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Oops\r\ncontent-length: 500\r\n\r\n{")
        writer.close()

    async with await asyncio.start_server(half, "127.0.0.1", 0) as server:
        provider = LocalProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ConnectionFailed):
            await provider(ask(), LOCAL, heard.send)
        with pytest.raises(ConnectionFailed):
            await provider.models()
        await provider.close()
