"""After a house has lived through everything it can store: no secret in clear, and nothing of whoever wants to be
forgotten."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import structlog

from bot import logs
from core.domain.incoming import Attachment, Incoming, Quote
from tests.adapters.slack.test_whole_house import environment, finished
from tests.bot.box import ANN, CHAT, Box, keyed, open_box, until
from tests.bot.test_approvals import Board, wants_to_post
from tests.core.files import samples
from tests.fakes import discord as discord_fake
from tests.fakes import slack as slack_fake
from tests.fakes.llm_api import KEY, FakeLlmApi, Heard, Say
from tests.fakes.slack.server import File

WORD = "xylophonist"
"""Stands in whatever people and models say here, and nowhere else."""

API_KEY = "an-api-key-that-is-long-and-random"
BEARER = {"Authorization": f"Bearer {API_KEY}"}
SECRET_KEY = "a-secret-key-that-is-long-and-random"
FAST = "openai/gpt-oss-20b"

CONFIG = """
[channels."web:local"]
tools = ["post__*"]
[mcp.servers.post]
command = ["sleep", "60"]
"""


@dataclass
class Life:
    """A house, its platforms, and what it leaves behind."""

    box: Box
    folder: Path
    groq: FakeLlmApi
    slack: slack_fake.FakeSlack
    discord: discord_fake.FakeDiscord
    channel: discord_fake.Channel
    ada: discord_fake.Person
    log: io.StringIO

    def secrets(self) -> tuple[str, ...]:
        """Ours, and every right to answer that a platform gave us."""
        rights = [f"/response/{name}" for name in self.slack.response_urls]
        tokens = [interaction.token for interaction in self.discord.interactions.all]
        ours = (KEY, API_KEY, SECRET_KEY, slack_fake.BOT_TOKEN, slack_fake.APP_TOKEN, self.discord.token)
        return (*ours, *rights, *tokens)

    def files_with(self, words: str) -> list[str]:
        """Every file in which *words* stand: database, its log, blobs, all of them."""
        return [
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and words.lower().encode() in path.read_bytes().lower()
        ]

    def lines_with(self, words: str, *, debug: bool) -> list[str]:
        """Log lines of the house; the platforms' own servers write into the same log."""
        lines = map(json.loads, self.log.getvalue().splitlines())
        ours = [line for line in lines if line["logger"] not in ("aiohttp.access", "aiohttp.server")]
        return [str(line) for line in ours if words in str(line) and (debug or line["level"] != "debug")]


