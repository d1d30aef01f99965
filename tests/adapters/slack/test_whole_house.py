"""Slack and the whole house: a real database, the real inbox and stack, fake Slack and fake Groq, in real time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.domain.incoming import UserKey
from tests.bot.box import Box, keyed, open_box, until
from tests.fakes.llm_api import FakeLlmApi, Say
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack, Message, Place
from tests.fakes.slack.server import File

ANSWER = "Terns fly from pole to pole and back, every year of their long lives. " * 4
SLOWLY = 40.0
"""Tokens a second: about two seconds for ANSWER."""


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as fake:
        fake.deliveries.retry_delays_s = (0.2, 1.0, 2.0)
        yield fake
        assert fake.pings == []
        assert fake.violations == []


@asynccontextmanager
async def open_house(
    folder: Path, slack: FakeSlack, groq: FakeLlmApi, transport: str = "socket", config: str = ""
) -> AsyncIterator[Box]:
    environ = keyed(groq) | environment(slack, transport)
    async with open_box(folder, environ, config) as box:
        if transport == "http":
            slack.deliveries.target = f"{box.app.url}/slack/events"
        await until(lambda: box.app.health()["slack"].state == "connected")
        try:
            yield box
        finally:
            slack.deliveries.target = ""


def environment(slack: FakeSlack, transport: str = "socket") -> dict[str, str]:
    secret = {"SLACK_APP_TOKEN": APP_TOKEN} if transport == "socket" else {"SLACK_SIGNING_SECRET": SIGNING_SECRET}
    return {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_API_URL": slack.api_url, **secret}


def finished(message: Message) -> bool:
    return "tern_regenerate" in message.buttons


async def answered(slack: FakeSlack, channel: str = "C1", *, count: int = 1) -> list[Message]:
    await until(lambda: sum(map(finished, slack.answers(channel))) >= count)
    return slack.answers(channel)


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_a_mention_is_answered(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi, transport: str) -> None:
    """From a mention to a finished answer in the thread, over both transports."""
    groq.default = Say(ANSWER, tokens_per_s=200)
    async with open_house(tmp_path, slack, groq, transport):
        question = slack.say("U1", "<@U0TERN> how far do terns fly?")
        (answer,) = await answered(slack)

    assert answer.thread == question.ts
    assert answer.shown == ANSWER.strip()


async def test_a_mention_in_a_busy_channel_knows_what_was_said(
    tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi
) -> None:
    """The model reads the channel's last messages with their authors; that is said under the first answer only."""
    async with open_house(tmp_path, slack, groq):
        slack.say("U2", "The deploy of 14:02 broke the login")
        slack.say("U1", "<@U0TERN> what broke?")
        (first,) = await answered(slack)
        slack.say("U1", "<@U0TERN> and since when?")
        answers = await answered(slack, count=2)

    told = [chat.body["messages"][-1]["content"] for chat in groq.asked()]
    assert all("Bob#U2" in prompt and "The deploy of 14:02 broke the login" in prompt for prompt in told)
    assert "messages of this channel" in str(first.blocks)
    assert "messages of this channel" not in str(answers[-1].blocks)


