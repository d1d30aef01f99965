"""Triggers, over both transports, through the real slack-bolt and slack-sdk."""

from __future__ import annotations

from tests.adapters.slack.conftest import House


async def test_a_mention_is_accepted(house: House) -> None:
    """A mention in a channel becomes one question without the bot's name, asked in a thread under it."""
    message = house.slack.say("U1", "<@U0TERN> how far is the *moon*?")

    await house.settle()

    (incoming,) = house.intake.accepted
    assert incoming.text == "how far is the **moon**?"
    assert incoming.conversation.root == message.ts
    assert incoming.speaker == "Ada"
