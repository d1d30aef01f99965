"""Extraction and approval of acting tools on Slack, through the whole house: what a person does and then sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters.slack.test_whole_house import answered, finished, groq, open_house, slack
from tests.bot.box import Box, until
from tests.bot.test_approvals import Board, audited
from tests.fakes.llm_api import FakeLlmApi, Say
from tests.fakes.slack import FakeSlack, Message
from tests.fakes.slack.server import File

__all__ = ["groq", "slack"]

QUALITY, SPEED = "openai/gpt-oss-120b", "openai/gpt-oss-20b"
TODO = '{"items": [{"who": "Bob", "what": "call the printer", "until": "Friday"}]}'
LAMP = '{"items": [{"name": "lamp", "price": 30}]}'
SAVED = '[schemas]\nbill = "name, price:number"\n'
POSTING = "".join(f'[channels."slack:{channel}"]\ntools = ["post__*"]\n' for channel in ("C1", "D1")) + (
    '[mcp.servers.post]\ncommand = ["sleep", "60"]\n'
)


async def offered(box: Box, slack: FakeSlack, user: str = "U1") -> Message:
    """The private message that asks what to make of it, once its run is over."""
    await until(lambda: any("tern_extract_as#0" in message.buttons for message in slack.whispers(user)))
    await until(lambda: not box.app.inbox.running)
    return slack.whispers(user)[-1]


def uploaded(slack: FakeSlack) -> dict[str, bytes]:
    return {upload.name: upload.content for upload in slack.uploads.values()}


@pytest.mark.parametrize(
    ("chosen", "says", "table"),
    [
        ("tern_extract_as#0", TODO, "| who | what | until |\n| --- | --- | --- |\n| Bob | call the printer | Friday |"),
        ("tern_extract_as#1", '{"items": [{"item": "Bob", "fact": "calls", "value": null}]}', "| Bob | calls |  |"),
        ("tern_extract_as#2", LAMP, "| name | price |\n| --- | --- |\n| lamp | 30 |"),
    ],
    ids=["to-dos", "table", "saved schema"],
)
@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_extract_from_a_message(
    tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi, transport: str, chosen: str, says: str, table: str
) -> None:
    """ "Extract ..." on somebody's message offers to-dos, a table and what tern.toml saves; the choice becomes a table
    for the asker's eyes, with JSON and CSV in their direct messages."""
    groq.plays(QUALITY, Say(says))
    async with open_house(tmp_path, slack, groq, transport, SAVED) as box:
        message = slack.say("U2", "Bob calls the printer about the 30 Euro lamp by Friday.")
        slack.shortcut("U1", message, "tern_extract")
        question = await offered(box, slack)
        labels = [value.partition("|")[2] for value in question.buttons.values()]
        slack.press("U1", question, chosen)
        await until(lambda: table in slack.whispers("U1")[-1].shown)
        await until(lambda: len(uploaded(slack)) == 2 and all(uploaded(slack).values()))

    assert labels == ["to-dos", "table", "bill"]
    assert "Bob calls the printer" in json.dumps(groq.asked()[0].body["messages"])
    assert json.loads(uploaded(slack)["extracted.json"]) == json.loads(says)["items"]
    assert slack.answers() == []


