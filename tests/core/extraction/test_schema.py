"""The short form of schemas, and what strict modes make of the long one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.errors import BadRequest
from core.domain.json_schema import check, problems
from core.extraction import schema as schemas


def kinds(schema: dict[str, Any]) -> dict[str, str]:
    return {name: part["type"][0] for name, part in schema["properties"].items()}


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        ("name", {"name": "string"}),
        ("name, price:number, due:date", {"name": "string", "price": "number", "due": "string"}),
        ("name, age int, ok bool", {"name": "string", "age": "integer", "ok": "boolean"}),
        ("name\nbio: likes tea, and cake\nage int: in years", {"name": "string", "bio": "string", "age": "integer"}),
        ("tags:list", {"tags": "array"}),
        ("prénom, größe float", {"prénom": "string", "größe": "number"}),
        (" a ,, b ", {"a": "string", "b": "string"}),
        ("what: description", {"what": "string"}),
    ],
)
def test_short_form(short: str, expected: dict[str, str]) -> None:
    """Names, types after a space or colon, and descriptions are told apart."""
    assert kinds(schemas.parse_short(short)) == expected


def test_descriptions_reach_the_model() -> None:
    """What stands after the colon describes the field."""
    schema = schemas.parse_short("name\nbio: likes tea, and cake\nage int: in years")

    assert schema["properties"]["bio"]["description"] == "likes tea, and cake"
    assert schema["properties"]["age"]["description"] == "in years"


@pytest.mark.parametrize("short", ["", " , ", "1st", "price bananas", "a, a", "a b c", "{}"])
def test_bad_short_forms_say_what_is_wrong(short: str) -> None:
    """A mistake ends in a sentence, not in a schema nobody meant."""
    with pytest.raises(BadRequest):
        schemas.parse_short(short)


@given(st.text(max_size=200))
def test_any_text_is_a_schema_or_a_sentence(text: str) -> None:
    """No input breaks the reader of short forms, and what it makes is a valid schema."""
    with contextlib.suppress(BadRequest):
        check(schemas.parse_short(text))


ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 2},
        "note": {"type": "string"},
        "size": {"enum": ["s", "m"], "type": "string"},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}},
                "required": ["sku"],
            },
        },
    },
    "required": ["id", "lines"],
}


def test_strict_form_requires_everything_and_loosens_back() -> None:
    """Optional fields become nullable for the model, and their nulls vanish again."""
    made = schemas.strict(ORDER)

    assert made["required"] == ["id", "note", "size", "lines"]
    assert made["properties"]["note"]["type"] == ["string", "null"]
    assert None in made["properties"]["size"]["enum"]
    assert made["properties"]["lines"]["items"]["additionalProperties"] is False
    assert "minLength" not in made["properties"]["id"]
    answer = {"id": "ab", "note": None, "size": None, "lines": [{"sku": "x", "n": None}]}
    assert schemas.loosen(ORDER, answer) == {"id": "ab", "lines": [{"sku": "x"}]}


def test_problems_name_the_field() -> None:
    """Each problem starts with the path of the field it is about."""
    wrong = problems(ORDER, {"id": "a", "lines": [{"sku": 3}]})

    assert [line.split(":")[0] for line in wrong] == ["$.id", "$.lines[0].sku"]


class Line(msgspec.Struct):
    item: str
    price: float | None = None


class Bill(msgspec.Struct):
    lines: list[Line]


@dataclass
class Person:
    name: str


class Model:
    """As pydantic's models describe themselves."""

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def test_types_are_schemas() -> None:
    """msgspec's types, dataclasses and pydantic models stand for their schemas, nested ones by reference within."""
    bill = schemas.schema_of(Bill)

    assert problems(bill, {"lines": [{"item": "lamp", "price": 3}]}) == []
    assert problems(bill, {"lines": [{"price": 3}]}) == ["$.lines[0]: 'item' is a required property"]
    assert schemas.strict(bill)["$defs"]["Line"]["required"] == ["item", "price"]
    assert schemas.schema_of(Person)["required"] == schemas.schema_of(Model)["required"] == ["name"]
    with pytest.raises(BadRequest):
        schemas.schema_of(object)
