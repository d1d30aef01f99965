"""/v1/responses with openai's own client: created whole and streamed, gone on from, read again, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from adapters.web import WebSettings
from core.domain.errors import ContextTooLong, NoModelLeft, Overloaded
from core.domain.events import ToolCallDelta
from core.domain.model_spec import Capability
from core.domain.requests import Image, Text, ToolCall, ToolResult
from tests.adapters.web.house import House, a_house

KEYS = ("first-long-key-000", "second-long-key-00")
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
async def client(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key="any", max_retries=0) as made:
        yield made


def told(house: House) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in house.handler.last.turns]


async def test_a_text_is_answered(client: openai.AsyncOpenAI, house: House) -> None:
    """The simplest call: a string in, output_text out, with usage and the model that answered."""
    made = await client.responses.create(
        model="auto", input="hi", instructions="Be brief.", temperature=0.5, max_output_tokens=99
    )

    assert (made.output_text, made.status, made.model) == ("Hello there.", "completed", "openai/gpt-oss-20b")
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (11, 7)
    assert told(house) == [("system", "Be brief."), ("user", "hi")]
    assert (house.handler.last.temperature, house.handler.last.max_output_tokens) == (0.5, 99)


async def test_a_stream_grows_by_events(client: openai.AsyncOpenAI) -> None:
    """The events come in OpenAI's order, numbered; the helper of its client puts them together."""
    async with client.responses.stream(model="auto", input="hi") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()

    kinds = [event.type for event in events if event.type != "response.output_text.delta"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert final.output_text == "Hello there."
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_are_called_and_answered(client: openai.AsyncOpenAI, house: House, streamed: bool) -> None:
    """A call comes as an item of its own; its output goes back beside previous_response_id."""
    house.handler.steps = [
        ToolCallDelta(0, "call_1", "weather", '{"city":'),
        ToolCallDelta(0, "", "", '"Bern"}'),
        ToolCallDelta(1, "call_2", "weather", "{}"),
    ]
    asked: dict[str, Any] = {"model": "auto", "input": "Weather in Bern?", "tools": [WEATHER]}
    if streamed:
        async with client.responses.stream(**asked) as stream:
            first = await stream.get_final_response()
    else:
        first = await client.responses.create(**asked)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("call_1", "weather", '{"city":"Bern"}'),
        ("call_2", "weather", "{}"),
    ]

    house.handler.steps = ["Sunny."]
    second = await client.responses.create(
        model="auto",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": "call_1", "output": "20 degrees"}],
        tools=[WEATHER],  # type: ignore[list-item]
    )

    assert second.output_text == "Sunny."
    turns = house.handler.last.turns
    assert [turn.role for turn in turns] == ["user", "assistant", "tool"]
    assert turns[1].parts == (ToolCall("call_1", "weather", '{"city":"Bern"}'), ToolCall("call_2", "weather", "{}"))
    assert turns[2].parts == (ToolResult("call_1", "weather", "20 degrees"),)
    assert house.handler.last.tools[0].name == "weather"


async def test_a_chain_is_gone_on_from(client: openai.AsyncOpenAI, house: House) -> None:
    """Each response brings what was said before it; instructions hold for their own response alone."""
    first = await client.responses.create(model="auto", input="one", instructions="Shout.")
    second = await client.responses.create(model="auto", input="two", previous_response_id=first.id)
    await client.responses.create(model="auto", input="three", previous_response_id=second.id)

    answer = ("assistant", "Hello there.")
    assert told(house) == [("user", "one"), answer, ("user", "two"), answer, ("user", "three")]


async def test_a_response_is_read_again_and_removed(client: openai.AsyncOpenAI) -> None:
    """Until it is deleted; then nobody can go on from it."""
    made = await client.responses.create(model="auto", input="hi", metadata={"for": "tests"})

    again = await client.responses.retrieve(made.id)
    assert (again.output_text, again.metadata) == ("Hello there.", {"for": "tests"})
    with pytest.raises(openai.BadRequestError):
        await client.responses.cancel(made.id)
    await client.responses.delete(made.id)

    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="Previous response with id"):
        await client.responses.create(model="auto", input="hi", previous_response_id=made.id)


