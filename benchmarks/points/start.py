"""Point 6: from the process's start to ready."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.bot import bot, with_discord, with_slack
from benchmarks.figures import Section, Spread, Table, at_most
from tests.fakes.discord import FakeDiscord
from tests.fakes.slack import FakeSlack


async def measure(bench: Bench) -> Section:
    first, page, both = [], [], []
    for _ in range(bench.rounds + 1):  # the first one of each makes the database and does not count
        async with bot(bench) as newborn:
            first.append(await newborn.ready())
        async with bot(bench, home="page") as alone:
            page.append(await alone.ready())
        async with (
            FakeSlack() as slack,
            FakeDiscord() as discord,
            bot(bench, with_slack(slack), with_discord(discord), home="both") as connected,
        ):
            both.append(await connected.ready("slack", "discord"))
    rows = []
    for name, taken in (
        ("the page alone", page[1:]),
        ("with Slack and Discord connected", both[1:]),
        ("the very first start, page alone", first[1:]),
    ):
        rows.append((name, _spread(taken, 0).text(2), _spread(taken, 1).text(2)))
    return Section(
        "6. From start to ready",
        "`python -m bot run` with a Groq key, on a data folder it has used before, until /readyz says so; with the "
        "adapters until both are connected to the tests' fakes, which live in the process that measures.",
        (Table(("", "s", "CPU s"), tuple(rows)),),
        (
            at_most("the page alone under 1.0 s on an idle machine", _spread(page[1:], 0).middle, 1.0, "s"),
            at_most("with both adapters under 1.8 s on an idle machine", _spread(both[1:], 0).middle, 1.8, "s"),
            at_most(
                "the page alone under 1.0 s of CPU",
                _spread(page[1:], 1).middle,
                1.0,
                "CPU s",
                "what the first would be",
            ),
            at_most("with both adapters under 1.8 s of CPU", _spread(both[1:], 1).middle, 1.8, "CPU s", "likewise"),
        ),
    )


def _spread(taken: list[tuple[float, float]], which: int) -> Spread:
    return Spread(tuple(one[which] for one in taken))
