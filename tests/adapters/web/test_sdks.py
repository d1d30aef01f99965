"""The real `openai` and `groq` packages, sync and async, against the running API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import groq
import openai
import pytest

from core.domain.errors import LimitReached, NoModelLeft, OverLimit, Overloaded, StreamBroken, UnknownModel
from core.domain.events import ToolCallDelta
from core.domain.model_spec import Capability
from core.domain.requests import Image, Text, ToolCall, ToolResult
from tests.adapters.web.house import House

HI = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def client(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key="any", max_retries=0) as made:
        yield made


@pytest.fixture
async def groq_client(house: House) -> AsyncIterator[groq.AsyncGroq]:
    async with groq.AsyncGroq(base_url=house.url, api_key="any", max_retries=0) as made:
        yield made


async def test_openai_gets_an_answer_with_usage(house, client):
    """openai's async client reads text, model, finish and usage of an unstreamed answer."""
    answer = await client.chat.completions.create(model="auto", messages=HI)

    assert answer.choices[0].message.content == "Hello there."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "openai/gpt-oss-20b"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18)
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2
    assert answer._request_id == house.request_ids[-1]


async def test_openai_streams_and_reads_usage_last(house, client):
    """openai's async client reads the deltas, then a finish reason, then usage when it asked for it."""
    stream = await client.chat.completions.create(
        model="quality", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello there."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 18
    assert {c.model for c in chunks} == {"openai/gpt-oss-20b"}
    assert house.handler.last.requested_model == "quality"


async def test_openai_stream_without_options_carries_no_usage(client):
    """Without include_usage every chunk has a choice and none has usage."""
    stream = await client.chat.completions.create(model="auto", messages=HI, stream=True)

    assert all(chunk.choices and chunk.usage is None for chunk in [c async for c in stream])


async def test_openai_sync_client_works(house):
    """openai's sync client, in a thread, both ways."""

    def talk() -> tuple[str, str]:
        with openai.OpenAI(base_url=f"{house.url}/v1", api_key="any") as client:
            whole = client.chat.completions.create(model="auto", messages=HI).choices[0].message.content
            parts = client.chat.completions.create(model="auto", messages=HI, stream=True)
            return whole or "", "".join(part.choices[0].delta.content or "" for part in parts)

    assert await asyncio.to_thread(talk) == ("Hello there.", "Hello there.")


async def test_groq_gets_an_answer_and_streams_with_usage(groq_client):
    """groq's async client finds its own prefix, and usage in the last chunk's x_groq as Groq puts it there."""
    answer = await groq_client.chat.completions.create(model="auto", messages=HI)
    stream = await groq_client.chat.completions.create(model="auto", messages=HI, stream=True)
    chunks = [chunk async for chunk in stream]

    assert answer.choices[0].message.content == "Hello there."
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello there."
    assert chunks[-1].x_groq.usage.total_tokens == 18


async def test_groq_sync_client_works(house):
    """groq's sync client, in a thread, both ways."""

    def talk() -> tuple[str, str]:
        with groq.Groq(base_url=house.url, api_key="any") as client:
            whole = client.chat.completions.create(model="auto", messages=HI).choices[0].message.content
            parts = client.chat.completions.create(model="auto", messages=HI, stream=True)
            return whole or "", "".join(part.choices[0].delta.content or "" for part in parts)

    assert await asyncio.to_thread(talk) == ("Hello there.", "Hello there.")


async def test_models_are_listed_and_shown(client, groq_client):
    """Both clients list the wishes and the models, and show one whose id has a slash."""
    listed = [model.id async for model in client.models.list()]
    shown = await client.models.retrieve("openai/gpt-oss-20b")
    by_groq = await groq_client.models.list()

    assert listed == ["auto", "speed", "quality", "openai/gpt-oss-20b", "openai/gpt-oss-120b"]
    assert (shown.id, shown.owned_by) == ("openai/gpt-oss-20b", "groq")
    assert [model.id for model in by_groq.data] == listed
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-2")


async def test_unknown_model_is_a_400_that_lists_the_known(house, client):
    """An id that nobody knows is a BadRequestError naming what there is."""
    house.handler.steps = [UnknownModel("gpt-2", known=["auto", "openai/gpt-oss-20b"])]

    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="gpt-2", messages=HI)

    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "auto, openai/gpt-oss-20b" in caught.value.message


