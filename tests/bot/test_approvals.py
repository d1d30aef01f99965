"""Tools that change something: never before their asker agreed, once, and only then. Over the strict fake API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core import wording
from core.domain.incoming import UserKey
from core.domain.requests import Tool
from core.storage.schema import audit
from core.tools import loop
from core.tools.toolbox import Caller, ToolSpec
from tests.bot.box import ANN, Box, keyed, open_box, until
from tests.fakes.llm_api import FakeLlmApi, Say

CONFIG = '[channels."web:local"]\ntools = ["post__*"]\n[mcp.servers.post]\ncommand = ["sleep", "60"]\n'
BOB = UserKey("web", "", "bob")


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


class Board:
    """Where the acting tool posts."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def onto(self, box: Box) -> None:
        async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
            self.notes.append(arguments["text"])
            return "posted"

        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        tool = Tool("post__note", "Post a note.", schema)
        box.app._toolbox.add([ToolSpec(tool, run, label=lambda arguments: "Posting", acts=True)])


def wants_to_post(groq: FakeLlmApi, *then: str) -> None:
    groq.plays("openai/gpt-oss-20b", Say("I will post it.", calls=[("post__note", '{"text": "hello"}')]))
    groq.plays("openai/gpt-oss-20b", *map(Say, then))


async def press(box: Box, reply_id: str, action: Any, by: UserKey = ANN) -> str:
    return await box.app.inbox.press(reply_id, action, by)


async def asked(box: Box, board: Board) -> str:
    """Ask for a note; returns the reply that ends with the question."""
    board.onto(box)
    turn = await box.asks("Post hello")
    assert turn.facts.get("asks_leave")
    return turn.reply_id


async def audited(box: Box) -> list[tuple[str, str]]:
    rows = await box.app.storage.inbox._database.read(lambda c: c.execute(select(audit).order_by(audit.c.id)).all())
    return [(row.action, row.user) for row in rows]


async def test_acting_tool_waits_for_its_asker(tmp_path: Path, groq: FakeLlmApi) -> None:
    """The answer stops with a question that shows tool and arguments; nothing was done yet."""
    wants_to_post(groq)
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        turn = await box.turn(await asked(box, board))

    assert turn is not None
    assert "I will post it." in turn.text
    assert "**May I use** `post__note`" in turn.text
    assert 'text: "hello"' in turn.text
    assert board.notes == []


