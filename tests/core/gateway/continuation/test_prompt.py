"""What a model is asked when it must go on."""

from __future__ import annotations

from core.gateway.continuation import anchor_of, continuation_request
from tests.fakes.provider import a_request


def test_the_text_so_far_is_an_assistant_turn_and_the_order_a_user_turn() -> None:
    """No prefill is needed: the request ends with a user's turn."""
    asked = continuation_request(a_request("How do terns live?"), "Terns fly from pole to")

    assert [turn.role for turn in asked.turns] == ["user", "assistant", "user"]
    assert asked.turns[1].text == "Terns fly from pole to"
    assert "Terns fly from pole to" in asked.turns[2].text


def test_anchor_is_the_last_six_words() -> None:
    """Six words, the cut one included, with single spaces between."""
    assert anchor_of("one two three\n four five six sev") == "two three four five six sev"
    assert anchor_of("") == ""


def test_open_code_block_is_mentioned() -> None:
    """A model inside a code block is told so."""
    assert "code block" in continuation_request(a_request(), "```\nx").turns[-1].text
    assert "code block" not in continuation_request(a_request(), "x").turns[-1].text