async def test_choice_outlives_a_restart(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """The house closes while the choice is open; a press in the next one makes the table."""
    groq.plays(QUALITY, Say(TODO))
    async with open_house(tmp_path, slack, groq) as box:
        slack.shortcut("U1", slack.say("U2", "Bob calls the printer by Friday."), "tern_extract")
        question = await offered(box, slack)

    async with open_house(tmp_path, slack, groq) as box:
        slack.press("U1", question, "tern_extract_as#0")
        await until(lambda: "call the printer" in slack.whispers("U1")[-1].shown)


async def test_choice_is_the_askers_alone(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """A press in somebody else's name starts nothing."""
    async with open_house(tmp_path, slack, groq) as box:
        slack.shortcut("U1", slack.say("U2", "Bob calls the printer by Friday."), "tern_extract")
        question = await offered(box, slack)
        slack.press("U2", question, "tern_extract_as#0")
        await until(lambda: slack.whispers("U2"))

    assert "Only the person who asked" in slack.whispers("U2")[0].shown
    assert groq.asked() == []


async def test_schema_that_is_gone_is_named(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """A button for a schema that tern.toml no longer has ends in a sentence, not in a table of one column."""
    async with open_house(tmp_path, slack, groq, config=SAVED) as box:
        slack.shortcut("U1", slack.say("U2", "A lamp is 30."), "tern_extract")
        question = await offered(box, slack)

    async with open_house(tmp_path, slack, groq) as box:
        slack.press("U1", question, "tern_extract_as#2")
        await until(
            lambda: (
                "there is no schema 'bill'"
                in slack.whispers("U1")[-1].small_print + str(slack.whispers("U1")[-1].shown)
            )
        )

    assert groq.asked() == []


async def test_extract_from_a_thread(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """On the message that begins a thread the thread is read; asked for in the thread itself likewise."""
    groq.plays(QUALITY, Say(TODO), Say(LAMP))
    async with open_house(tmp_path, slack, groq) as box:
        root = slack.say("U2", "The lamp is broken.")
        root.thread = root.ts
        slack.say("U1", "Bob calls the printer by Friday.", thread=root.ts)
        slack.shortcut("U1", root, "tern_extract")
        slack.press("U1", await offered(box, slack), "tern_extract_as#0")
        await until(lambda: "call the printer" in slack.whispers("U1")[-1].shown)
        slack.say("U2", "<@U0TERN> extract name, price:number", thread=root.ts)
        answer = (await answered(slack))[0]  # its files may stand below it already

    for asked in groq.asked():
        said = json.dumps(asked.body["messages"])
        assert "The lamp is broken." in said
        assert "Bob calls the printer" in said
    assert "| lamp | 30 |" in answer.shown


async def test_extract_from_a_file(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """A file beside `extract name, price:number` is read, and the data lands in the thread as files."""
    groq.plays(QUALITY, Say(LAMP))
    bill = File("F1", "bill.txt", "text/plain", b"Lamp, 30 Euro")
    async with open_house(tmp_path, slack, groq):
        slack.say("U1", "<@U0TERN> extract name, price:number", files=[bill])
        answer = (await answered(slack))[0]
        await until(lambda: len(uploaded(slack)) == 2 and all(uploaded(slack).values()))

    assert answer.shown.startswith("| name | price |")
    assert "Lamp, 30 Euro" in json.dumps(groq.asked()[0].body["messages"])
    assert b"lamp,30" in uploaded(slack)["extracted.csv"]


async def test_long_thread_is_summarised_whole(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """ "Summarise thread" on three hundred messages: read in parts, and the last question knows of all of them."""
    groq.answers(lambda body: Say("A note." if "notes like yours" in json.dumps(body["messages"]) else "All in all."))
    async with open_house(tmp_path, slack, groq):
        root = slack.say("U2", "Remark 0.", silently=True)
        for number in range(1, 300):
            last = slack.say("U2", f"Remark {number}. " + "word " * 40, thread=root.ts, silently=True)
        slack.shortcut("U1", last, "tern_summarise")
        await until(lambda: slack.whispers("U1") and "All in all." in slack.whispers("U1")[-1].shown)

    asked = [json.dumps(request.body["messages"]) for request in groq.asked()]
    assert len(asked) > 2
    assert all(any(f"Remark {number}." in one for one in asked) for number in range(300))
    assert "A note." in asked[-1]
    assert "the thread" in slack.whispers("U1")[-1].shown


# --- approval of acting tools


def wants_to_post(groq: FakeLlmApi, *then: str) -> None:
    groq.plays(SPEED, Say("I will post it.", calls=[("post__note", '{"text": "hello"}')]), *map(Say, then))


async def question_in(box: Box, slack: FakeSlack, channel: str) -> Message:
    await until(lambda: any("tern_confirm" in message.buttons for message in slack.answers(channel)))
    await until(lambda: not box.app.inbox.running)
    return slack.answers(channel)[0]


@pytest.mark.parametrize("channel", ["C1", "D1"])
async def test_confirm(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi, channel: str) -> None:
    """The question carries Confirm and Decline; others press in vain; later turns pass; a new process carries out what
    is then agreed to, once, in the same message; the audit knows who and when."""
    wants_to_post(groq, "Five.", "It is posted.")
    board = Board()
    async with open_house(tmp_path, slack, groq, config=POSTING) as box:
        board.onto(box)
        asked = slack.say("U1", "<@U0TERN> post hello", channel=channel)
        question = await question_in(box, slack, channel)
        assert set(question.buttons) == {"tern_confirm", "tern_decline"}
        slack.press("U2", question, "tern_confirm")
        await until(lambda: slack.whispers("U2"))
        slack.say("U1", "<@U0TERN> 2 + 3?", channel=channel, thread=asked.ts)
        await until(lambda: any(message.shown == "Five." for message in slack.answers(channel)))

    async with open_house(tmp_path, slack, groq, config=POSTING) as box:
        board.onto(box)
        slack.press("U1", question, "tern_confirm")
        await until(lambda: "It is posted." in question.shown and finished(question))
        history = await audited(box)

    assert "Only the person who asked" in slack.whispers("U2")[0].shown
    assert board.notes == ["hello"]
    assert "May I use" not in question.shown
    assert history == [("tool asked", "U1"), ("tool confirm", "U1")]


async def test_decline(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """Decline tells the model so; nothing is done."""
    wants_to_post(groq, "All right, I leave it.")
    board = Board()
    async with open_house(tmp_path, slack, groq, config=POSTING) as box:
        board.onto(box)
        slack.say("U1", "<@U0TERN> post hello")
        question = await question_in(box, slack, "C1")
        slack.press("U1", question, "tern_decline")
        await until(lambda: "I leave it." in question.shown)
        history = await audited(box)

    assert board.notes == []
    assert history[-1] == ("tool decline", "U1")


async def test_question_runs_out(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """Nobody agreed in time: at the next start the message says so, and its buttons decide nothing any more."""
    wants_to_post(groq)
    board = Board()
    async with open_house(tmp_path, slack, groq, config=POSTING + "[tools]\nconfirm_minutes = 0.0\n") as box:
        board.onto(box)
        slack.say("U1", "<@U0TERN> post hello")
        question = await question_in(box, slack, "C1")

    async with open_house(tmp_path, slack, groq, config=POSTING) as box:
        board.onto(box)
        await until(lambda: "Nobody agreed in time" in question.shown)
        history = await audited(box)

    assert board.notes == []
    assert history[-1] == ("tool expired", "U1")
