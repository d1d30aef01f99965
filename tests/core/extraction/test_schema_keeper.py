"""What a caller's schema asks for comes back following it, or the error names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.domain.errors import BadRequest, NoModelLeft, OutputMalformed
from core.domain.events import Event, Send, Started, TextDelta
from core.domain.requests import ChatRequest, OutputFormat, Reply, Text, Tool, Turn, Usage
from core.domain.schema_checks import SchemaChecks
from core.extraction.schema_keeper import SchemaKeeper
from tests.core.voice.hearing import USER

SCHEMA = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
GOOD, BAD = json.dumps({"price": 3}), json.dumps({"price": "three"})


class Model:
    """Answers in order, streaming each."""

    def __init__(self, *answers: str, finish: Any = "stop") -> None:
        self.answers = list(answers)
        self.finish = finish
        self.asked: list[ChatRequest] = []

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        self.asked.append(request)
        text = self.answers.pop(0)
        await send(TextDelta(text))
        return Reply(text, "m", "groq", Usage(output_tokens=5), self.finish)


async def ask(model: Model, schema: Any = SCHEMA, **changes: Any) -> tuple[Reply, list[Event]]:
    shown: list[Event] = []

    async def send(event: Event) -> None:
        shown.append(event)

    form = OutputFormat("json_schema", "bill", schema) if schema else OutputFormat("text")
    request = ChatRequest("r1", USER, (Turn("user", (Text("?"),)),), output_format=form, **changes)
    return await SchemaKeeper(model, SchemaChecks())(request, send), shown


async def test_answer_that_follows_is_shown_whole() -> None:
    """One request, one piece of text."""
    reply, shown = await ask(Model(GOOD))

    assert reply.text == GOOD
    assert shown == [Started("m", "groq"), TextDelta(GOOD)]


async def test_answer_that_does_not_is_repaired_unseen() -> None:
    """The model is told which field is wrong; the first try is paid for and never shown."""
    model = Model(BAD, GOOD)

    reply, shown = await ask(model)

    assert (reply.text, reply.usage.output_tokens) == (GOOD, 10)
    assert shown[-1] == TextDelta(GOOD)
    assert "$.price" in model.asked[1].turns[-1].text
    assert model.asked[0].request_id != model.asked[1].request_id


async def test_error_names_the_field() -> None:
    """Twice wrong is an error, and nothing was shown."""
    with pytest.raises(NoModelLeft) as caught:
        await ask(Model(BAD, "Sorry."))

    (cause,) = caught.value.errors
    assert isinstance(cause, OutputMalformed)
    assert cause.said.startswith("$")


async def test_callers_own_limit_is_respected() -> None:
    """Cut off by max_tokens it is handed over as it is, with its finish reason."""
    reply, _ = await ask(Model('{"price"', finish="length"))

    assert (reply.text, reply.finish) == ('{"price"', "length")


async def test_schema_that_is_none_asks_nobody() -> None:
    """It is refused before anything is paid."""
    model = Model(GOOD)

    with pytest.raises(BadRequest):
        await ask(model, {"type": "banana"})
    assert model.asked == []


@pytest.mark.parametrize("more", [{"schema": None}, {"tools": (Tool("t"),)}])
async def test_everything_else_passes_as_it_comes(more: dict[str, Any]) -> None:
    """Plain answers and requests with tools are not looked at."""
    reply, shown = await ask(Model("hello"), **more)

    assert reply.text == "hello"
    assert shown == [TextDelta("hello")]
