"""ChatRequest -> body, for each model's quirks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.requests import (
    ChatRequest,
    Effort,
    Image,
    OutputFormat,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from core.providers.wire import Flavour, chat_body
from tests.core.providers.conftest import EYES, LOCAL, LUNA, REGISTRY, SMALL, ask
from tests.fakes.llm_api.rules import GROQ_MODELS, LOCAL_MODELS, OPENAI_MODELS, refused

MODELS: dict[Flavour, Any] = {"groq": GROQ_MODELS, "openai": OPENAI_MODELS, "local": LOCAL_MODELS}
ASKED: list[tuple[Flavour, Any]] = [
    ("groq", REGISTRY.get(SMALL)),
    ("groq", REGISTRY.get("openai/gpt-oss-120b")),
    ("groq", REGISTRY.get(EYES)),
    ("openai", REGISTRY.get(LUNA)),
    ("local", LOCAL),
]
STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
LOOSE = {"type": "object", "properties": {"a": {"type": "string"}}}


def body(flavour: Flavour, model_id: str, request: ChatRequest) -> dict[str, Any]:
    model = LOCAL if flavour == "local" else REGISTRY.get(model_id)
    return chat_body(request, model, flavour)


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    """A null is refused by some models, a default may be another one there."""
    assert body("openai", LUNA, ask()) == {
        "model": LUNA,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning_effort": "none",
    }


@pytest.mark.parametrize(
    ("flavour", "model_id", "name"),
    [("groq", SMALL, "max_completion_tokens"), ("openai", LUNA, "max_completion_tokens"), ("local", "", "max_tokens")],
)
def test_the_answers_limit_has_each_providers_name(flavour: Flavour, model_id: str, name: str) -> None:
    """And never exceeds the model's own."""
    assert body(flavour, model_id, ask(max_output_tokens=10**9))[name] <= 128_000
    assert body(flavour, model_id, ask(max_output_tokens=5))[name] == 5


def test_qwen_parses_its_reasoning_and_gpt_oss_has_no_such_parameter() -> None:
    """Otherwise <think> would be in the text, or the request a 400."""
    assert body("groq", EYES, ask(effort="high"))["reasoning_format"] == "parsed"
    assert "reasoning_format" not in body("groq", SMALL, ask(effort="high"))


def test_a_schema_that_cannot_be_strict_is_asked_for_loosely() -> None:
    """Constrained decoding answers 400 to an optional property."""
    strict = body("groq", SMALL, ask(output_format=OutputFormat("json_schema", schema=STRICT)))
    loose = body("groq", SMALL, ask(output_format=OutputFormat("json_schema", schema=LOOSE)))

    assert strict["response_format"]["json_schema"]["strict"] is True
    assert loose["response_format"]["json_schema"]["strict"] is False
    assert "stream_options" not in strict


