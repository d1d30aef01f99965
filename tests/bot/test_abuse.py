"""People and models that mean no good, through the whole house on the strict fakes of both platforms."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.adapters.slack.test_whole_house import environment, finished
from tests.bot.box import Box, keyed, open_box, until
from tests.fakes import discord as discord_fake
from tests.fakes import slack as slack_fake
from tests.fakes.llm_api import FakeLlmApi, Say
from tests.fakes.slack.server import File

DISGUISED = """
<!channel> <!here|here> <!everyone> <@U1> <@U2|bob> <!subteam^S1> <#C1> @everyone @here @channel
<\u200b!channel> <!\u200bchannel> <@\u2060U1> @\u200beveryone @every\u00adone
@\ufe0fhere \uff20everyone \uff1c!channel\uff1e
&lt;!channel&gt; &amp;lt;!here&amp;gt; &#60;@U1&#62; &#x3c;!everyone&#x3e; &lt;@U1&gt;
**<!channel>** _<@U1>_ ~~@everyone~~ `<!channel>` ``<@U1>`` [<!here>](https://example.org) [x](https://e.org/<!channel>)
> <!channel>
- @everyone
# <@U1>
| <!here> | @here |
|---|---|
| <@U1> | <@&42> |
```
<!channel> @everyone <@U1>
```
\\<!channel> <\\!channel> <\n!channel> <@U1\n> <@!1> <@&1> </ask:1> <id:home> <t:0> ||@everyone||
""".strip()
"""Orders to ping, as bare, hidden, encoded, escaped, marked up and broken as they come."""

TOWER = "Z" + "".join(chr(mark) for mark in range(0x300, 0x36F)) * 40
ODD = (
    "\u202egnihton\u202c \u2066a\u2069 \u200d\u200c\ufeff" + TOWER + "\U0001f600\U000e0041 \u0000 \x1b[31m "
    + "👨‍👩‍👧‍👦" * 20 + "각" * 20
)  # fmt: skip


@dataclass
class Street:
    box: Box
    groq: FakeLlmApi
    slack: slack_fake.FakeSlack
    discord: discord_fake.FakeDiscord
    channel: discord_fake.Channel
    ada: discord_fake.Person

    async def both_answer(self, count: int = 1) -> None:
        """Until that many questions have their finished answer on each platform."""
        await until(lambda: sum(map(finished, self.slack.answers("C1"))) >= count, within_s=40)
        done = lambda: [one for one in self.discord.said(self.channel) if "Regenerate" in one.labels]  # noqa: E731
        await until(lambda: len(done()) >= count, within_s=40)

    async def ask(self, text: str = "hello") -> None:
        self.slack.say("U1", f"<@U0TERN> {text}")
        await self.discord.say(self.channel, self.ada, text, mention=True)


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """A house between its platforms; whatever happens, nobody is pinged and no rule of theirs is broken."""
    async with FakeLlmApi("groq") as groq, slack_fake.FakeSlack() as slack, discord_fake.FakeDiscord() as discord:
        channel, ada = discord.channel(discord.guild()), discord.person("Ada")
        environ = keyed(groq) | environment(slack) | {
            "DISCORD_BOT_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
        }  # fmt: skip
        async with open_box(tmp_path, environ) as box:
            await until(lambda: all(seen.state == "connected" for seen in box.app.health().values()))
            yield Street(box, groq, slack, discord, channel, ada)
        assert [*slack.pings, *slack.violations] == []
        assert [*discord.pings] == []
        assert [error for error in discord.errors if " 400 " in error] == []


@pytest.mark.parametrize("tokens_per_s", [None, 200.0], ids=["at once", "growing"])
async def test_orders_in_disguise_ping_nobody(street: Street, tokens_per_s: float | None) -> None:
    """However a model hides them, across edits and pages: the answer is shown and nobody is called."""
    street.groq.default = Say(f"{DISGUISED}\n\n" * (4 if tokens_per_s else 12), tokens_per_s=tokens_per_s, burst=3)

    await street.ask()
    await street.both_answer()


async def test_a_question_full_of_tricks_is_a_question(street: Street) -> None:
    """Direction marks, joiners, towers of accents, control characters: asked, answered with the same, stored, and
    remembered by the next question."""
    street.groq.default = Say(f"You said: {ODD.replace(chr(0), '')}")
    await street.ask(ODD)
    await street.both_answer()

    told = str(street.groq.asked()[0].body["messages"][-1]["content"])
    assert unicodedata.normalize("NFC", "각") in told


async def test_a_megabyte_of_words_is_answered_or_declined(street: Street) -> None:
    """A message far above what platforms let through ends in an answer that says what was read."""
    street.slack.say("U1", "<@U0TERN> " + "word " * 200_000)
    await until(lambda: any(map(finished, street.slack.answers("C1"))), within_s=40)

    asked = street.groq.asked()
    assert len(str(asked[0].body)) < 1_000_000 if asked else True


async def test_a_thousand_attachments_are_one_answer(street: Street) -> None:
    """Ten are read, the rest is named in one line; no thousand downloads."""
    files = [File(f"F{n}", f"note{n}.txt", "text/plain", f"note {n}".encode()) for n in range(1_000)]
    street.slack.say("U1", "<@U0TERN> sum these up", files=files)
    await until(lambda: any(map(finished, street.slack.answers("C1"))), within_s=60)

    assert len(street.groq.asked()) <= 3
    assert len(street.slack.answers("C1")) == 1
    assert len(street.slack.answers("C1")[0].shown) < 2_000
