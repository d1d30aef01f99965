"""OpenAI's provider, over real sockets, against a strict fake of its API."""

from __future__ import annotations

import pytest

from core.domain.errors import ConnectionFailed, KeyRejected, ModelGone, Stalled, StreamBroken
from core.domain.events import Started, ToolCallDelta
from core.domain.requests import OutputFormat, Tool, ToolCall
from core.providers.openai import OpenAIProvider
from tests.core.providers.conftest import LUNA, REGISTRY, Heard, ask
from tests.fakes.llm_api import KEY, Cut, Disconnect, FakeLlmApi, Say, Stall

MODEL = REGISTRY.get(LUNA)
WEATHER = Tool("weather", "Look it up", {"type": "object", "properties": {}})


async def test_text_and_usage_arrive(openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard) -> None:
    """Usage comes in a last chunk without choices, because it was asked for."""
    openai_api.plays(LUNA, Say("Hello there."))

    reply = await openai(ask("x" * 400), MODEL, heard.send)

    assert reply.text == heard.text == "Hello there."
    assert reply.usage.prompt_tokens == 104
    assert not reply.usage.estimated
    assert heard.events[0] == Started(LUNA, "openai")


async def test_temperature_is_sent_at_effort_none(openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard) -> None:
    """The default effort of the backup."""
    await openai(ask(temperature=0.2), MODEL, heard.send)

    assert openai_api.requests[-1].body["temperature"] == 0.2
    assert openai_api.requests[-1].body["reasoning_effort"] == "none"


async def test_temperature_is_left_out_beside_reasoning(
    openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard
) -> None:
    """GPT-6 refuses it above effort none."""
    await openai(ask(temperature=0.2, effort="high"), MODEL, heard.send)

    assert "temperature" not in openai_api.requests[-1].body


async def test_tools_lower_the_effort_to_none(openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard) -> None:
    """Function calling works at effort none only; the pieces of a call are put together."""
    openai_api.plays(LUNA, Say(calls=[("weather", '{"place": "Bern"}')]))

    reply = await openai(ask(tools=(WEATHER,), effort="high"), MODEL, heard.send)

    assert reply.tool_calls == (ToolCall("call_0", "weather", '{"place": "Bern"}'),)
    deltas = [event for event in heard.events if isinstance(event, ToolCallDelta)]
    assert deltas[0].name == "weather"
    assert all(not delta.name for delta in deltas[1:])


async def test_a_schema_may_be_streamed(openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard) -> None:
    """Unlike at Groq."""
    openai_api.plays(LUNA, Say("{}"))
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}

    await openai(ask(output_format=OutputFormat("json_schema", schema=schema)), MODEL, heard.send)

    assert openai_api.requests[-1].body["stream"] is True


@pytest.mark.parametrize(
    ("how", "kind"), [("socket", "closed"), ("clean", "no_finish"), ("error_event", "error_event")]
)
async def test_broken_streams_are_told_apart(
    openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard, how: str, kind: str
) -> None:
    """The same ways as Groq's, over httpx2."""
    openai_api.plays(LUNA, Cut("one two three", after=2, how=how, tokens_per_s=1_000))  # type: ignore[arg-type]

    with pytest.raises(StreamBroken) as caught:
        await openai(ask(), MODEL, heard.send)

    assert caught.value.cause_kind == kind
    assert heard.text == "one two"


async def test_a_stall_and_a_lost_connection(openai: OpenAIProvider, openai_api: FakeLlmApi, heard: Heard) -> None:
    """Both before the first token, both told apart."""
    openai_api.plays(LUNA, Stall(), Disconnect())

    with pytest.raises(Stalled):
        await openai(ask(), MODEL, heard.send)
    with pytest.raises(ConnectionFailed):
        await openai(ask(), MODEL, heard.send)


async def test_a_wrong_key_and_an_unknown_model(openai_api: FakeLlmApi, heard: Heard) -> None:
    """401 and 404 in OpenAI's form."""
    wrong = OpenAIProvider("sk-wrongwrongwrong", base_url=openai_api.base_url)
    right = OpenAIProvider(KEY, base_url=openai_api.base_url + "/")
    openai_api.dead.add(LUNA)

    with pytest.raises(KeyRejected):
        await wrong(ask(), MODEL, heard.send)
    with pytest.raises(ModelGone):
        await right(ask(), MODEL, heard.send)

    await wrong.close()
    await right.close()


async def test_its_list_of_models(openai: OpenAIProvider) -> None:
    """Ids, and nothing about prices."""
    assert [(model.id, model.price_output) for model in await openai.models()] == [
        (LUNA, None),
        ("gpt-transcribe", None),
    ]
