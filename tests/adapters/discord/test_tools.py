"""Extraction and approval of acting tools on Discord, through the whole house: what a person does and then sees."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core import wording
from tests.bot.box import Box, keyed, open_box
from tests.bot.test_approvals import Board, audited
from tests.fakes.discord import Channel, FakeDiscord, Interaction, Message, Person, until
from tests.fakes.llm_api import FakeLlmApi, Say

QUALITY, SPEED = "openai/gpt-oss-120b", "openai/gpt-oss-20b"
TODO = '{"items": [{"who": "Bob", "what": "call the printer", "until": "Friday"}]}'
LAMP = '{"items": [{"name": "lamp", "price": 30}]}'
SAVED = '[schemas]\nbill = "name, price:number"\n'


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


@pytest.fixture
def place(discord: FakeDiscord) -> tuple[Channel, Person, Person]:
    """A channel, Ada who asks, and Bob."""
    return discord.channel(discord.guild()), discord.person("Ada"), discord.person("Bob")


@asynccontextmanager
async def open_house(folder: Path, discord: FakeDiscord, groq: FakeLlmApi, config: str = "") -> AsyncIterator[Box]:
    environ = {
        "DISCORD_BOT_TOKEN": discord.token,
        "DISCORD_API_URL": discord.api_url,
        "DISCORD_GATEWAY_URL": discord.gateway_url,
    }
    async with open_box(folder, keyed(groq) | environ, config) as box:
        await until(lambda: box.app.health()["discord"].state == "connected", 20)
        yield box
    discord.gateway.closes.clear()


async def offered(box: Box, used: Interaction) -> Message:
    """The private message that asks what to make of it, once its run is over."""
    await until(lambda: used.pages and "to-dos" in used.pages[0].labels, 20)
    await until(lambda: not box.app.inbox.running)
    return used.pages[0]


def files_of(*used: Interaction) -> dict[str, bytes]:
    return {file.name: file.content for one in used for page in one.pages for file in page.uploads}


@pytest.mark.parametrize(
    ("chosen", "says", "table"),
    [
        ("to-dos", TODO, "call the printer"),
        ("table", '{"items": [{"item": "Bob", "fact": "calls", "value": null}]}', "calls"),
        ("bill", LAMP, "lamp"),
    ],
)
async def test_extract_from_a_message(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person],
    chosen: str, says: str, table: str,
) -> None:  # fmt: skip
    """ "Extract ..." on somebody's message offers to-dos, a table and what tern.toml saves; the choice becomes a table
    with JSON and CSV, all of it for the asker's eyes."""
    channel, ada, bob = place
    groq.plays(QUALITY, Say(says))
    async with open_house(tmp_path, discord, groq, SAVED) as box:
        message = await discord.say(channel, bob, "Bob calls the printer about the 30 Euro lamp by Friday.")
        used = await discord.menu(message, ada, "Extract ...")
        question = await offered(box, used)
        assert question.labels == ["to-dos", "table", "bill"]
        pressed = await discord.press(question, ada, chosen)
        await until(lambda: table in question.content, 20)
        await until(lambda: len(files_of(pressed)) == 2, 20)

    assert question.ephemeral
    assert all(page.ephemeral for page in pressed.pages)
    assert json.loads(files_of(pressed)["extracted.json"]) == json.loads(says)["items"]
    assert "Bob calls the printer" in json.dumps(groq.asked()[0].body["messages"])
    assert discord.said(channel) == []


