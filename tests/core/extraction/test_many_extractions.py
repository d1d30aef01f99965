"""200 inputs against five schemas: every result validates, or an error names the field. Over the strict fake API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from bot.commands.workbench import USER, open_workbench
from bot.config.loading import Loaded
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from core.base.clock import SystemClock
from core.domain.errors import OutputMalformed
from core.domain.json_schema import problems
from core.domain.requests import ExtractRequest, Text, Turn
from core.domain.schema_checks import SchemaChecks
from core.extraction.extraction import Extraction
from core.extraction.schema import Schema, parse_short, rows_of
from core.gateway.registry import load_registry
from tests.fakes.llm_api import KEY, FakeLlmApi, Say

SCHEMAS: tuple[Schema, ...] = (
    parse_short("name, price:number"),
    parse_short("who, what, until:date"),
    rows_of(parse_short("item, count:int")),
    {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "score": {"type": "integer", "minimum": 0, "maximum": 10}},
        "required": ["mood"],
    },
    {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": {"type": "string"}}, "open": {"type": "boolean"}},
        "required": ["tags", "open"],
        "additionalProperties": False,
    },
)
GOOD: tuple[Any, ...] = (
    {"name": "lamp", "price": 30},
    {"who": "Ann", "what": "call", "until": "2026-12-01"},
    {"items": [{"item": "lamp", "count": 2}]},
    {"mood": "good", "score": 7},
    {"tags": ["a"], "open": True},
)
COUNT = 200
BAD: tuple[Any, ...] = (
    {"name": "lamp", "price": "cheap"},
    {"who": "Ann", "what": "call", "until": "soon"},
    {"items": [{"item": "lamp"}]},
    {"mood": "odd", "score": 70},
    {"tags": "a", "open": True},
)


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


async def test_each_is_valid_or_named(groq: FakeLlmApi) -> None:
    """However often models answer wrongly, in prose, fenced or broken: valid data, or the field's name."""
    random = Random(5)

    def answer(body: dict[str, Any]) -> Say:
        number = int(body["messages"][1]["content"].split()[0]) % len(SCHEMAS)
        good, bad = json.dumps(GOOD[number]), json.dumps(BAD[number])
        return Say(random.choice((good, good, f"```json\n{good}\n```", bad, bad, good[:-3], "Sorry, I cannot.")))

    groq.answers(answer)
    groq.limits = {model: {"RPM": 10**6, "RPD": 10**8, "TPM": 10**9} for model in groq.models}
    loaded = Loaded(
        Settings.from_env({"GROQ_API_KEY": KEY, "GROQ_BASE_URL": groq.base_url, "LOCAL_MODEL": "off"}),
        Config(),
        load_registry(),
    )
    valid = named = 0

    async with open_workbench(loaded, SystemClock()) as bench:
        extraction = Extraction(bench.handler, SchemaChecks())
        for number in range(COUNT):
            schema = SCHEMAS[number % len(SCHEMAS)]
            request = ExtractRequest(f"x{number}", USER, (Turn("user", (Text(f"{number} lamps"),)),), schema)
            try:
                value = (await extraction.extract(request)).value
            except OutputMalformed as error:
                named += error.said.startswith("$")
            else:
                assert problems(schema, value) == []
                valid += 1

    assert valid + named == COUNT
    assert valid > COUNT * 3 // 4
