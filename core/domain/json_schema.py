"""JSON Schemas of strangers: bounded before anything looks at them, checked without fetching anything. Pure.

What can be heavy (patterns, references, combinations of them) is checked by the sandbox's worker, which has a
deadline; `is_light` tells which may be checked at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from core.domain.errors import BadRequest, Unreadable

if TYPE_CHECKING:
    import jsonschema
    from jsonschema.protocols import Validator

MAX_BYTES = 100_000
MAX_DEPTH = 64
"""Of nested objects and lists; each level of nested fields takes two. OpenAI's strict mode takes ten such levels."""
MAX_PROPERTIES = 2_000
"""Keys of all objects and members of all lists together. OpenAI's strict mode takes 5,000 fields; nobody fills them."""

DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
TIME_PATTERN = r"^\d{2}:\d{2}(:\d{2})?$"
_OUR_PATTERNS = frozenset({DATE_PATTERN, TIME_PATTERN})

_LIGHT_PROPERTIES = 400
_LIGHT_WORK = 4_000_000
"""Properties of the schema times bytes of the value: some 50 ms of checking at the very worst."""

_NESTED = frozenset({"items", "additionalProperties", "not"})
_NESTED_LISTS = frozenset({"anyOf", "allOf", "oneOf", "prefixItems"})
_LIGHT_WORDS = _NESTED | _NESTED_LISTS | frozenset(
    {"type", "properties", "required", "enum", "const", "description", "title", "default", "examples", "format",
     "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
     "minProperties", "maxProperties", "$schema"}
)  # fmt: skip
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def bound(schema: object) -> None:
    """Refuse a schema that is too large or refers to anything outside it, in time that grows with its size alone.

    Raises:
        BadRequest: Larger, deeper or with more properties than is checked, or with a reference to another place.
    """
    properties, waiting = 0, [(schema, 1)]
    while waiting:
        part, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise BadRequest(f"the schema is nested more than {MAX_DEPTH} deep", param="schema")
        if isinstance(part, Mapping):
            for word in _REFERENCES:
                if isinstance(target := part.get(word), str) and not target.startswith("#"):
                    raise BadRequest("the schema may refer to its own parts only", param="schema")
            members = list(part.values())
        elif isinstance(part, list):
            members = part
        else:
            continue
        properties += len(members)
        if properties > MAX_PROPERTIES:
            raise BadRequest(f"the schema has more than {MAX_PROPERTIES:,} properties", param="schema")
        waiting += [(member, depth + 1) for member in members]
    if len(msgspec.json.encode(schema)) > MAX_BYTES:
        raise BadRequest(f"the schema is larger than {MAX_BYTES // 1000} kB", param="schema")


def is_light(schema: object, value_bytes: int = 0) -> bool:
    """Whether checking a value of so many bytes takes little time, whatever stands in it.

    Without references each part of the schema meets each part of the value at most once, and without foreign patterns
    each meeting is short.
    """
    parts = 0
    for part in _parts(schema):
        parts += 1 + sum(len(part[word]) for word in ("enum", "required") if isinstance(part.get(word), list))
        if parts > _LIGHT_PROPERTIES or not set(part) <= _LIGHT_WORDS | {"pattern"}:
            return False
        if "pattern" in part and part["pattern"] not in _OUR_PATTERNS:
            return False
    return parts * value_bytes <= _LIGHT_WORK


def _parts(schema: object) -> Iterator[Mapping[str, Any]]:
    """All schemas within *schema*, itself first, where light words alone lead to them."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, Mapping):
            continue
        yield part
        waiting += [part[word] for word in _NESTED if word in part]
        for word in _NESTED_LISTS:
            if isinstance(part.get(word), list):
                waiting += part[word]
        if isinstance(part.get("properties"), Mapping):
            waiting += part["properties"].values()


def check(schema: Mapping[str, Any], *, of_object: bool = True, patterns: bool = True) -> None:
    """See that *schema* is a JSON Schema, after `bound` let it pass.

    Args:
        of_object: Whether it must describe an object.
        patterns: Whether its patterns must be ones that Python's `re` reads; those of other languages are not checked
            against otherwise.

    Raises:
        BadRequest: It is none, saying where.
    """
    import jsonschema  # a sixth of a start, and most houses never see a schema

    try:
        no_formats = jsonschema.FormatChecker(())  # among them "regex": see `patterns`
        jsonschema.Draft202012Validator.check_schema(schema, format_checker=no_formats)
    except jsonschema.SchemaError as error:
        raise BadRequest(f"the schema is wrong at {_path(error)}: {error.message[:200]}", param="schema") from error
    if of_object and schema.get("type") != "object":
        raise BadRequest("the schema must describe an object", param="schema")
    if patterns:
        _check_patterns(schema)


def problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with *value*, one line a field ("$.items[2].price: 'x' is not of type 'number'"), at most ten.

    Raises:
        BadRequest: The schema refers to a part that it does not have.
    """
    from referencing.exceptions import Unresolvable

    try:
        errors = sorted(_validator(schema).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
        return [f"{_path(error)}: {error.message[:200]}" for error in errors[:10]]
    except RecursionError:
        return ["$: it is nested too deep to be checked"]
    except Unresolvable as error:
        raise BadRequest("the schema refers to a part that it does not have", param="schema") from error


def _validator(schema: Mapping[str, Any]) -> Validator:
    import referencing

    # An empty registry: it knows no address, and fetches none.
    return _forgiving()(schema, registry=referencing.Registry())


@cache
def _forgiving() -> type[Validator]:
    """Draft 2020-12, where a pattern that `re` cannot read (of another language's kind) does not count."""
    import jsonschema

    def pattern(validator: Validator, wanted: str, value: object, schema: Mapping[str, Any]) -> Any:
        try:
            yield from jsonschema.Draft202012Validator.VALIDATORS["pattern"](validator, wanted, value, schema)
        except re.error:
            return

    known = jsonschema.Draft202012Validator
    made: type[Validator] = jsonschema.validators.extend(known, {"pattern": pattern})  # type: ignore[no-untyped-call]
    return made


def _check_patterns(schema: object) -> None:
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            wanted = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
            if isinstance(part.get("patternProperties"), Mapping):
                wanted += part["patternProperties"]
            for pattern in wanted:
                try:
                    re.compile(pattern)
                except (re.error, OverflowError, RecursionError) as error:
                    raise BadRequest(f"the pattern {pattern[:60]!r} cannot be read", param="schema") from error
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _path(error: jsonschema.ValidationError | jsonschema.SchemaError) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)


def answer(content: bytes) -> bytes:
    """The worker's side: what is wrong with the schema, or with the value where one is given, as a list of lines.

    Raises:
        Unreadable: The schema itself is wrong; says how.
    """
    asked = msgspec.json.decode(content)
    try:
        if "value" in asked:
            return msgspec.json.encode(problems(asked["schema"], asked["value"]))
        check(asked["schema"], of_object=asked["of_object"])
    except BadRequest as error:
        raise Unreadable("the schema", error.problem) from error
    return b"[]"