async def test_choice_outlives_a_restart(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """The house closes while the choice is open; a press in the next one makes the table."""
    channel, ada, bob = place
    groq.plays(QUALITY, Say(TODO))
    async with open_house(tmp_path, discord, groq) as box:
        message = await discord.say(channel, bob, "Bob calls the printer by Friday.")
        question = await offered(box, await discord.menu(message, ada, "Extract ..."))

    async with open_house(tmp_path, discord, groq):
        await discord.press(question, ada, "to-dos")
        await until(lambda: "call the printer" in question.content, 20)


async def test_extract_from_files(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """The menu reads the files of its message, and `extract ...` those that come with it."""
    channel, ada, bob = place
    bill = discord.upload(channel, "bill.txt", b"Lamp, 30 Euro", "text/plain")
    groq.plays(QUALITY, Say(LAMP), Say(LAMP))
    async with open_house(tmp_path, discord, groq, SAVED) as box:
        message = await discord.say(channel, bob, files=[bill])
        question = await offered(box, await discord.menu(message, ada, "Extract ..."))
        await discord.press(question, ada, "bill")
        await until(lambda: "lamp" in question.content, 20)
        await discord.say(channel, ada, "extract name, price:number", mention=True, files=[bill])
        await until(lambda: any("lamp" in one.content for one in discord.said(channel)), 20)

    assert all("Lamp, 30 Euro" in json.dumps(one.body["messages"]) for one in groq.asked())


async def test_message_that_may_not_be_read_is_pointed_out(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """Without the content intent a reply shows nothing of what it replies to; the answer says what works instead."""
    channel, ada, bob = place
    async with open_house(tmp_path, discord, groq):
        message = await discord.say(channel, bob, "Lamp, 30 Euro")
        await discord.say(channel, ada, "extract name, price:number", mention=True, reply_to=message)
        await until(lambda: any("in its own menu" in one.content for one in discord.said(channel)), 20)

    assert groq.asked() == []


async def test_extract_from_a_thread(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """Asked in a thread, where the content intent allows, the thread is what is read."""
    channel, ada, bob = place
    discord.content_intent = True
    groq.plays(QUALITY, Say(TODO))
    async with open_house(tmp_path, discord, groq) as box:
        del box
        starter = await discord.say(channel, bob, "The lamp is broken.")
        thread = await discord.thread(starter)
        await discord.say(thread, bob, "Bob calls the printer by Friday.")
        await discord.say(thread, ada, "extract who, what, until", mention=True)
        await until(lambda: any("call the printer" in one.content for one in discord.said(thread)), 20)

    said = json.dumps(groq.asked()[0].body["messages"])
    assert "Bob calls the printer" in said
    assert "The lamp is broken." in said


# --- approval of acting tools


def posting(channel: Channel) -> str:
    return f'[channels."discord:{channel.id}"]\ntools = ["post__*"]\n[mcp.servers.post]\ncommand = ["sleep", "60"]\n'


def wants_to_post(groq: FakeLlmApi, *then: str) -> None:
    groq.plays(SPEED, Say("I will post it.", calls=[("post__note", '{"text": "hello"}')]), *map(Say, then))


async def question_in(box: Box, discord: FakeDiscord, channel: Channel) -> Message:
    await until(lambda: any("Confirm" in message.labels for message in discord.said(channel)), 20)
    await until(lambda: not box.app.inbox.running)
    return discord.said(channel)[0]


async def test_confirm(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """The question carries Confirm and Decline; others press in vain; later turns pass; a new process carries out what
    is then agreed to, once, in the same message; the audit knows who and when."""
    channel, ada, bob = place
    wants_to_post(groq, "Five.", "It is posted.")
    board = Board()
    async with open_house(tmp_path, discord, groq, posting(channel)) as box:
        board.onto(box)
        await discord.say(channel, ada, "post hello", mention=True)
        question = await question_in(box, discord, channel)
        assert question.labels == ["Confirm", "Decline"]
        refused = await discord.press(question, bob, "Confirm")
        await until(lambda: refused.pages)
        await discord.say(channel, ada, "2 + 3?", reply_to=question)
        await until(lambda: any("Five." in message.content for message in discord.said(channel)), 20)

    async with open_house(tmp_path, discord, groq, posting(channel)) as box:
        board.onto(box)
        await discord.press(question, ada, "Confirm")
        await until(lambda: "It is posted." in question.content and "Regenerate" in question.labels, 20)
        history = await audited(box)

    assert refused.pages[0].content == wording.NOT_YOURS_TO_STOP
    assert board.notes == ["hello"]
    assert "May I use" not in question.content
    assert history == [("tool asked", str(ada.id)), ("tool confirm", str(ada.id))]


async def test_moderator_cannot_agree_for_somebody_else(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """Whoever may stop an answer may still not give leave in its asker's name."""
    channel, ada, bob = place
    wants_to_post(groq)
    board = Board()
    async with open_house(tmp_path, discord, groq, posting(channel)) as box:
        board.onto(box)
        await discord.say(channel, ada, "post hello", mention=True)
        question = await question_in(box, discord, channel)
        pressed = await discord.press(question, bob, "Confirm", permissions=1 << 13)
        await until(lambda: pressed.pages)

    assert pressed.pages[0].content == wording.NOT_YOURS
    assert board.notes == []


async def test_decline(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """Decline tells the model so; nothing is done."""
    channel, ada, _ = place
    wants_to_post(groq, "All right, I leave it.")
    board = Board()
    async with open_house(tmp_path, discord, groq, posting(channel)) as box:
        board.onto(box)
        await discord.say(channel, ada, "post hello", mention=True)
        question = await question_in(box, discord, channel)
        await discord.press(question, ada, "Decline")
        await until(lambda: "I leave it." in question.content, 20)
        history = await audited(box)

    assert board.notes == []
    assert history[-1] == ("tool decline", str(ada.id))


async def test_question_runs_out(
    tmp_path: Path, discord: FakeDiscord, groq: FakeLlmApi, place: tuple[Channel, Person, Person]
) -> None:
    """Nobody agreed in time: at the next start the message says so."""
    channel, ada, _ = place
    wants_to_post(groq)
    board = Board()
    soon = posting(channel) + "[tools]\nconfirm_minutes = 0.0\n"
    async with open_house(tmp_path, discord, groq, soon) as box:
        board.onto(box)
        await discord.say(channel, ada, "post hello", mention=True)
        question = await question_in(box, discord, channel)

    async with open_house(tmp_path, discord, groq, soon) as box:
        board.onto(box)
        await until(lambda: "Nobody agreed in time" in question.content, 20)
        history = await audited(box)

    assert board.notes == []
    assert history[-1] == ("tool expired", str(ada.id))
