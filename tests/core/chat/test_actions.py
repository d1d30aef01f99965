"""Which service answers a message, and its regeneration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.chat.actions import Actions
from core.chat.prompts import question
from core.chat.service import Answered
from core.domain.incoming import Action, ConversationKey, Incoming, UserKey
from core.domain.requests import Reply, Usage

ASKED = Incoming("1", "1", UserKey("slack", "T1", "U1"), ConversationKey("slack", "T1", "C1", "1"), "Hello", 0.0)


class Service:
    """Answers with its name; keeps what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[Incoming] = []

    async def answer(self, run_id: str, incoming: Incoming, **rest: Any) -> Answered:
        self.asked.append(incoming)
        return Answered(Reply(self.name, "m", "groq", Usage()), ())


@pytest.mark.parametrize(
    ("action", "meant", "service", "seen"),
    [
        ("ask", None, "chat", "ask"),
        ("transcribe", None, "words", "transcribe"),
        ("regenerate", "transcribe", "words", "transcribe"),
        ("regenerate", "ask", "chat", "regenerate"),
        ("shorter", "transcribe", "chat", "shorter"),
    ],
)
async def test_service_is_chosen(action: Action, meant: Action | None, service: str, seen: str) -> None:
    """By the action; what is regenerated goes to the service that answered it before."""
    chat, words = Service("chat"), Service("words")
    incoming = replace(ASKED, action=action, meant=meant)

    answered = await Actions(chat, {"transcribe": words}).answer(
        "r1",
        incoming,
        context=None,
        send=None,
        deadline_at=0.0,  # type: ignore[arg-type]
    )

    assert answered.reply.text == service
    assert [one.action for one in (*chat.asked, *words.asked)] == [seen]


def test_regenerated_summary_is_still_asked_for() -> None:
    """The instruction of a shortcut stands in its second run as in its first."""
    first = replace(ASKED, text="", action="summarise")

    assert question(first, "") == question(replace(first, action="regenerate", meant="summarise"), "") != ""
