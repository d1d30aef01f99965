"""Point 4, in real time: many channels of the fake Discord ask at once, through discord.py."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from statistics import median

from benchmarks.bench import Bench
from benchmarks.bot import bot, until, with_discord
from benchmarks.figures import Goal, Table, at_most
from tests.fakes.discord import Channel, FakeDiscord
from tests.fakes.discord.limits import Limits
from tests.fakes.discord.world import Message

FIRST_TOKEN_S = 0.1
TOKENS, EVERY_MS = 200, 20
QUESTION = f"@chunks={TOKENS};burst=1;every_ms={EVERY_MS};first_ms={FIRST_TOKEN_S * 1e3:.0f}@"

LATENCY_S = 0.08


@dataclass(frozen=True, slots=True)
class Crowd:
    """What came of so many channels; seconds from the question."""

    channels: int
    first_s: tuple[float, ...]
    last_s: tuple[float, ...]
    writes: int
    refusals: int


@dataclass(frozen=True, slots=True)
class Crowds:
    crowds: tuple[Crowd, ...]

    def table(self) -> Table:
        head = ("channels at once", "first text, median / slowest", "last word, median / slowest", "calls", "429s")
        return Table(head, tuple(row(crowd) for crowd in self.crowds), f"### Real time: {caption()}")

    def goals(self) -> list[Goal]:
        most = self.crowds[-1]
        refusals = sum(crowd.refusals for crowd in self.crowds)
        return [
            at_most(
                f"{most.channels} channels at once: first text within time to first token + 150 ms, median",
                median(most.first_s),
                FIRST_TOKEN_S + 0.150,
                "s",
                "llmcord 2.6 s, Hermes 4.1, nanobot 5.3 on an emptier machine (facts/peers.md 3.3)",
            ),
            Goal("no 429 through discord.py", str(refusals), refusals == 0),
        ]


def row(crowd: Crowd) -> tuple[str, ...]:
    return (
        f"{crowd.channels}",
        f"{median(crowd.first_s):.2f} / {max(crowd.first_s):.2f} s",
        f"{median(crowd.last_s):.1f} / {max(crowd.last_s):.1f} s",
        f"{crowd.writes:,}",
        f"{crowd.refusals}",
    )


def caption() -> str:
    return (
        f"each channel asks once, {TOKENS} tokens at {1000 // EVERY_MS} a second, first token after "
        f"{FIRST_TOKEN_S:g} s, {LATENCY_S * 1e3:.0f} ms latency"
    )


async def measure_tern(bench: Bench) -> Crowds:
    sizes = (1, 10) if bench.quick else (1, 10, 50)
    async with FakeDiscord(limits=Limits(), latency_s=LATENCY_S) as discord:
        places = [rooms(discord, size) for size in (1, *sizes)]
        async with bot(bench, with_discord(discord)) as one:
            await one.ready("discord")
            await ask_all(discord, places[0])  # connections and imports
            return Crowds(tuple([await ask_all(discord, channels) for channels in places[1:]]))


def rooms(discord: FakeDiscord, count: int) -> list[Channel]:
    """New channels; the bot learns of them when it connects."""
    guild = discord.guild()
    return [discord.channel(guild, f"c{number}") for number in range(count)]


async def ask_all(
    discord: FakeDiscord, channels: list[Channel], *, whole_chars: int = TOKENS * 13 - 40, patience_s: float = 60.0
) -> Crowd:
    """Ask in all *channels* at once, each time another person, and watch until every answer is whole."""
    loop = asyncio.get_running_loop()
    before, refused = len(discord.requests), len(discord.refusals)
    began = {}
    for channel in channels:
        began[channel.id] = loop.time()
        await discord.say(channel, discord.person(f"P{channel.id}"), QUESTION, mention=True)
    await until(lambda: all(_chars(discord, channel) >= whole_chars for channel in channels), within_s=patience_s)
    await asyncio.sleep(1.0)
    first, last = [], []
    for channel in channels:
        answers = _answers(discord, channel)
        # A status or a typing dot is no text: the model's words are all digits.
        shown = [
            at for m in answers for at, text in zip(m.shown_at, m.history, strict=True) if re.search(r"\d{6}", text)
        ]
        first.append(min(shown) - began[channel.id])
        last.append(max(shown) - began[channel.id])
    writes = [r for r in discord.requests[before:] if r.method in ("POST", "PATCH") and "/messages" in r.path]
    return Crowd(len(channels), tuple(first), tuple(last), len(writes), len(discord.refusals) - refused)


def _answers(discord: FakeDiscord, channel: Channel) -> list[Message]:
    return [message for message in channel.messages.values() if message.author is discord.me]


def _chars(discord: FakeDiscord, channel: Channel) -> int:
    return sum(len(message.content) for message in _answers(discord, channel))
