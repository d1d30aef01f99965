"""Which models to ask, best first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.domain.errors import UnknownModel
from core.domain.incoming import UserKey
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import ChatRequest, Image, OutputFormat, Text, Tool, Turn
from core.gateway.registry import Registry, load_registry
from core.gateway.router import Router
from core.gateway.tokens import TokenScale

SMALL = "openai/gpt-oss-20b"
BIG = "openai/gpt-oss-120b"
EYES = "qwen/qwen3.8-27b"
LUNA = "gpt-6-luna"
LOCAL = ModelSpec(
    "local-model",
    "local",
    "local",
    8_192,
    8_192,
    frozenset({Capability.TEXT, Capability.JSON, Capability.JSON_SCHEMA}),
)
PICTURE = Turn("user", (Text("what?"), Image("blob:1", "image/png", 512, 512)))
FOLLOW_UP = (PICTURE, Turn("assistant", (Text("A tern."),)), Turn("user", (Text("and its beak?"),)))
TOOLS = (Tool("f"),)
SPEED = [SMALL, BIG, EYES, LUNA, "local-model"]
QUALITY = [BIG, SMALL, EYES, LUNA, "local-model"]


@pytest.fixture
def registry() -> Registry:
    registry = load_registry()
    registry.add(LOCAL)
    return registry


def ask(text: str = "hi", **wanted: object) -> ChatRequest:
    request = ChatRequest("r1", UserKey("api", "", "u"), (Turn("user", (Text(text),)),))
    return replace(request, **wanted)  # type: ignore[arg-type]


def ids(registry: Registry, request: ChatRequest) -> list[str]:
    return [model.id for model in Router(registry).route(request)]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ask(), SPEED),
        (ask(requested_model="speed"), SPEED),
        (ask(requested_model="quality"), QUALITY),
        (ask(tools=TOOLS), QUALITY),
        (ask(needs=frozenset({Capability.TOOLS})), QUALITY[:-1]),
        (ask(tools=TOOLS, tool_choice="required"), QUALITY[:-1]),
        (ask(tools=TOOLS, tool_choice="f"), QUALITY[:-1]),
        (ask(tools=TOOLS, requested_model="speed"), SPEED),
        (ask(tools=TOOLS, cost_sensitive=True), SPEED),
        (ask(tools=TOOLS, latency_ms=99), SPEED),
        (ask(tools=TOOLS, latency_ms=100), QUALITY),
        (ask(output_format=OutputFormat("json_object")), QUALITY),
        (ask(output_format=OutputFormat("json_schema", schema={})), [BIG, SMALL, LUNA, "local-model"]),
        (ask(output_format=OutputFormat("json_schema", schema={}), tools=TOOLS), [LUNA, "local-model"]),
        (ask(turns=(PICTURE,)), [EYES, LUNA]),
        (ask(turns=FOLLOW_UP), [EYES, LUNA, BIG, SMALL, "local-model"]),
        (ask(turns=FOLLOW_UP, requested_model=SMALL), [SMALL, EYES, LUNA, BIG, "local-model"]),
        (ask(needs=frozenset({Capability.VISION}), requested_model="quality"), [EYES, LUNA]),
        (ask(requested_model=EYES), [EYES, SMALL, BIG, LUNA, "local-model"]),
        (ask(requested_model="gpt-6-luna", tools=TOOLS), [LUNA, BIG, SMALL, EYES, "local-model"]),
        (ask(requested_model=SMALL, turns=(PICTURE,)), [EYES, LUNA]),
        (ask(requested_model="llama-3.3-70b-versatile"), QUALITY),
        (ask(allow_local=False), SPEED[:-1]),
        (ask(allow_local=False, requested_model="local-model"), ["local-model", *SPEED[:-1]]),
        (ask(avoid=frozenset({SMALL, EYES})), [BIG, LUNA, "local-model"]),
        (ask(needs=frozenset({Capability.AUDIO})), ["whisper-large-v3-turbo", "whisper-large-v3", "gpt-transcribe"]),
    ],
)
def test_defaults(registry: Registry, request_: ChatRequest, expected: list[str]) -> None:
    """Vision needs the vision tier; cost or latency the speed tier; tools or JSON the quality tier; else speed. Groq's
    others come before OpenAI, the local model last."""
    assert ids(registry, request_) == expected


def test_a_request_too_long_for_a_model_goes_to_one_that_holds_it(registry: Registry) -> None:
    """The others stand behind it, the largest first: they can still answer a trimmed one."""
    route = Router(registry).route(ask("word " * 120_000))

    assert [model.id for model in route] == [LUNA, SMALL, BIG, EYES, "local-model"]
    assert "too long for openai/gpt-oss-20b" in route.reason


def test_dead_models_are_routed_around(registry: Registry) -> None:
    """As are those whose provider has no key."""
    registry.mark_dead(SMALL, "404")
    registry.serve({"groq"})

    assert ids(registry, ask()) == [BIG, EYES]


def test_where_nothing_can_do_it_the_reason_says_what_is_missing(registry: Registry) -> None:
    """With the local model alone there are no eyes."""
    registry.serve({"local"})

    route = Router(registry).route(ask(turns=(PICTURE,)))

    assert route.models == ()
    assert route.reason == "no usable model has text and vision"


def test_an_unknown_wish_is_the_askers_mistake(registry: Registry) -> None:
    """Not a silent default."""
    with pytest.raises(UnknownModel):
        Router(registry).route(ask(requested_model="gpt-3"))


def test_what_costs_much_is_asked_by_name_alone(registry: Registry) -> None:
    """A dearer model never stands in for another; whoever names it gets it."""
    router = Router(registry, TokenScale())
    request = ChatRequest("r", UserKey("api", "", "u"), (Turn("user", (Text("hi"),)),))

    assert "gpt-6.2-sol" not in [model.id for model in router.route(request)]
    assert router.route(replace(request, requested_model="gpt-6.2-sol")).models[0].id == "gpt-6.2-sol"