async def test_what_shall_not_be_stored_is_not(client: openai.AsyncOpenAI) -> None:
    """store=false leaves nothing behind."""
    made = await client.responses.create(model="auto", input="hi", store=False)

    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_a_response_is_its_keys_alone() -> None:
    """Another key neither reads nor removes it, nor goes on from it."""
    async with a_house(WebSettings(api_keys=KEYS)) as house:
        ann, ben = (openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key=key, max_retries=0) for key in KEYS)
        made = await ann.responses.create(model="auto", input="secret")

        for attempt in (
            ben.responses.retrieve(made.id),
            ben.responses.delete(made.id),
            ben.responses.create(model="auto", input="hi", previous_response_id=made.id),
        ):
            with pytest.raises(openai.APIStatusError):
                await attempt

        assert (await ann.responses.retrieve(made.id)).id == made.id
        await ann.close()
        await ben.close()


class Town(BaseModel):
    name: str
    people: int


async def test_structured_output_is_parsed(client: openai.AsyncOpenAI, house: House) -> None:
    """The schema arrives as the answer's form."""
    house.handler.steps = ['{"name": "Bern", "people": 130000}']

    made = await client.responses.parse(model="auto", input="Which town?", text_format=Town)

    assert made.output_parsed == Town(name="Bern", people=130_000)
    assert house.handler.last.output_format.kind == "json_schema"
    assert Capability.JSON_SCHEMA in house.handler.last.needs


async def test_parts_items_and_built_in_tools_are_understood(client: openai.AsyncOpenAI, house: House) -> None:
    """Pictures, earlier items handed back, web_search in any of its spellings, effort."""
    picture = "data:image/png;base64,iVBORw0KGgo="
    await client.responses.create(
        model="auto",
        input=[
            {"role": "user", "content": "hi"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes?"}]},  # type: ignore[list-item]
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": picture, "detail": "auto"},
                ],
            },
        ],
        tools=[{"type": "web_search"}],
        reasoning={"effort": "high"},
    )

    wanted = house.handler.last
    assert told(house) == [("user", "hi"), ("assistant", "Yes?"), ("user", "What is this?")]
    assert isinstance(wanted.turns[2].parts[1], Image)
    assert [(tool.name, tool.builtin) for tool in wanted.tools] == [("browser_search", True)]
    assert wanted.effort == "high"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "judge", "content": "x"}]}, "input"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, None),
        ({"input": 7}, "input"),
        ({"input": "hi", "background": True}, "background"),
        ({"input": "hi", "tools": [{"type": "computer_use_preview"}]}, "tools[0].type"),
        ({"input": "hi", "previous_response_id": "resp_none"}, "previous_response_id"),
        ({"input": "hi", "temperature": 9}, "temperature"),
    ],
)
async def test_what_cannot_be_given_is_refused(house: House, given: dict[str, Any], param: str | None) -> None:
    """A 400 that names the field, before any model is asked."""
    async with house.http.post(f"{house.url}/v1/responses", json={"model": "auto", **given}) as answer:
        error = (await answer.json())["error"]

    assert answer.status == 400
    assert param is None or error["param"] == param
    assert house.handler.requests == []


async def test_errors_keep_their_classes(client: openai.AsyncOpenAI, house: House) -> None:
    """Before the first word a status, afterwards an error event, which the client raises."""
    house.handler.steps = [NoModelLeft([Overloaded()])]
    with pytest.raises(openai.InternalServerError):
        await client.responses.create(model="auto", input="hi")

    house.handler.steps = ["Hello", NoModelLeft([ContextTooLong()], partial_text="Hello")]
    with pytest.raises(openai.APIError):
        async for _ in await client.responses.create(model="auto", input="hi", stream=True):
            pass


async def test_an_answer_that_was_cut_is_incomplete(client: openai.AsyncOpenAI, house: House) -> None:
    """Its reason stands where OpenAI's clients look."""
    house.handler.finish = "length"

    made = await client.responses.create(model="auto", input="hi")

    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("path", ["responses", "chat/completions"])
async def test_a_prompt_longer_than_any_context_is_refused_unless_it_may_be_cut(house: House, path: str) -> None:
    """context_length_exceeded, as everywhere; truncation "auto" asks for the cut."""
    words = "word " * 400_000
    asked = {"input": words} if path == "responses" else {"messages": [{"role": "user", "content": words}]}
    url = f"{house.url}/v1/{path}/"

    async with house.http.post(url, json={"model": "auto", **asked}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "context_length_exceeded")
    async with house.http.post(url, json={"model": "auto", "truncation": "auto", **asked}) as answer:
        assert answer.status == 200

    assert house.handler.last.turns[0].parts == (Text(words),)
