"""How many tokens a text will be."""

from __future__ import annotations

import pytest

from core.domain.incoming import UserKey
from core.domain.requests import ChatRequest, Image, OutputFormat, Reasoning, Text, Tool, ToolCall, ToolResult, Turn
from core.gateway.tokens import TokenScale, estimate_request, estimate_tokens, estimate_turns


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("The quick brown fox jumps.", 7), ("Съешь ещё этих", 7), ("你好世界", 3), ("\ud83d", 1)],
)
def test_an_estimate_needs_no_tokenizer(text: str, tokens: int) -> None:
    """A quarter of the bytes, in any script, half a surrogate included."""
    assert estimate_tokens(text) == tokens


def test_every_part_counts() -> None:
    """Turns, pictures by their size, calls and results."""
    turns = [
        Turn("user", (Text("x" * 40), Image("", "image/png", 2_000, 2_000), Image("", "image/png"))),
        Turn("assistant", (Reasoning("x" * 8, "m"), ToolCall("c", "name", "{}"))),
        Turn("tool", (ToolResult("c", "name", "x" * 8),)),
    ]

    assert estimate_turns(turns) == 3 * 4 + 10 + 5_102 + 1_400 + 2 + 1 + 1 + 2


def test_tools_and_schema_count_too() -> None:
    """They are sent with every request."""
    request = ChatRequest("r", UserKey("api", "", "u"), (Turn("user", (Text("hi"),)),))
    with_more = ChatRequest(
        "r",
        UserKey("api", "", "u"),
        request.turns,
        tools=(Tool("look", "x" * 36, {"a": 1}),),
        output_format=OutputFormat("json_schema", schema={"b": 2}),
    )

    assert estimate_request(with_more) == estimate_request(request) + 10 + 2 + 2


def test_a_scale_moves_towards_what_is_reported() -> None:
    """Per model, slowly, within bounds."""
    scale = TokenScale()
    turn = Turn("user", (Text("x" * 384),))
    assert scale.tokens([turn], "m") == 100

    scale.correct("m", 100, 150)
    assert scale.tokens([turn], "m") == 110
    for _ in range(200):
        scale.correct("m", 100, 100_000)

    assert scale.tokens([turn], "m") == 300
    assert scale.tokens([turn], "other") == 100


def test_little_or_nothing_reported_teaches_nothing() -> None:
    """A template's preamble would swamp the ratio; zero means that nobody counted."""
    scale = TokenScale()

    scale.correct("m", 10, 90)
    scale.correct("m", 1_000, 0)

    assert scale.tokens([Turn("user", (Text("x" * 384),))], "m") == 100
