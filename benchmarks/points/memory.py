"""Point 5: memory, idle and growing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks.bench import Bench, subject
from benchmarks.bot import bot, until, with_discord, with_openai, with_slack
from benchmarks.figures import Section, Table, at_most
from benchmarks.remote import rhythm
from tests.fakes.discord import FakeDiscord
from tests.fakes.slack import FakeSlack

_LOOKS_S = (1.0, 20.0, 60.0)
"""After the first answer; the goal counts the last."""

_GROWING, _STORED = 1_000, 100_000


async def measure(bench: Bench) -> Section:
    idle = await _idle(bench)
    async with subject(bench, "house", "uvloop", "running") as house:
        await house.do("growing", answers=20, tokens=40)
        growing = await house.do("growing", answers=_GROWING, tokens=200)
    async with subject(bench, "house", "uvloop", "running") as house:
        stored = await house.do("fill", root="filled", turns=_STORED)
    everything = idle["everything on"]
    return Section(
        "5. Memory",
        "Resident set of `python -m bot run`, on a data folder it used before, so many seconds after its first answer "
        "from the fake Groq (asked through the platform; the page alone through the API). Everything on: page, Slack, "
        "Discord, keys for Groq and OpenAI; no "
        f"local model. Growing: {_GROWING:,} answers at once through inbox, middleware stack and screen, resident set "
        "when half "
        "of each is told, over what it was before, divided among those that have not ended by then. "
        f"Stored: {_STORED:,} turns of 280 characters with their word index.",
        (
            Table(
                ("RSS, MB", *(f"after {look:g} s" for look in _LOOKS_S)),
                tuple((name, *(f"{mb:.1f}" for mb in looks)) for name, looks in idle.items()),
            ),
            Table(
                ("", ""),
                (
                    ("KB for each growing answer", f"{growing['bytes'] / 1e3:.1f}"),
                    (f"growing then, of {_GROWING:,} asked at once", f"{growing['growing']:,}"),
                    ("MB kept after they ended", f"{growing['after'] / 1e6:.1f}"),
                    ("CPU ms for each of them, start to end", f"{growing['cpu_ms']:.1f}"),
                    (f"MB on disk for {_STORED:,} stored turns", f"{stored['disk_bytes'] / 1e6:.1f}"),
                    (f"MB resident for {_STORED:,} stored turns", f"{stored['rss_bytes'] / 1e6:.1f}"),
                ),
            ),
        ),
        (
            at_most("under 90 MB idle with everything on", everything[-1], 90, "MB"),
            at_most("under 60 KB per growing answer", growing["bytes"] / 1e3, 60, "KB"),
        ),
    )


async def _idle(bench: Bench) -> dict[str, list[float]]:
    """All of them at once: they are idle, after all."""
    question = rhythm(20, 1, 5, 0)
    homes = ("alone", "slack", "discord", "all")
    for home in homes:  # a first start makes the database, which is not what idles for weeks
        async with bot(bench, home=home) as newborn:
            await newborn.ready()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        slacks = [await enter(FakeSlack()) for _ in range(2)]
        discords = [await enter(FakeDiscord()) for _ in range(2)]
        bots = {
            "page alone": await enter(bot(bench, home=homes[0])),
            "page and Slack": await enter(bot(bench, with_slack(slacks[0]), home=homes[1])),
            "page and Discord": await enter(bot(bench, with_discord(discords[0]), home=homes[2])),
            "everything on": await enter(
                bot(bench, with_slack(slacks[1]), with_discord(discords[1]), with_openai(bench), home=homes[3])
            ),
        }
        await bots["page alone"].ready()
        await bots["page and Slack"].ready("slack")
        await bots["page and Discord"].ready("discord")
        await bots["everything on"].ready("slack", "discord")
        await bots["page alone"].ask(question)
        for slack in slacks:
            slack.say("U1", f"<@U0TERN> {question}")
        for discord in discords:
            channel = discord.channel(discord.guild())
            await discord.say(channel, discord.person("Ada"), question, mention=True)
            await until(lambda at=channel, me=discord.me: any(m.author is me for m in at.messages.values()))  # type: ignore[misc]
        for slack in slacks:
            await until(lambda at=slack: at.answers())  # type: ignore[misc]
        looks: dict[str, list[float]] = {name: [] for name in bots}
        waited_s = 0.0
        for look_s in _LOOKS_S:
            await asyncio.sleep(look_s - waited_s)
            waited_s = look_s
            for name, one in bots.items():
                looks[name].append(one.rss_mb)
    return looks
