"""One trial: a house, its worlds, a crowd and trouble; then every invariant."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.slack import Person, Place
from tests.torture.chaos import make_trouble
from tests.torture.hurry import HurriedLoop, counted_writer
from tests.torture.invariants import ENDED, Evidence, broken
from tests.torture.people import Asker, Crowd, OnDiscord, OnSlack, Question
from tests.torture.plan import Plan, Troubles
from tests.torture.world import House, Trial, Worlds, open_house, open_worlds

CONFIG = """
[limits]
messages_per_minute = 60
requests_per_minute = 60
tokens_per_minute = 0
tokens_per_day = 0
cost_per_day_usd = 0
"""

Plant = Callable[[Trial, House], None]
"""Breaks something on purpose once the house stands."""


@dataclass(frozen=True, slots=True)
class Report:
    seed: int
    messages: int
    broken: tuple[str, ...]
    ends: Counter[str]
    faults: Counter[str]
    took_s: float
    world_s: float
    """How long it took in the worlds' own time."""
    asked: int
    """Requests to models."""
    figures: dict[str, float] = field(default_factory=dict)


def run_trial(
    seed: int,
    messages: int,
    *,
    people: int = 40,
    troubles: Troubles = Troubles(),
    plant: Plant | None = None,
    level: str = "info",
) -> Report:
    """Run one trial on a loop of its own and look at what it leaves behind."""
    before = _handles()
    with (
        counted_writer(),
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=HurriedLoop) as runner,
    ):
        report = runner.run(_trial(seed, messages, people, troubles, plant, level, Path(folder)))
    gc.collect()
    left = [f"nothing_left_behind: {what}: {count}" for what, count in (_handles() - before).items()]
    return Report(**{**{name: getattr(report, name) for name in report.__slots__}, "broken": (*report.broken, *left)})


def run_order(order: tuple[int, int, int]) -> Report:
    """As `run_trial`, for a pool of processes: (seed, messages, people)."""
    seed, messages, people = order
    return run_trial(seed, messages, people=people)


async def _trial(
    seed: int, messages: int, people: int, troubles: Troubles, plant: Plant | None, level: str, folder: Path
) -> Report:
    began, plan = time.monotonic(), Plan(seed, troubles)
    loop = asyncio.get_running_loop()
    async with open_worlds(plan) as worlds:
        trial = Trial(plan, worlds, folder)
        askers = crowd_of(plan, worlds, people)
        before = asyncio.all_tasks()
        began_world = loop.time()
        async with open_house(trial, CONFIG, level=level) as house:
            if plant:
                plant(trial, house)
            crowd = Crowd(plan, worlds.clock, askers, messages, lambda asked: ended(house, asked))
            stuck: list[Question] = []
            async with asyncio.TaskGroup() as group:
                trouble = group.create_task(make_trouble(plan, worlds, house))
                try:
                    await crowd.live(within_s=3_600 + 30.0 * messages)
                except TimeoutError:
                    stuck = crowd.waiting
                trouble.cancel()
            await worlds.slack.deliveries.idle()  # what was not acknowledged comes again for six minutes
            await quiet(house)
            world_s = loop.time() - began_world
        evidence = Evidence(trial, house, [question for question in crowd.questions if question is not None])
        found = [f"everybody_is_heard: {question.platform} q{question.number:06d}" for question in stuck]
        found += broken(evidence)
        await worlds.slack.deliveries.idle()
        await asyncio.sleep(1)
        found += [f"nothing_left_behind: {task!r}"[:300] for task in asyncio.all_tasks() - before if _is_ours(task)]
        ends = Counter(
            "deleted" if reply is None else f"{reply.state} {reply.error}".strip()
            for question in evidence.questions
            for reply in [evidence.reply_of(question)]
        )
        return Report(
            seed, len(evidence.questions), tuple(found), ends, Counter(plan.met), time.monotonic() - began, world_s,
            sum(len(api.asked()) for api in (worlds.groq, worlds.openai)),
        )  # fmt: skip


def crowd_of(plan: Plan, worlds: Worlds, people: int) -> list[Asker]:
    """Half on each platform; of these a third in direct messages, the rest in channels of up to ten people. Discord's
    channels are spread over servers of fifty people; Slack has one workspace, as the house has."""
    askers: list[Asker] = []
    for number in range(people):
        random = plan.random("where", number)
        if number % 2:
            person = worlds.slack.person(Person(f"U1{number:05d}", f"Person {number}"))
            direct = number % 3 == 0
            channel = f"D1{number:05d}" if direct else f"C1{number // 20:05d}"
            place = worlds.slack.world.places.get(channel)
            place = place or worlds.slack.place(Place(channel, "im" if direct else "channel"))
            askers.append(OnSlack(worlds.slack, worlds.clock, person, place, random))
        else:
            human = worlds.discord.person(f"Person {number}")
            if number % 3 == 0:
                where = worlds.discord.dm(human)
            else:
                guilds = worlds.discord.guilds.values()
                harbour, name = f"Harbour {number // 100}", f"channel-{number // 20}"
                guild = next((g for g in guilds if g.name == harbour), None) or worlds.discord.guild(harbour)
                where = next((c for c in guild.channels.values() if c.name == name), None) or worlds.discord.channel(
                    guild, name
                )
            askers.append(OnDiscord(worlds.discord, human, where, random))
    return askers


def ended(house: House, asked: list[Question]) -> set[str]:
    """Which of these questions have runs, all of them ended."""
    ids = [question.message_id for question in asked]
    marks = ",".join("?" * len(ids))
    rows = house.rows(
        f"SELECT message_id, state FROM messages JOIN runs ON message_seq = messages.seq WHERE message_id IN ({marks})",
        *ids,
    )
    still = {message_id for message_id, state in rows if state not in ENDED}
    return {message_id for message_id, _ in rows} - still


async def quiet(house: House) -> None:
    """Wait until no run is open, then a little longer for what only now becomes one."""
    for _ in range(2):
        async with asyncio.timeout(3_600):
            while house.rows("SELECT 1 FROM runs WHERE state IN ('accepted', 'running', 'waiting') LIMIT 1"):
                await asyncio.sleep(0.5)
        await asyncio.sleep(20)


def _is_ours(task: asyncio.Task[object]) -> bool:
    """Begun by the house or by a client library of its; the fakes live on, and so do their servers' connections."""
    clients = ("core/", "adapters/", "bot/", "site-packages/discord/", "slack_sdk/", "slack_bolt/", "httpx", "openai/")
    return any(part in repr(task) for part in clients) and "tests/" not in repr(task)


def _handles() -> Counter[str]:
    """Open files and sockets, and threads, by kind."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            found[os.readlink(f"/proc/self/fd/{name}").partition(":")[0]] += 1
        except OSError:
            continue
    found.update("thread " + thread.name.rstrip("0123456789_-") for thread in threading.enumerate())
    return found
