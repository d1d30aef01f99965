"""Schemas people can type, and what strict modes and validators make of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from core.base.foreign import Malformed, json_value
from core.domain.errors import BadRequest
from core.domain.json_schema import DATE_PATTERN, TIME_PATTERN, bound, check

Schema: TypeAlias = dict[str, Any]

_TYPES: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "description": "ISO 8601 date, YYYY-MM-DD", "pattern": DATE_PATTERN},
    "time": {"type": "string", "description": "24-hour time, HH:MM", "pattern": TIME_PATTERN},
    "list": {"type": "array", "items": {"type": "string"}},
}
_ALIASES = {
    "str": "string",
    "text": "string",
    "int": "integer",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
}

_FIELD = re.compile(
    r"^(?P<name>[^\W\d]\w*)(?:\s+(?P<type>\w+)|\s*:\s*(?P<colon>\w+)\s*(?=$|:))?(?:\s*:\s*(?P<note>.+))?$"
)


def parse_short(text: str) -> Schema:
    """Turn "name, price:number, due date: when to pay" into the JSON Schema of one object.

    Fields are parted by commas, or by lines where there are several lines (a description may then hold commas). A
    field is a name, optionally a type after a space or a colon, optionally a description after a colon. Types: str,
    int, float, number, bool, date, time, list; str when none is given. Every field is required and may be null.

    Raises:
        BadRequest: A field that is no name, a type nobody knows, or a name that stands twice.

    Source: the concise syntax of simonw/llm (llm.datasette.io/en/stable/schemas.html, read 2026-11-23), widened by
    types after a colon, dates, times and lists.
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    fields = lines if len(lines) > 1 else [field.strip() for field in text.split(",") if field.strip()]
    if not fields:
        raise BadRequest("say which fields you want, for example: name, price:number, due:date")
    properties: dict[str, Schema] = {}
    for field in fields:
        found = _FIELD.match(field.rstrip(","))
        if found is None:
            raise BadRequest(f"{field!r} is no field; write a name, then a type: price:number")
        name, word = found["name"], found["type"] or found["colon"]
        note = found["note"]
        known = _TYPES.get(_ALIASES.get(word.lower(), word.lower())) if word else _TYPES["string"]
        if known is None:
            if found["colon"] is None:
                raise BadRequest(f"{word!r} is no type; known: {', '.join(sorted(_TYPES))}")
            note, known = (f"{word}: {note}" if note else word), _TYPES["string"]
        if name in properties:
            raise BadRequest(f"the field {name!r} stands twice")
        kind = dict(known)
        kind["type"] = [kind["type"], "null"]
        if note:
            kind["description"] = note.strip()
        properties[name] = kind
    return _object(properties)


def schema_of(written: object) -> Schema:
    """The JSON Schema that somebody wrote down, checked: as `read_schema`. For what an operator wrote.

    Raises BadRequest where it is none.
    """
    schema = read_schema(written)
    check(schema)
    return schema


def read_schema(written: object) -> Schema:
    """The JSON Schema that somebody wrote down: in the short form, as JSON text, as the schema itself, or as a type of
    msgspec's, a dataclass, or a pydantic model. It is bounded, and still to be checked.

    Raises BadRequest where it is none of them.
    """
    if isinstance(written, type):
        written = _schema_of_type(written)
    if isinstance(written, str):
        if not written.lstrip().startswith("{"):
            return parse_short(written)
        try:
            written = json_value(written)
        except Malformed as error:
            raise BadRequest(f"the schema is not valid JSON: {error}", param="schema") from error
    if not isinstance(written, dict):
        raise BadRequest("a schema is a list of fields (name, price:number) or a JSON Schema", param="schema")
    bound(written)
    return written


def _schema_of_type(kind: type) -> Schema:
    """pydantic's models know their schema; msgspec knows that of its structs and of dataclasses."""
    describe = getattr(kind, "model_json_schema", None)
    try:
        made: Schema = describe() if describe else msgspec.json.schema(kind)
    except TypeError as error:
        raise BadRequest(f"{kind.__name__} has no JSON Schema: {error}", param="schema") from error
    name = str(made.get("$ref", "")).rpartition("/")[2]
    # Strict modes want the object itself at the root, not a reference to it.
    return {**made["$defs"][name], "$defs": made["$defs"]} if name else made


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def rows_of(schema: Mapping[str, Any]) -> Schema:
    """The schema of a table whose rows follow *schema*: {"items": [row, ...]}."""
    return _object({"items": {"type": "array", "items": dict(schema)}})


def strict(schema: Mapping[str, Any]) -> Schema:
    """Rewrite *schema* for constrained decoding: every field required, nothing besides (facts/groq.md 4).

    Optional fields become nullable; `loosen` takes their nulls out again. Keywords that strict modes refuse (patterns,
    bounds) are left to our own validation.
    """
    made: Schema = {key: value for key, value in schema.items() if key not in _UNCHECKED}
    for key in ("$defs", "definitions"):
        if key in made:
            made[key] = {name: strict(part) for name, part in made[key].items()}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in made:
            made[key] = [strict(part) for part in made[key]]
    if isinstance(made.get("items"), Mapping):
        made["items"] = strict(made["items"])
    if "properties" in made:
        required = set(schema.get("required", ()))
        made["properties"] = {
            name: strict(part) if name in required else _nullable(strict(part))
            for name, part in made["properties"].items()
        }
        made["required"] = list(made["properties"])
        made["additionalProperties"] = False
    return made


def loosen(schema: Mapping[str, Any], value: Any) -> Any:
    """Undo what `strict` did to a value: nulls of optional fields that may not be null are left out."""
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [loosen(schema["items"], item) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    required = set(schema.get("required", ()))
    return {
        name: loosen(schema["properties"].get(name, {}), item)
        for name, item in value.items()
        if item is not None or name in required or _may_be_null(schema["properties"].get(name, {}))
    }


_UNCHECKED = frozenset(
    {"pattern", "format", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
     "multipleOf", "minItems", "maxItems", "uniqueItems", "default", "examples", "$schema", "$id"}
)  # fmt: skip


def _nullable(schema: Schema) -> Schema:
    if _may_be_null(schema):
        return schema
    if isinstance(kind := schema.get("type"), str):
        made = {**schema, "type": [kind, "null"]}
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
        return made
    return {"anyOf": [schema, {"type": "null"}]}


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "null" or (isinstance(kind, list) and "null" in kind) or None in schema.get("enum", ())