def test_tools_in_every_form() -> None:
    """Functions, the provider's own, and a choice by name."""
    tools = (Tool("f", "does f", {"type": "object"}, strict=True), Tool("browser_search", builtin=True))

    sent = body("groq", SMALL, ask(tools=tools, tool_choice="f", parallel_tool_calls=True))

    function = {"name": "f", "parameters": {"type": "object"}, "description": "does f", "strict": True}
    assert sent["tools"] == [{"type": "function", "function": function}, {"type": "browser_search"}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert "parallel_tool_calls" not in sent


def test_a_builtin_tool_is_left_out_where_it_is_unknown() -> None:
    """Only gpt-oss on Groq has them."""
    tools = (Tool("f"), Tool("browser_search", builtin=True))

    assert len(body("openai", LUNA, ask(tools=tools))["tools"]) == 1
    assert "tools" not in body("openai", LUNA, ask(tools=tools[1:], tool_choice="auto"))


def test_reasoning_goes_back_to_its_own_model_only() -> None:
    """Any other answers 400."""
    turn = Turn("assistant", (Reasoning("hm", SMALL), ToolCall("c", "f", "")))
    turns = (Turn("user", (Text("x"),)), turn, Turn("tool", (ToolResult("c", "f", "y"),)))

    assert body("groq", SMALL, ask(turns=turns))["messages"][1]["reasoning"] == "hm"
    for flavour, model_id in (("groq", EYES), ("openai", LUNA)):
        assert "reasoning" not in body(flavour, model_id, ask(turns=turns))["messages"][1]  # type: ignore[arg-type]


def test_empty_arguments_are_an_empty_object() -> None:
    """A model that calls without any writes nothing at all."""
    turns = (Turn("user", (Text("x"),)), Turn("assistant", (ToolCall("c", "f", ""),)))

    assert body("groq", SMALL, ask(turns=turns))["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_text_model_gets_a_word_for_a_picture() -> None:
    """A list as content is a 400 there."""
    turn = Turn("user", (Image("", "image/png", data=b"x"), Text("what is it?")))

    content = body("groq", SMALL, ask(turns=(turn,)))["messages"][0]["content"]

    assert content == "[a picture that this model was not shown]\nwhat is it?"


def test_local_templates_get_turns_that_alternate() -> None:
    """Many insist on it."""
    turns = (
        Turn("system", (Text("a"),)),
        Turn("system", (Text("b"),)),
        Turn("user", (Text("c"),)),
        Turn("user", (Text("d"),)),
    )

    assert body("local", "", ask(turns=turns))["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "c\n\nd"},
    ]


TEXTS = st.builds(Text, st.text(max_size=10))
USER_PARTS = st.lists(TEXTS | st.just(Image("", "image/png", data=b"x")), min_size=1, max_size=4)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Turns as the chat service builds them: questions, answers, tool rounds."""
    turns = [Turn("system", (Text("Be brief."),))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        turns.append(Turn("user", tuple(draw(USER_PARTS))))
        if draw(st.booleans()):
            call = ToolCall(f"c{number}", "f", draw(st.sampled_from(["", "{}"])))
            turns.append(Turn("assistant", (Reasoning("hm", draw(st.sampled_from([SMALL, EYES]))), call)))
            turns.append(Turn("tool", (ToolResult(call.id, "f", "r"),)))
        if draw(st.booleans()):
            turns.append(Turn("assistant", (draw(TEXTS),)))
    turns.append(Turn("user", tuple(draw(USER_PARTS))))
    return tuple(turns)


REQUESTS = st.builds(
    ask,
    turns=conversations(),
    max_output_tokens=st.none() | st.integers(1, 10**6),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    tools=st.just(()) | st.just((Tool("f", "d", {"type": "object"}), Tool("browser_search", builtin=True))),
    tool_choice=st.sampled_from([None, "auto", "none"]),
    parallel_tool_calls=st.none() | st.booleans(),
    effort=st.sampled_from([None, "none", "low", "medium", "high"]),
    stop=st.lists(st.text(min_size=1, max_size=3), max_size=6).map(tuple),
    seed=st.none() | st.integers(0, 9),
    output_format=st.sampled_from([OutputFormat(), OutputFormat("json_object")]),
)


@settings(max_examples=150, deadline=None)
@given(REQUESTS, st.sampled_from(ASKED))
def test_no_request_is_refused(request: ChatRequest, asked: tuple[Flavour, Any]) -> None:
    """Whatever is wished, the body keeps each API's rules (pictures beyond a model's number are `fit`'s to drop)."""
    flavour, model = asked
    pictures = sum(isinstance(part, Image) for turn in request.turns for part in turn.parts)
    if flavour == "groq" and pictures > 3:
        return

    refusal = refused(chat_body(request, model, flavour), flavour, {one.id: one for one in MODELS[flavour]})

    assert refusal is None, refusal


@pytest.mark.parametrize("schema", [STRICT, LOOSE, {"type": "array", "items": STRICT}])
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: str(asked[1].id))
def test_no_schema_is_refused(asked: tuple[Flavour, Any], schema: dict[str, Any]) -> None:
    """By any model that takes schemas at all."""
    flavour, model = asked
    if model.id == EYES:
        return
    request = ask(output_format=OutputFormat("json_schema", schema=schema))

    assert refused(chat_body(request, model, flavour), flavour, {one.id: one for one in MODELS[flavour]}) is None


@pytest.mark.parametrize(
    ("efforts", "wanted", "sent"),
    [
        (("low", "medium", "high", "xhigh", "max"), "none", "low"),
        (("xhigh", "max"), "medium", "xhigh"),
        (("minimal", "high"), "low", "minimal"),
        (("turbo",), "low", None),
    ],
)
def test_an_effort_becomes_the_nearest_that_the_model_has(
    efforts: tuple[str, ...], wanted: Effort, sent: str | None
) -> None:
    """Also among those that nobody may ask for, and whatever tern.toml calls them."""
    model = replace(REGISTRY.get(LUNA), efforts=efforts, refuses=frozenset())

    assert chat_body(ask(effort=wanted), model, "openai").get("reasoning_effort") == sent
