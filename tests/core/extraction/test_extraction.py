"""Extraction ends in a valid object or in an error that names the field."""

from __future__ import annotations

import json

import pytest

from core.domain.errors import BadRequest, NoModelLeft, OutputMalformed
from core.domain.events import Send
from core.domain.model_spec import Capability
from core.domain.requests import ChatRequest, ExtractRequest, Reply, Text, Turn, Usage
from core.domain.schema_checks import SchemaChecks
from core.extraction.extraction import Extraction
from core.extraction.schema import parse_short
from tests.core.voice.hearing import USER

SCHEMA = parse_short("name, price:number")
GOOD = json.dumps({"name": "tea", "price": 2})
BAD = json.dumps({"name": "tea", "price": "two"})


class Models:
    """A handler over models that answer from a list each; a model without schema mode refuses schema requests."""

    def __init__(self, *models: tuple[str, bool, list[str]]) -> None:
        self._models = [(name, has_schema, list(answers)) for name, has_schema, answers in models]
        self.asked: list[ChatRequest] = []

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        for name, has_schema, answers in self._models:
            if name in request.avoid or (Capability.JSON_SCHEMA in request.needs and not has_schema):
                continue
            self.asked.append(request)
            return Reply(answers.pop(0), name, "groq", Usage(output_tokens=5))
        raise NoModelLeft(missing="json_schema")


def request(**changes: object) -> ExtractRequest:
    turns = (Turn("user", (Text("Tea costs 2."),)),)
    return ExtractRequest("r1", USER, turns, changes.get("schema", SCHEMA))  # type: ignore[arg-type]


async def test_schema_mode_is_used_where_it_exists() -> None:
    """A model that follows schemas is asked once, strictly."""
    models = Models(("big", True, [GOOD]))

    found = await Extraction(models, SchemaChecks()).extract(request())

    assert (found.value, found.rounds) == ({"name": "tea", "price": 2}, 1)
    assert models.asked[0].output_format.strict


async def test_json_mode_stands_in() -> None:
    """Without a schema model, JSON is asked for and validated here; the prompt holds the word the API demands."""
    models = Models(("small", False, [f"Sure!\n```json\n{GOOD}\n```"]))

    found = await Extraction(models, SchemaChecks()).extract(request())

    assert found.value["price"] == 2
    assert models.asked[0].output_format.kind == "json_object"
    assert "json" in models.asked[0].turns[0].text.lower()


async def test_invalid_answer_is_repaired_once() -> None:
    """The model is shown what is wrong with its own answer."""
    models = Models(("big", True, [BAD, GOOD]))

    found = await Extraction(models, SchemaChecks()).extract(request())

    assert (found.rounds, found.usage.output_tokens) == (2, 10)
    assert "$.price" in models.asked[1].turns[-1].text


async def test_next_model_starts_anew() -> None:
    """A model that fails twice is not asked again for this extraction."""
    models = Models(("big", True, [BAD, "nonsense"]), ("other", True, [GOOD]))

    found = await Extraction(models, SchemaChecks()).extract(request())

    assert (found.model, found.rounds) == ("other", 3)
    assert len(models.asked[2].turns) == 2


async def test_error_names_the_field() -> None:
    """When every model fails, the error says which field and keeps the last text."""
    models = Models(("big", True, [BAD, BAD]), ("other", True, [BAD, BAD]))

    with pytest.raises(OutputMalformed) as caught:
        await Extraction(models, SchemaChecks()).extract(request())

    assert "$.price" in caught.value.said
    assert caught.value.failed_generation == BAD


async def test_wrong_schema_asks_nobody() -> None:
    """A schema that is none is refused before anything is paid."""
    models = Models(("big", True, []))

    with pytest.raises(BadRequest):
        await Extraction(models, SchemaChecks()).extract(request(schema={"type": "list"}))
    assert models.asked == []


async def test_no_model_is_said_as_such() -> None:
    """Without any model the caller learns just that."""
    with pytest.raises(NoModelLeft):
        await Extraction(Models(), SchemaChecks()).extract(request())
