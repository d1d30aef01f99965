"""Schemas of strangers: bounded, never fetched, and never a reason to stand still."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from core.base.clock import SystemClock
from core.domain import json_schema
from core.domain.errors import BadRequest
from core.domain.incoming import UserKey
from core.domain.schema_checks import SchemaChecks
from core.files.sandbox import Sandbox, check_schema
from tests.core.files.samples import nested

STRING = {"type": "string"}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


class Elsewhere:
    """The other process in this one; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def __call__(self, content: bytes, owner: UserKey | None, within_s: float) -> bytes:
        self.asked.append(content)
        return json_schema.answer(content)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "array"}, "object"),
        (of(a={"type": "strin"}), "strin"),
        (of(a={"$ref": "http://127.0.0.1/x"}), "own parts"),
        (of(a={"$dynamicRef": "http://169.254.169.254/latest"}), "own parts"),
        (of(a={"items": {"anyOf": [{"$dynamicRef": "file:///etc/passwd"}]}}), "own parts"),
        (of(a={"$recursiveRef": "https://example.org/s"}), "own parts"),
        ({"type": "object", "$id": "http://127.0.0.1/a", "properties": {"a": {"$ref": "b.json"}}}, "own parts"),
        (of(**{f"f{n}": STRING for n in range(60_000)}), "properties"),
        (of(a={"enum": ["x" * 200_000]}), "kB"),
        (nested({"type": "object"}, 300, lambda inner: of(a=inner)), "deep"),
        (nested(STRING, 5_000, lambda inner: {"items": inner}), "deep"),
        (of(a={"pattern": "(["}), "pattern"),
        (of(a={"patternProperties": {"(?P<": {}}}), "pattern"),
    ],
)
async def test_schemas_that_are_not_taken(schema: dict[str, Any], why: str) -> None:
    """Too large, too deep, elsewhere or no schema: a sentence before any model is asked."""
    with pytest.raises(BadRequest, match=why):
        await SchemaChecks(Elsewhere()).check(schema)


@pytest.mark.parametrize("reference", ["#/$defs/none", "#nowhere"])
async def test_reference_to_nothing_is_a_sentence(reference: str) -> None:
    """A part that the schema does not have is named as such, not fetched and not a crash."""
    with pytest.raises(BadRequest, match="part that it does not have"):
        await SchemaChecks(Elsewhere()).problems(of(a={"$ref": reference}), {"a": 1})


async def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a reference that nobody looked at before gets no address from the registry."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("it was fetched"))

    with pytest.raises(BadRequest, match="part that it does not have"):
        json_schema.problems(of(a={"$dynamicRef": "http://127.0.0.1/x"}), {"a": 1})


@pytest.mark.parametrize(
    "schema",
    [
        of(a={"pattern": "^(a+)+$"}),
        of(a={"items": {"anyOf": [{"pattern": "(x*)*y"}]}}),
        {"type": "object", "patternProperties": {"^(a|a)*$": STRING}},
        of(a={"$ref": "#"}),
        of(a={"uniqueItems": True}),
        {"type": "object", "unevaluatedProperties": {"not": {}}},
        of(**{f"f{n}": STRING for n in range(1_000)}),
        of(a={"enum": list(range(1_000))}),
    ],
)
async def test_what_may_be_heavy_is_checked_in_the_sandbox(schema: dict[str, Any]) -> None:
    """Patterns, references and large schemas never meet a value on the event loop."""
    elsewhere = Elsewhere()

    assert await SchemaChecks(elsewhere).problems(schema, {}) == []

    assert len(elsewhere.asked) == 1


async def test_what_is_light_is_checked_at_once() -> None:
    """Fields, types and the patterns of our own short form need no other process, unless the value is huge."""
    elsewhere, rows = Elsewhere(), {"items": [{"day": "2026-12-01"}]}
    day = {"type": ["string", "null"], "pattern": json_schema.DATE_PATTERN}
    schema = of(items={"type": "array", "items": of(day=day)})

    assert await SchemaChecks(elsewhere).problems(schema, rows, size_bytes=30) == []
    assert elsewhere.asked == []
    assert await SchemaChecks(elsewhere).problems(schema, rows, size_bytes=10_000_000) == []
    assert len(elsewhere.asked) == 1


async def test_pattern_that_never_ends_costs_its_own_request() -> None:
    """The worker is replaced after the deadline, the asker told, and the next schema is checked."""
    async with Sandbox(SystemClock()) as sandbox:
        checks = SchemaChecks(partial(check_schema, sandbox), within_s=0.5)
        with pytest.raises(BadRequest, match="longer"):
            await checks.problems(of(a={"pattern": "^(a+)+$"}), {"a": "a" * 40 + "!"})
        found = await SchemaChecks(partial(check_schema, sandbox)).problems(of(a={"pattern": "^b"}), {"a": "a"})

    assert found == ["$.a: 'a' does not match '^b'"]


@pytest.mark.parametrize("schema", [{"type": "object", "$ref": "#"}, of(a={"$ref": "#"})])
async def test_schema_without_end_is_a_problem(schema: dict[str, Any]) -> None:
    """One that refers to itself for ever ends in a line, not in a crash."""
    value = nested(1, 400, lambda inner: {"a": inner})

    assert await SchemaChecks(Elsewhere()).problems(schema, value) == ["$: it is nested too deep to be checked"]


def test_patterns_of_other_languages_do_not_count() -> None:
    """A tool's schema may hold a pattern of JavaScript's: the server checks it itself."""
    schema = of(a={"type": "string", "pattern": "^\\p{L}+$"})

    json_schema.check(schema, patterns=False)

    assert json_schema.problems(schema, {"a": "x"}) == []