async def test_refusal_by_the_guard_is_a_429_with_retry_after(house, client):
    """A user over the limit gets RateLimitError, and the header says when to come back, even on a stream."""
    house.handler.steps = [OverLimit("user", "requests per minute", limit=5, retry_after_s=11.2)]

    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="auto", messages=HI, stream=stream)

        assert caught.value.response.headers["retry-after"] == "12"
        assert "x-should-retry" not in caught.value.response.headers


async def test_long_waits_are_not_slept_by_the_client(house, client):
    """A wait beyond half a minute tells the client not to retry by itself."""
    house.handler.steps = [OverLimit("user", "tokens per day", limit=5, retry_after_s=7200)]

    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="auto", messages=HI)

    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_no_model_left_is_a_503(house, client, groq_client):
    """When every model failed, both clients raise InternalServerError with the plain sentence."""
    house.handler.steps = [NoModelLeft([LimitReached(retry_after_s=3.0), Overloaded()])]

    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="auto", messages=HI)
    with pytest.raises(groq.InternalServerError):
        await groq_client.chat.completions.create(model="auto", messages=HI)

    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "3"


async def test_failure_in_mid_stream_is_raised_from_the_loop(house, client, groq_client):
    """After the first words an error arrives in band: both clients raise APIError after the text they got."""
    for one in (client, groq_client):
        house.handler.steps = ["Half an ", NoModelLeft([StreamBroken()], partial_text="Half an ")]
        heard: list[str] = []
        stream = await one.chat.completions.create(model="auto", messages=HI, stream=True)
        with pytest.raises((openai.APIError, groq.APIError), match="broke off"):
            await _read_into(heard, stream)

        assert "".join(heard) == "Half an "


async def test_tool_calls_come_whole_and_in_pieces(house, client):
    """Tools pass through; calls are assembled by openai's client from deltas as from a whole answer."""
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": True}}]
    house.handler.steps = [ToolCallDelta(0, "c1", "look", '{"at":'), ToolCallDelta(0, "", "", '"sea"}')]

    answer = await client.chat.completions.create(
        model="auto", messages=HI, tools=tools, tool_choice={"type": "function", "function": {"name": "look"}}
    )
    async with client.chat.completions.stream(model="auto", messages=HI, tools=tools) as stream:
        final = await stream.get_final_completion()

    for message in (answer.choices[0].message, final.choices[0].message):
        assert message.tool_calls[0].id == "c1"
        assert message.tool_calls[0].function.name == "look"
        assert message.tool_calls[0].function.arguments == '{"at":"sea"}'
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None
    assert house.handler.requests[0].tool_choice == "look"
    assert house.handler.requests[0].needs == {Capability.TOOLS}


async def test_a_whole_conversation_becomes_turns(house, client):
    """System, picture, tool call and tool result keep their meaning on the way in."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    await client.chat.completions.create(
        model="auto",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "a gull"},
        ],
    )

    system, user, assistant, tool = house.handler.last.turns
    assert system.parts == (Text("Be brief."),)
    assert user.parts == (Text("What is it?"), Image("", "image/png", url="data:image/png;base64,AAAA"))
    assert assistant.parts == (ToolCall("c1", "look", "{}"),)
    assert tool.parts == (ToolResult("c1", "look", "a gull"),)
    assert Capability.VISION in house.handler.last.needs


async def test_parsed_output_works(house, client):
    """response_format json_schema reaches the stack, and openai's parse helper reads the answer."""
    from pydantic import BaseModel

    class Bird(BaseModel):
        name: str

    house.handler.steps = ['{"name": "tern"}']

    answer = await client.chat.completions.parse(model="auto", messages=HI, response_format=Bird)

    assert answer.choices[0].message.parsed == Bird(name="tern")
    assert house.handler.last.output_format.kind == "json_schema"
    assert house.handler.last.output_format.schema["required"] == ["name"]
    assert house.handler.last.output_format.strict


async def test_a_client_that_leaves_cancels_the_request(house, client):
    """Closing a stream early, or giving up on an unstreamed answer, stops the model."""
    house.handler.steps = ["Hello", asyncio.Event()]
    stream = await client.chat.completions.create(model="auto", messages=HI, stream=True)
    async for _ in stream:
        break
    await stream.close()
    await _until(lambda: house.handler.cancelled == 1)

    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.1).chat.completions.create(model="auto", messages=HI)
    await _until(lambda: house.handler.cancelled == 2)

    assert house.handler.running == 0


async def _read_into(heard, stream) -> None:
    async for chunk in stream:
        heard.append(chunk.choices[0].delta.content or "")


async def _until(happened) -> None:
    async with asyncio.timeout(5):
        while not happened():
            await asyncio.sleep(0.005)
