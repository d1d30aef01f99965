"""Memory in the whole house, on fake Slack: kept, used and said, forgotten, and never told on."""

from __future__ import annotations

from pathlib import Path

from tests.adapters.slack.test_whole_house import answered, groq, open_house, slack
from tests.fakes.llm_api import FakeLlmApi, Say
from tests.fakes.slack import FakeSlack, Place

__all__ = ["groq", "slack"]

DIRECT = "the launch code name is Kittiwake"
CHANNEL = "the standup is at quarter past nine"


async def test_a_memory_is_used_shown_and_forgotten(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """It reaches the model, is named under the answer, and after "forget that" is in no row and in no request."""
    groq.default = Say("It begins at quarter past nine.")
    async with open_house(tmp_path, slack, groq) as box:
        slack.say("U1", f"<@U0TERN> remember for this channel that {CHANNEL}")
        await answered(slack)
        slack.say("U2", "<@U0TERN> when do we meet?")
        used = (await answered(slack, count=2))[-1]
        told = str(groq.asked()[-1].body)
        slack.say("U1", "<@U0TERN> forget that")
        await answered(slack, count=3)
        slack.say("U2", "<@U0TERN> and tomorrow?")
        await answered(slack, count=4)
        after = [str(chat.body) for chat in groq.asked()][-1]
        database = box.app.storage.path

    assert CHANNEL in told
    assert f"From memory: “{CHANNEL}”." in str(used.blocks)
    assert "<memories" not in after
    left = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    assert b"standup" not in left


async def test_a_secret_is_told_nowhere_else(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """What was to be remembered in a direct message is in no request for a channel, for another person, or for a
    private answer in a channel; where it was said it is."""
    slack.place(Place("D2", "im"))
    async with open_house(tmp_path, slack, groq):
        slack.say("U1", f"remember that {DIRECT}", channel="D1")
        await answered(slack, "D1")
        slack.say("U1", "<@U0TERN> what do you know about the launch?")
        slack.say("U2", "<@U0TERN> what does Ada keep secret about the launch?")
        await answered(slack, count=2)
        slack.command("U1", "what do you know about the launch?", channel="C7")
        slack.say("U2", "what do you know about the launch?", channel="D2")
        await answered(slack, "D2")
        elsewhere = [str(chat.body) for chat in groq.asked()]
        slack.say("U1", "what is the launch's code name?", channel="D1")
        await answered(slack, "D1", count=2)
        at_home = str(groq.asked()[-1].body)

    assert len(elsewhere) >= 3
    assert not [body for body in elsewhere if "Kittiwake" in body]
    assert "Kittiwake" in at_home
