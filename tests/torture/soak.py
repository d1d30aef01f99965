"""The memory of the bot alone, in its own process, while a hundred Discord channels ask without rest.

`python -m tests.torture.soak --seconds 240`, in real time: beside the load trial, whose fakes forget nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.bench import NO_LIMITS, Bench, llm_server
from benchmarks.bot import Bot, bot, until, with_discord
from tests.fakes.discord import Channel, FakeDiscord, Person

CHANNELS = 100
LOOK_EVERY_S = 15.0


class Soak:
    def __init__(self, discord: FakeDiscord, ends_at: float) -> None:
        self._discord = discord
        self._ends_at = ends_at
        self.answered = 0

    async def live(self, channel: Channel, person: Person) -> None:
        while time.monotonic() < self._ends_at:
            asked = await self._discord.say(channel, person, "What is a tern?", mention=True)
            await until(lambda about=str(asked.id): self._is_answered(channel, about), within_s=60.0)  # type: ignore[misc]
            self.answered += 1

    def _is_answered(self, channel: Channel, about: str) -> bool:
        said = self._discord.said(channel)[-20:]
        return any((m.reference or {}).get("message_id") == about and "Regenerate" in m.labels for m in said)

    async def watch(self, running: Bot) -> None:
        began = time.monotonic()
        while time.monotonic() < self._ends_at:
            print(f"{time.monotonic() - began:4.0f} s: {self.answered:6,} answers, {running.rss_mb:.1f} MB", flush=True)
            await asyncio.sleep(LOOK_EVERY_S)


async def soak(seconds: float, folder: Path) -> None:
    async with llm_server() as port, FakeDiscord() as discord:
        guild = discord.guild()
        places = [(discord.channel(guild, f"c{n}"), discord.person(f"Person {n}")) for n in range(CHANNELS)]
        async with bot(Bench(False, 1, port, folder), with_discord(discord), settings=NO_LIMITS) as running:
            await running.ready("discord")
            trial = Soak(discord, time.monotonic() + seconds)
            async with asyncio.TaskGroup() as group:
                group.create_task(trial.watch(running))
                for channel, person in places:
                    group.create_task(trial.live(channel, person))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(soak(parser.parse_args().seconds, Path(folder)))


if __name__ == "__main__":
    main()
