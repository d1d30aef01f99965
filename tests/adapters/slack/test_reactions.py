"""Reactions as commands, where a channel wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.chat.reactions import ANSWER_THIS, TRANSLATE_THIS
from tests.adapters.slack.conftest import House, open_house
from tests.fakes.slack import FakeSlack


@pytest.fixture
async def keen(slack: FakeSlack) -> AsyncIterator[House]:
    """A house whose #general takes reactions."""
    async with open_house(slack, reaction_channels=frozenset({"C1"})) as house:
        yield house


@pytest.mark.parametrize(
    ("name", "action", "text"),
    [
        ("memo", "summarise", ""),
        ("question::skin-tone-2", "ask", ANSWER_THIS),
        ("globe_with_meridians", "ask", TRANSLATE_THIS),
    ],
)
@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_reaction_asks_about_its_message(
    keen: House, name: str, action: str, text: str, in_thread: bool
) -> None:
    """It is answered in the message's thread, once however often it is put on."""
    root = keen.slack.say("U2", "Warum ist der Himmel blau?")
    message = keen.slack.say("U2", "Wegen der Streuung?", thread=root.ts) if in_thread else root
    for _ in range(2):
        await keen.slack.react("U1", message, name).over()
    await keen.settle()

    (incoming,) = keen.intake.accepted
    assert (incoming.action, incoming.text, incoming.speaker) == (action, text, "Ada")
    assert [quote.text for quote in incoming.quotes] == [message.text]
    await keen.answer(incoming, ["Streuung."])
    (answer,) = keen.slack.answers()
    assert answer.thread == root.ts


async def test_again_and_stop(keen: House) -> None:
    """Under an answer they are its buttons."""
    asked = await keen.asked()
    await keen.answer(asked, ["An answer."])
    (answer,) = keen.slack.answers()
    keen.intake.stands("reply1", answer.ts)

    await keen.slack.react("U1", answer, "repeat").over()
    await keen.slack.react("U1", answer, "raised_hand::skin-tone-2").over()

    assert [(pressed.reply_id, pressed.action) for pressed in keen.intake.pressed] == [("reply1", "regenerate")]
    assert [at for at, _ in keen.intake.stopped] == [asked.conversation]


@pytest.mark.parametrize(
    ("user", "name", "channel"),
    [("U3", "memo", "C1"), ("U9", "memo", "C1"), ("U1", "tada", "C1"), ("U1", "memo", "D1")],
)
async def test_where_it_is_not_wanted_nothing_happens(keen: House, user: str, name: str, channel: str) -> None:
    """Guests and strangers, other emoji, other channels: silence, and nothing is read."""
    message = keen.slack.say("U2", "words", channel=channel, silently=True)

    assert (await keen.slack.react(user, message, name).over()).acked

    assert keen.intake.accepted == []
    assert keen.slack.count("conversations.replies") == 0


async def test_reactions_are_off_unless_a_channel_asks(house: House) -> None:
    """By default an emoji is an emoji."""
    message = house.slack.say("U2", "words")
    await house.slack.react("U1", message, "memo").over()

    assert house.intake.accepted == []