async def test_a_direct_conversation(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """A direct message is streamed; the next one in its thread comes with what was said before."""
    # A model that answers before the ledger has its row is posted at once, complete; real ones think first.
    thinking_s = 0.3
    groq.plays(
        "openai/gpt-oss-20b",
        Say("Your name is Ada.", first_after_s=thinking_s),
        Say("Ada, as you said.", first_after_s=thinking_s),
    )
    async with open_house(tmp_path, slack, groq):
        first = slack.say("U1", "I am Ada.", channel="D1")
        await answered(slack, "D1")
        slack.say("U1", "Who am I?", channel="D1", thread=first.ts)
        answers = await answered(slack, "D1", count=2)

    assert [answer.shown for answer in answers] == ["Your name is Ada.", "Ada, as you said."]
    assert all(answer.was_streamed for answer in answers)
    assert "I am Ada." in str(groq.asked()[1].body)


async def test_editing_and_deleting_the_question(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """An edit is answered in the same message; deleting the question takes the answer back."""
    groq.plays("openai/gpt-oss-20b", Say("Four."), Say("Five."))
    async with open_house(tmp_path, slack, groq):
        question = slack.say("U1", "<@U0TERN> 2+2?")
        (answer,) = await answered(slack)

        slack.edit(question, "<@U0TERN> 2+3?")
        await until(lambda: answer.shown == "Five.")
        slack.delete(question)
        await until(lambda: not slack.answers())


async def test_regenerate_and_feedback(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """Regenerate answers anew in the same message, streamed or not."""
    groq.plays("openai/gpt-oss-20b", Say("Once."), Say("Twice."))
    async with open_house(tmp_path, slack, groq):
        slack.say("U1", "hello", channel="D1")
        (answer,) = await answered(slack, "D1")

        slack.press("U1", answer, "tern_regenerate")
        await until(lambda: answer.shown == "Twice." and finished(answer))
        delivery = await slack.press("U1", answer, "tern_feedback").over()

    assert delivery.acked
    assert len(slack.answers("D1")) == 1


@pytest.mark.parametrize("channel", ["C1", "D1"])
async def test_stop(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi, channel: str) -> None:
    """Stop ends the answer where it is: by the button in a channel, by Slack's own Stop in a direct message."""
    groq.default = Say(ANSWER * 5, tokens_per_s=SLOWLY)
    async with open_house(tmp_path, slack, groq):
        question = slack.say("U1", "<@U0TERN> go on", channel=channel)
        await until(lambda: slack.answers(channel) and len(slack.answers(channel)[0].shown) > 20)
        (answer,) = slack.answers(channel)

        if channel == "C1":
            slack.press("U1", answer, "tern_stop")
        else:
            slack.press_native_stop("U1", "D1", question.ts)
        await until(lambda: finished(answer))
        await until(lambda: groq.asked()[0].hung_up)

    assert ANSWER.startswith(answer.shown[:20])
    assert len(answer.shown) < len(ANSWER) * 5
    assert "topped" in answer.small_print
    assert answer.stream is None


async def test_a_command_where_the_bot_is_no_member(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """The answer reaches the asker alone, through the response_url."""
    slack.place(Place("C7", "channel", bot_is_member=False))
    groq.default = Say("For your eyes only.")
    async with open_house(tmp_path, slack, groq):
        slack.command("U1", "ask a secret", channel="C7")
        await until(lambda: any(finished(message) for message in slack.whispers("U1")))

    assert [message.shown for message in slack.whispers("U1")] == ["For your eyes only."]


async def test_a_shared_file_reaches_the_model(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """A text file beside the question is fetched from Slack and read."""
    async with open_house(tmp_path, slack, groq):
        notes = File("F1", "notes.txt", "text/plain", b"The meeting is on Friday.")
        slack.say("U1", "when is it?", channel="D1", files=[notes])
        await answered(slack, "D1")

    assert "The meeting is on Friday." in str(groq.asked()[0].body)


async def test_forget(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """`/tern forget`, confirmed, leaves nothing of the person."""
    async with open_house(tmp_path, slack, groq) as box:
        slack.say("U1", "I like terns", channel="D1")
        await answered(slack, "D1")
        slack.command("U1", "forget", channel="D1")
        await until(lambda: slack.whispers("U1"))
        slack.press("U1", slack.whispers("U1")[0], "tern_forget_me")
        await until(lambda: len(slack.whispers("U1")) == 2)

        export = await box.app.storage.archive.export(user=UserKey("slack", ":T1", "U1"))

    assert "terns" not in str(export)


async def test_replies_under_a_commands_public_answer(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """The thread under an answer to `/tern` goes on with the same history."""
    groq.plays("openai/gpt-oss-20b", Say("Noted."), Say("Terns."))
    async with open_house(tmp_path, slack, groq):
        slack.command("U1", "my favourite birds are terns")
        (first,) = await answered(slack)
        slack.say("U2", "which birds?", thread=first.ts)
        answers = await answered(slack, count=2)

    assert answers[1].thread == first.ts
    assert "favourite birds are terns" in str(groq.asked()[1].body)


async def test_what_was_missed_is_answered_after_a_restart(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """A follow-up that was written while the house was closed, and never delivered, is found and answered once."""
    slack.world.starts_now()
    async with open_house(tmp_path, slack, groq):
        question = slack.say("U1", "<@U0TERN> hello")
        await answered(slack)
    slack.say("U1", "are you there?", thread=question.ts, silently=True)

    for _ in range(2):
        async with open_house(tmp_path, slack, groq):
            await answered(slack, count=2)
            await asyncio.sleep(0.2)

    assert len(slack.answers()) == 2


async def test_a_reply_under_a_commands_answer_that_was_missed(
    tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi
) -> None:
    """What was written under an answer to `/tern ask` while the house was closed goes on with that conversation."""
    slack.world.starts_now()
    groq.plays("openai/gpt-oss-20b", Say("Noted."), Say("Terns."))
    async with open_house(tmp_path, slack, groq):
        slack.command("U1", "my favourite birds are terns")
        (first,) = await answered(slack)
    slack.say("U2", "which birds?", thread=first.ts, silently=True)

    async with open_house(tmp_path, slack, groq):
        answers = await answered(slack, count=2)

    assert answers[1].thread == first.ts
    assert "favourite birds are terns" in str(groq.asked()[1].body)


CIRCLE = """
[slack]
allow_channels = ["C1", "C2"]

[channels."slack:C2"]
allow = ["U2"]
"""

# (who, where, what, whether it is answered): U1 and U2 work here, U3 is a guest, U9 comes over Slack Connect.
DIALOGUE = [
    ("U1", "C1", "<@U0TERN> in a listed channel", True),
    ("U1", "C2", "<@U0TERN> in a channel of others", False),
    ("U2", "C2", "<@U0TERN> in my own channel", True),
    ("U2", "C3", "<@U0TERN> in a channel nobody listed", False),
    ("U2", "D1", "directly", True),
    ("U3", "C1", "<@U0TERN> as a guest", False),
    ("U9", "C1", "<@U0TERN> as a stranger", False),
]


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_nobody_outside_the_circle_spends_a_token(
    tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi, transport: str
) -> None:
    """tern.toml's lists hold from end to end: who is outside is told so alone, and no model hears of it."""
    for channel in ("C2", "C3"):
        slack.place(Place(channel, "channel"))
    async with open_house(tmp_path, slack, groq, transport, CIRCLE) as box:
        for who, where, what, allowed in DIALOGUE:
            whispers = len(slack.whispers(who))
            question = slack.say(who, what, channel=where)
            if allowed:
                await until(lambda at=where, to=question: any(map(finished, slack.answers(at, to.ts))))
            else:
                await until(lambda to=who, before=whispers: len(slack.whispers(to)) > before)
        for who, where in (("U1", "C2"), ("U9", "C1")):
            whispers = len(slack.whispers(who))
            slack.command(who, "ask by command", channel=where)
            await until(lambda to=who, before=whispers: len(slack.whispers(to)) > before)
        spent = await box.app.storage.usage.spent(0.0)

    assert len(groq.asked()) == spent.requests == sum(allowed for *_, allowed in DIALOGUE)


async def test_every_command_says_something(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """Models, personas, usage, export and help come from the house's own commands; Home shows them too."""
    async with open_house(tmp_path, slack, groq):
        for number, text in enumerate(
            ("model", "model quality", "persona", "usage", "help", "export", "model nonsense")
        ):
            slack.command("U1", text, channel="D1")
            await until(lambda number=number: len(slack.whispers("U1")) == number + 1)
        slack.open_home("U1")
        await until(lambda: "U1" in slack.homes)

    assert "quality" in str(slack.homes["U1"])
    assert slack.uploads


@asynccontextmanager
async def process(folder: Path, slack: FakeSlack, groq: FakeLlmApi) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m bot run`, killed in the end whatever happened."""
    config = folder / "tern.toml"
    config.touch()
    environ = {
        **os.environ, **keyed(groq), **environment(slack),
        "DATA_DIR": str(folder), "TERN_CONFIG": str(config), "PORT": "0", "LOCAL_MODEL": "off",
    }  # fmt: skip
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "run",
        env=environ,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: slack.deliveries.sockets or running.returncode is not None, within_s=30)
        assert running.returncode is None
        yield running
    finally:
        if running.returncode is None:
            running.send_signal(signal.SIGKILL)
        await running.wait()
        slack.deliveries.sockets.clear()


async def test_kill_and_restart_complete_the_same_messages(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """kill -9 in mid-answer: the next process brings the same Slack messages to their end, edited and streamed alike,
    and posts no other."""
    groq.default = Say(ANSWER * 3, tokens_per_s=SLOWLY)
    async with process(tmp_path, slack, groq) as first:
        for channel in ("C1", "D1"):
            slack.say("U1", "<@U0TERN> how far do terns fly?", channel=channel)
        for channel in ("C1", "D1"):
            await until(lambda at=channel: slack.answers(at) and len(slack.answers(at)[0].shown) > 20)
        first.send_signal(signal.SIGKILL)
        await first.wait()
    groq.default = Say(ANSWER * 3)

    async with process(tmp_path, slack, groq):
        for channel in ("C1", "D1"):
            await until(lambda at=channel: any(map(finished, slack.answers(at))), within_s=60)

    for channel in ("C1", "D1"):
        (answer,) = slack.answers(channel)
        assert answer.shown == (ANSWER * 3).strip()
        assert answer.stream is None