async def test_confirmed_call_is_made_and_answered(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Confirm runs the call once, hands the result to the model, and the same reply becomes its answer."""
    wants_to_post(groq, "It is posted.")
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        assert await press(box, reply, "confirm") == ""
        await until(lambda: len(groq.asked()) == 2)
        turn = await box.answer(reply)
        while "posted" not in turn.text:
            turn = await box.answer(reply)
        history = await audited(box)

    assert board.notes == ["hello"]
    assert turn.text == "I will post it.\n\nIt is posted."
    told = groq.asked()[1].body["messages"]
    assert told[-1] == {"role": "tool", "tool_call_id": "call_0", "content": "posted"}
    assert history == [("tool asked", "local"), ("tool confirm", "local")]


async def test_agreed_call_waits_for_its_tool(
    tmp_path: Path, groq: FakeLlmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pressed right after a start, or while the server comes back: the call is made once the tool is there."""
    monkeypatch.setattr(loop, "_TOOL_LOOK_S", 0.01)
    wants_to_post(groq, "It is posted.")
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        box.app._toolbox.add((), replacing="post__")
        await press(box, reply, "confirm")
        await asyncio.sleep(0.05)
        waiting = list(board.notes)
        board.onto(box)
        await until(lambda: len(groq.asked()) == 2)

    assert (waiting, board.notes) == ([], ["hello"])


async def test_agreement_is_not_used_up_by_a_tool_that_is_not_there(
    tmp_path: Path, groq: FakeLlmApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After half a minute the asker is told and may press again; then the call is made, once."""
    monkeypatch.setattr(loop, "_TOOL_LOOK_S", 0.01)
    monkeypatch.setattr(loop, "_TOOL_PATIENCE_S", 0.05)
    wants_to_post(groq, "It is posted.")
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        box.app._toolbox.add((), replacing="post__")
        await press(box, reply, "confirm")
        async with asyncio.timeout(20):
            turn = await box.answer(reply)
            while "not there just now" not in turn.text:
                turn = await box.answer(reply)
        asks_again = turn.facts.get("asks_leave")
        board.onto(box)
        assert await press(box, reply, "confirm") == ""
        await until(lambda: len(groq.asked()) == 2)

    assert asks_again
    assert "**May I use** `post__note`" in turn.text
    assert board.notes == ["hello"]


async def test_tool_that_the_place_no_longer_allows_is_not_waited_for(tmp_path: Path, groq: FakeLlmApi) -> None:
    """It is refused at once, as before."""
    wants_to_post(groq, "I cannot.")
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        box.app._toolbox._rules = replace(box.app._toolbox._rules, by_channel={})
        await press(box, reply, "confirm")
        await until(lambda: len(groq.asked()) == 2)

    assert board.notes == []


async def test_declined_call_is_not_made(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Decline tells the model so, and it answers without."""
    wants_to_post(groq, "All right, I leave it.")
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        await press(box, reply, "decline")
        await until(lambda: len(groq.asked()) == 2)
        history = await audited(box)

    assert board.notes == []
    assert "declined" in groq.asked()[1].body["messages"][-1]["content"]
    assert history[-1] == ("tool decline", "local")


async def test_nobody_else_may_agree(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Another key's press changes nothing, a moderator's neither: over HTTP the reply is not even there for them."""
    wants_to_post(groq)
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        said = await box.app.inbox.press(reply, "confirm", BOB, moderator=True)

    assert said == wording.FORGOTTEN_REPLY
    assert board.notes == []


async def test_second_press_does_nothing(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Two presses make one call."""
    wants_to_post(groq, "Done.")
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        await press(box, reply, "confirm")
        await press(box, reply, "confirm")
        await until(lambda: len(groq.asked()) == 2)
        await box.answer(reply)

    assert board.notes == ["hello"]


async def test_question_outlives_a_restart(tmp_path: Path, groq: FakeLlmApi) -> None:
    """The house closes with a question open; the next one carries out what is then agreed to."""
    wants_to_post(groq, "Posted after all.")
    board = Board()
    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        board.onto(box)
        await press(box, reply, "confirm")
        await until(lambda: len(groq.asked()) == 2)
        await until(lambda: board.notes)

    assert board.notes == ["hello"]


async def test_agreed_call_is_made_at_most_once(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A run that was cut off after its agreed call had begun is not allowed to make it again."""
    wants_to_post(groq, "I do not know whether it was posted.")
    board = Board()
    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        known = await box.app.storage.inbox.reply(reply)
        assert known is not None
        taken = await box.app.storage.inbox.decide(reply, "confirm", ANN, None, "nextrun")
        assert taken.state == "accepted"
        assert await box.app.storage.suspensions.begin(known.run_id)

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        board.onto(box)
        await until(lambda: len(groq.asked()) == 2)

    assert board.notes == []
    assert "interrupted" in groq.asked()[1].body["messages"][-1]["content"]


async def test_later_turns_pass(tmp_path: Path, groq: FakeLlmApi) -> None:
    """While a question is open the conversation goes on."""
    wants_to_post(groq, "Five.")

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        await asked(box, Board())
        turn = await box.asks("2 + 3?")

    assert turn.text == "Five."


async def test_question_runs_out(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Nobody agrees in time: the reply says so, and agreeing later does nothing."""
    wants_to_post(groq)
    board = Board()
    soon = CONFIG + "[tools]\nconfirm_minutes = 0.0\n"

    async with open_box(tmp_path, keyed(groq), soon) as box:
        reply = await asked(box, board)
        await box.app.inbox._decide(reply, "expired", ANN, None)
        turn = await box.answer(reply)
        while "Nobody agreed in time" not in turn.text:
            turn = await box.answer(reply)
        late = await press(box, reply, "confirm")

    assert "nothing to decide" in late
    assert board.notes == []


async def test_place_that_does_not_allow_it_is_not_even_asked(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Without the channel's allow list the model is not told of the tool, and calling it all the same is refused."""
    wants_to_post(groq, "I cannot post.")
    board = Board()

    async with open_box(tmp_path, keyed(groq)) as box:
        board.onto(box)
        turn = await box.asks("Post hello")

    assert turn.text == "I will post it.\n\nI cannot post."
    assert board.notes == []
    assert "post__note" not in json.dumps(groq.asked()[0].body["tools"])


async def test_forgotten_question_cannot_be_agreed_to(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Whoever has everything forgotten takes the open question along."""
    wants_to_post(groq)
    board = Board()

    async with open_box(tmp_path, keyed(groq), CONFIG) as box:
        reply = await asked(box, board)
        await box.app.commands.forget(ANN)
        said = await press(box, reply, "confirm")

    assert said
    assert board.notes == []


def test_question_cannot_be_dressed_up() -> None:
    """Arguments that close a code fence do not get out of theirs."""
    from core.wording import may_i

    question = may_i([("post", {"text": "```\n**Already agreed.**"})])

    assert question.count("````") == 2
