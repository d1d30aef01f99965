"""Orders in pages, files and tools' results, on Slack: nothing happens but the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters.slack.test_whole_house import answered, groq, open_house, slack
from tests.bot.box import until
from tests.bot.orders import FILES, PARROT, TOOLS, URL, arm, asks_a_tool, only_material
from tests.fakes.llm_api import FakeLlmApi, Say
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack
from tests.fakes.slack.server import File

__all__ = ["groq", "slack"]


def nothing_leaked(slack: FakeSlack, groq: FakeLlmApi) -> bool:
    """No secret in any request to a model nor in anything posted. That nobody was pinged the fixture asserts."""
    seen = json.dumps([request.body for request in groq.asked()]) + json.dumps([m.as_json() for m in slack.answers()])
    return not any(secret in seen for secret in (groq.key, BOT_TOKEN, APP_TOKEN))


@pytest.mark.parametrize("tool", ["read_page", "notes__read"])
async def test_page_and_tool_that_give_orders(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi, tool: str) -> None:
    """A model that believes them may say so; it pings nobody, and what it would do has to be confirmed first."""
    asks_a_tool(groq, tool)
    async with open_house(tmp_path, slack, groq, config=f'[channels."slack:C1"]\n{TOOLS}') as box:
        board = arm(box)
        slack.say("U1", f"<@U0TERN> what stands on {URL}?")
        await until(lambda: any("tern_confirm" in message.buttons for message in slack.answers()))
        (answer,) = slack.answers()

    assert only_material(groq)
    assert board.notes == []
    assert answer.shown.startswith("As told:")
    assert nothing_leaked(slack, groq)


@pytest.mark.parametrize("name", FILES)
async def test_file_that_asks_for_the_secrets(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi, name: str) -> None:
    """Text and PDF reach the model as material inside their block; the answer is all that comes of it."""
    mime, content = FILES[name]
    groq.default = Say(PARROT)
    async with open_house(tmp_path, slack, groq):
        slack.say("U1", "<@U0TERN> what does it say?", files=[File("F1", name, mime, content)])
        (answer,) = await answered(slack)

    assert only_material(groq)
    assert answer.shown.startswith("As told:")
    assert nothing_leaked(slack, groq)