@contextmanager
def logged(secrets: tuple[str, ...]) -> Iterator[io.StringIO]:
    """Everything that the house logs, at the debug level and as an operator would find it in a file."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure("debug", "json", secrets, stream=stream)
    try:
        yield stream
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()


@asynccontextmanager
async def a_life(folder: Path) -> AsyncIterator[Life]:
    """A house that is asked in every way it can be asked, *WORD* everywhere, and quiet again."""
    async with (
        FakeLlmApi("groq") as groq,
        slack_fake.FakeSlack() as slack,
        discord_fake.FakeDiscord() as discord,
    ):
        channel, ada = discord.channel(discord.guild()), discord.person("Ada")
        environ = keyed(groq) | environment(slack) | {
            "DISCORD_BOT_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
            "API_KEYS": API_KEY,
            "SECRET_KEY": SECRET_KEY,
        }  # fmt: skip
        groq.default = Say(f"The {WORD} answers.")
        with logged((KEY, API_KEY, SECRET_KEY, slack_fake.BOT_TOKEN, slack_fake.APP_TOKEN, discord.token)) as log:
            async with open_box(folder, environ, CONFIG) as box:
                await until(lambda: all(seen.state == "connected" for seen in box.app.health().values()))
                life = Life(box, folder, groq, slack, discord, channel, ada, log)
                await on_the_page(life)
                await over_the_api(life)
                await on_slack(life)
                await on_discord(life)
                yield life


async def on_the_page(life: Life) -> None:
    """A file, a recording, a table of rows, an extraction, a tool that waits for approval, an opinion."""
    box, groq = life.box, life.groq
    note = await kept(life, f"The {WORD} plays on Friday.".encode(), "text/plain", f"{WORD}.txt")
    first = await answered(life, f"When does the {WORD} play?", note)
    await box.app.inbox.press(first, "thumbs_up", ANN)
    groq.hears(Heard(f"Who is the {WORD}?"))
    await answered(life, "", await kept(life, samples.tone(2.0), "audio/wav", "voice.wav"))
    table = f"name\n{WORD} one\n{WORD} two\n".encode()
    await answered(life, "For each row, say hello", await kept(life, table, "text/csv", "people.csv"))
    groq.plays("openai/gpt-oss-120b", Say(json.dumps({"items": [{"name": WORD}]})))
    bill = Quote("q1", "local", "Ann", f"The {WORD} owes 30.")
    await answered(life, "extract name", quotes=(bill,))
    Board().onto(box)
    wants_to_post(groq)
    await answered(life, f"Post that the {WORD} is here")


async def over_the_api(life: Life) -> None:
    """An answer that is remembered, and a recording."""
    url = f"{life.box.app.url}/v1"
    asked = {"model": "auto", "temperature": 0, "messages": [{"role": "user", "content": f"Who is the {WORD}?"}]}
    life.groq.hears(Heard(f"I am the {WORD}."))
    form = aiohttp.FormData({"model": "auto"})
    form.add_field("file", samples.tone(3.0), filename=f"{WORD}.wav", content_type="audio/wav")
    async with aiohttp.ClientSession(headers=BEARER) as http:
        for answer in (
            await http.post(f"{url}/chat/completions", json=asked),
            await http.post(f"{url}/audio/transcriptions", data=form),
        ):
            assert answer.status == 200, await answer.text()


async def on_slack(life: Life) -> None:
    slack = life.slack
    slack.say("U1", f"Tell me of the {WORD}", channel="D1", files=[File("F1", "n.txt", "text/plain", WORD.encode())])
    slack.say("U1", f"<@U0TERN> and here of the {WORD}?")
    slack.command("U1", f"ask of the {WORD}")
    await until(lambda: len([one for one in (*slack.answers("D1"), *slack.answers("C1")) if finished(one)]) >= 3)
    await slack.press("U1", slack.answers("D1")[0], "tern_feedback").over()


async def on_discord(life: Life) -> None:
    discord, channel, ada = life.discord, life.channel, life.ada
    await discord.say(channel, ada, f"of the {WORD}, please", mention=True)
    asked = await discord.slash(channel, ada, "ask", question=f"who is the {WORD}?", private=True)
    await until(lambda: asked.pages and WORD in asked.pages[0].content and "Regenerate" in asked.pages[0].labels)
    await until(lambda: any("Regenerate" in message.labels for message in discord.said(channel)))


async def kept(life: Life, content: bytes, mime: str, name: str) -> Attachment:
    ref = await life.box.app.storage.blobs.put(content, mime=mime, owner=ANN)
    kind = "audio" if mime.startswith("audio") else "text"
    return Attachment(kind, mime, name, len(content), ref)


async def answered(life: Life, text: str, *attachments: Attachment, quotes: tuple[Quote, ...] = ()) -> str:
    now = life.box.app.clock.now()
    incoming = Incoming(f"p{now}", f"p{now}", ANN, CHAT, text, now, attachments, direct=True)
    receipt = await life.box.app.inbox.accept(replace(incoming, quotes=quotes))
    turn = await life.box.answer(receipt.reply_id)
    assert turn.state == "answered", turn
    return receipt.reply_id


async def forget_everybody(life: Life) -> None:
    """Each in the way that people have: the page's button, Slack's command, Discord's."""
    url = f"{life.box.app.url}/page/forget"
    async with aiohttp.ClientSession(headers=BEARER) as http, http.post(url, json={}) as answer:
        assert answer.status == 200
    await life.box.app.commands.forget(ANN)  # who has no key of their own: the box writes past the door
    seen = len(life.slack.whispers("U1"))
    life.slack.command("U1", "forget", channel="D1")
    await until(lambda: len(life.slack.whispers("U1")) > seen)
    life.slack.press("U1", life.slack.whispers("U1")[-1], "tern_forget_me")
    await until(lambda: len(life.slack.whispers("U1")) > seen + 1)
    forget = await life.discord.slash(life.channel, life.ada, "forget", what="all")
    await until(lambda: bool(forget.pages))


async def test_nothing_is_left_of_who_wants_to_be_forgotten(tmp_path: Path) -> None:
    """No file holds a word of theirs, while the house runs and after it closed; nobody's words stand in the log; and
    what they had asked is not taken in again when a platform brings it back."""
    async with a_life(tmp_path) as life:
        before = life.files_with(WORD)
        exported = await life.box.app.commands.export(ANN)
        await forget_everybody(life)
        meanwhile = life.files_with(WORD)
        asked = len(life.groq.asked())
        for message in [one for one in life.slack.world.messages if one.user == "U1"]:
            life.slack.announce(message)
        for message in [one for one in life.channel.messages.values() if one.author is life.ada]:
            await life.discord.announce(message)
        await life.slack.deliveries.idle()
        life.groq.default = Say("Nothing.")
        await life.box.asks("Is anything left?")

    assert any(name.startswith("tern.db") for name in before)
    assert any(name.startswith("blobs/") for name in before)
    assert WORD.encode() in (exported.file or b"")
    assert meanwhile == []
    assert life.files_with(WORD) == []
    assert len(life.groq.asked()) == asked + 1
    assert life.lines_with(WORD, debug=False) == []


async def test_no_secret_is_found_anywhere(tmp_path: Path) -> None:
    """Neither in a file, nor in a log line of any level: keys, tokens, and the rights to answer that platforms lend."""
    async with a_life(tmp_path) as life:
        secrets = life.secrets()
        found = [place for secret in secrets for place in life.files_with(secret)]
    found += [place for secret in secrets for place in life.files_with(secret)]
    found += [line for secret in secrets for line in life.lines_with(secret, debug=True)]

    assert len(secrets) >= 9
    assert found == []
