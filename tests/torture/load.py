"""A thousand people on both platforms at once, for ten minutes of the platforms' time: `python -m tests.torture.load`.

Writes benchmarks/load.json and benchmarks/load.svg, and prints what benchmarks/LOAD.md says. Model faults are off:
the question here is what a crowd does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CoroutineType
from typing import Any

from core import wording
from core.delivery.side_notices import AGAIN_AFTER_S
from core.domain.errors import QueueFull
from core.domain.incoming import Incoming
from core.domain.runs import ReplyCapability
from core.inbox.inbox import InboxLimits
from core.ports.platform import Receipt
from tests.fakes.discord.world import EPOCH_MS
from tests.torture.chaos import signs_of_life
from tests.torture.hurry import HurriedLoop, counted_writer
from tests.torture.invariants import Evidence, broken
from tests.torture.people import Crowd, Question
from tests.torture.plan import CALM, Plan
from tests.torture.trial import CONFIG, crowd_of, ended, quiet
from tests.torture.world import House, Trial, Worlds, open_house, open_worlds

LOOK_EVERY_S = 5.0
REMEMBERED_EVERY = 6
"""Looks, for one at what the platforms remember."""

ROOM = {"RPM": 100_000, "RPD": 10**9, "TPM": 100_000_000}
"""Of every model: a thousand people who never rest would use up a developer's plan in seconds, and the question is what
the house and the platforms do."""

REFUSAL = wording.sentence_for(QueueFull(0)).partition(" (")[0]

HEARD_WITHIN_S = 150.0
"""Longest that a sentence may wait for its turn: two hundred of them on Slack."""

_LATE_S = 5.0
"""What is said is dated by the question before it, and the loop may be late."""

LEFT_WITHIN_S = 1_800.0
"""How long, after the last question, answers may take to come: their deadline is half of it."""
OUT = Path(__file__).parent.parent.parent / "benchmarks"


Wait = tuple[float, float, str]
"""When was asked and how long the whole answer took, seconds; the platform."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the house under load; seconds are the platforms' own."""

    at_s: float
    rss_mb: float
    """Of the process: the house, the platforms and providers with all that they remember, and the people."""
    remembered_mb: float
    """What the platforms, providers and people remember, as of the last minute: they forget nothing."""
    running: int
    queued: int
    queued_signs: int
    """Messages on the platforms that say a place in the queue."""
    loop_lag_ms: float


class Door:
    """Watches what the inbox refuses: a full queue is an end too, if the asker is told."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._accept = house.app.inbox.accept
        self._refused: set[str] = set()
        house.app.inbox.accept = self._watched  # type: ignore[method-assign]

    async def _watched(self, incoming: Incoming, capability: ReplyCapability | None = None) -> Receipt:
        receipt = await self._accept(incoming, capability)
        if receipt.state == "refused":
            self._refused.add(incoming.message_id)
        return receipt

    def ended(self, asked: list[Question]) -> set[str]:
        for question in asked:
            # A thread whose first message was refused is none of the bot's: what follows there is not for it.
            question.refused = bool(self._refused & {question.message_id, question.thread})
        return ended(self._house, asked) | {question.message_id for question in asked if question.refused}


def unheard(worlds: Worlds, asked: Sequence[Question]) -> list[Question]:
    """Refused questions whose asker was told nothing near that time. Whoever asks again and again is told once in a
    while, and a sentence waits for its turn like everything else."""
    told: dict[str, list[float]] = defaultdict(list)
    for message in worlds.slack.world.messages:
        if message.ephemeral_for and REFUSAL in message.shown:
            told[f"slack {message.ephemeral_for}"].append(float(message.ts))
    silent_s = AGAIN_AFTER_S + _LATE_S
    by_id = {question.message_id: question for question in asked if question.platform == "discord"}
    for channel in worlds.discord.channels.values():
        for said in worlds.discord.said(channel):
            if REFUSAL in said.content:
                about = by_id[str((said.reference or {})["message_id"])]
                told[asker_of(about)].append(((said.id >> 22) + EPOCH_MS) / 1_000)
    return [
        question
        for question in asked
        if question.refused
        and not any(-silent_s < at - question.asked_at < HEARD_WITHIN_S for at in told[asker_of(question)])
    ]


def asker_of(question: Question) -> str:
    message = question.message
    return f"slack {message.user}" if question.platform == "slack" else f"discord {message.author.id}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.load", description=__doc__)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=InboxLimits().concurrency, help="the inbox's own")
    parser.add_argument("--queue", type=int, default=InboxLimits().queue, help="the inbox's own")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    found = run_load(given.seed, given.people, given.seconds, concurrency=given.concurrency, queue=given.queue)
    given.out.mkdir(exist_ok=True)
    (given.out / "load.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "load.svg").write_text(drawn(found["looks"], found["waits"]))
    for name, value in found["figures"].items():
        print(f"{name}: {value}")
    for line in found["broken"]:
        print(f"BROKEN {line}")


def run_load(seed: int, people: int, seconds: float, *, concurrency: int, queue: int) -> dict[str, Any]:
    """Let *people* write for *seconds* of the platforms' time; returns figures, looks, waits and what was broken."""
    limits = InboxLimits(concurrency=concurrency, queue=queue)
    with (
        counted_writer(),
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=HurriedLoop) as runner,
    ):
        return runner.run(_load(seed, people, seconds, limits, Path(folder)))


async def _load(seed: int, people: int, seconds: float, limits: InboxLimits, folder: Path) -> dict[str, Any]:
    began = time.monotonic()
    plan = Plan(seed, CALM)
    async with open_worlds(plan) as worlds:
        for api in (worlds.groq, worlds.openai):
            api.limits = dict.fromkeys(api.models, ROOM)
        trial = Trial(plan, worlds, folder)
        askers = crowd_of(plan, worlds, people)
        async with open_house(trial, CONFIG, level="info") as house:
            inbox = house.app.inbox
            inbox._limits = replace(inbox._limits, concurrency=limits.concurrency, queue=limits.queue)
            loop = asyncio.get_running_loop()
            start = loop.time()
            door = Door(house)
            crowd = Crowd(plan, worlds.clock, askers, 10**6, door.ended)
            looks: list[Look] = []
            stuck: list[Question] = []
            remembered = 0.0
            async with asyncio.TaskGroup() as group:
                alive = group.create_task(signs_of_life(worlds))
                living = asyncio.ensure_future(crowd.live(within_s=seconds + LEFT_WITHIN_S))
                while loop.time() < start + seconds:
                    before = loop.time()
                    await asyncio.sleep(LOOK_EVERY_S)
                    late_ms = 1_000 * (loop.time() - before - LOOK_EVERY_S)
                    now = loop.time() - start
                    if len(looks) % REMEMBERED_EVERY == 0:
                        remembered = remembered_mb(worlds, trial.log, crowd)
                    looks.append(Look(now, rss_mb(), remembered, inbox.running, inbox.queued, _signs(worlds), late_ms))
                crowd.messages = 0  # nobody begins another question
                try:
                    await living
                except TimeoutError:
                    stuck = crowd.waiting
                alive.cancel()
                await quiet(house)
        asked = [question for question in crowd.questions if question is not None]
        questions = [question for question in asked if not question.refused]
        # On Discord a refusal is a message of its own, which is no answer's page.
        wrong = [line for line in broken(Evidence(trial, house, questions)) if REFUSAL not in line]
        wrong += [f"everybody_is_heard: {question.platform} q{question.number:06d}" for question in stuck]
        wrong += [
            f"everybody_is_heard: {question.platform} q{question.number:06d} was refused without a word"
            for question in unheard(worlds, asked)
        ]
        waits: list[Wait] = [
            (question.asked_at - questions[0].asked_at, question.ended_at - question.asked_at, question.platform)
            for question in questions
            if question.ended_at is not None
        ]
        figures = _figures(people, looks, waits, crowd.answered_by) | {
            "refused with a sentence": len(asked) - len(questions),
            "broken invariants": len(wrong),
            "processor seconds": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1),
            "real seconds": round(time.monotonic() - began, 1),
        }
        named = [{name: round(getattr(look, name), 2) for name in look.__slots__} for look in looks]
        return {"figures": figures, "looks": named, "waits": by_half_minute(waits), "broken": wrong[:50]}


def _figures(people: int, looks: Sequence[Look], waits: Sequence[Wait], shares: Counter[int]) -> dict[str, Any]:
    took = sorted(wait for _, wait, _ in waits)
    by_platform = {
        f"wait on {name}, median and longest s": [round(statistics.median(some), 1), round(max(some), 1)]
        for name in ("discord", "slack")
        for some in [[wait for _, wait, platform in waits if platform == name]]
    }
    settled = looks[len(looks) // 4 :]
    counts = [shares[person] for person in range(people)]
    return {
        "people": people,
        "questions answered": len(took),
        "wait median s": round(statistics.median(took), 2),
        "wait 95% s": round(took[int(len(took) * 0.95)], 2),
        "wait longest s": round(took[-1], 2),
        **by_platform,
        "answers each, fewest": min(counts),
        "answers each, most": max(counts),
        "memory after a quarter MB": round(settled[0].rss_mb),
        "memory at the end MB": round(settled[-1].rss_mb),
        "of it the platforms' and people's, after a quarter MB": round(settled[0].remembered_mb),
        "of it the platforms' and people's, at the end MB": round(settled[-1].remembered_mb),
        "most running": max(look.running for look in looks),
        "most queued": max(look.queued for look in looks),
        "most signs of a queue at once": max(look.queued_signs for look in looks),
        "loop late, median ms": round(statistics.median(look.loop_lag_ms for look in looks), 1),
        "loop late, worst ms": round(max(look.loop_lag_ms for look in looks), 1),
    }


def remembered_mb(*roots: object) -> float:
    """How much hangs on *roots* by way of plain data and of objects of the tests' own: never the house's.

    The look costs a second or two; the loop's clock stands still meanwhile.
    """
    began = time.process_time()
    seen: set[int] = set()
    left: list[object] = list(roots)
    size = 0
    while left:
        thing = left.pop()
        if id(thing) in seen or not (isinstance(thing, _PLAIN) or type(thing).__module__.startswith("tests.")):
            continue
        seen.add(id(thing))
        size += sys.getsizeof(thing)
        if not isinstance(thing, CoroutineType):  # which leads anywhere
            left += gc.get_referents(thing)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HurriedLoop)
    loop.skipped_s -= time.process_time() - began
    return size / 1e6


_PLAIN = (str, bytes, int, float, dict, list, tuple, set, frozenset, deque, asyncio.Event, CoroutineType)


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _signs(worlds: Worlds) -> int:
    slack = sum("Queued" in message.small_print for message in worlds.slack.world.messages if message.bot)
    discord = sum(
        "Queued" in message.content[-200:]
        for channel in worlds.discord.channels.values()
        for message in worlds.discord.said(channel)
    )
    return slack + discord


# --- the picture ---


def by_half_minute(waits: Sequence[Wait]) -> list[tuple[float, float, float]]:
    """(middle of the half minute in which was asked, median wait, longest wait), seconds."""
    found: dict[int, list[float]] = {}
    for asked, wait, _ in waits:
        found.setdefault(int(asked // 30), []).append(wait)
    return [
        (30.0 * at + 15, round(statistics.median(some), 2), round(max(some), 2)) for at, some in sorted(found.items())
    ]


def drawn(looks: Sequence[dict[str, float]], waits: Sequence[tuple[float, float, float]]) -> str:
    """Memory, waiting and queue over time, as SVG."""
    end = max(look["at_s"] for look in looks)
    middle = [(at, median) for at, median, _ in waits]
    worst = [(at, longest) for at, _, longest in waits]
    panels = (
        (
            "Memory of the process, MB: all, what the platforms and people remember",
            [
                ("#1f77b4", [(look["at_s"], look["rss_mb"]) for look in looks]),
                ("#7f7f7f", [(look["at_s"], look["remembered_mb"]) for look in looks]),
            ],
        ),
        ("Wait for the whole answer, s: median, longest", [("#2ca02c", middle), ("#d62728", worst)]),
        (
            "Runs: answered, queued",
            [
                ("#1f77b4", [(look["at_s"], look["running"]) for look in looks]),
                ("#ff7f0e", [(look["at_s"], look["queued"]) for look in looks]),
            ],
        ),
    )
    body = "".join(_panel(60 + 210 * at, title, lines, end) for at, (title, lines) in enumerate(panels))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 690" font-family="sans-serif" font-size="12">'
        f'<rect width="760" height="690" fill="white"/>{body}</svg>\n'
    )


def _panel(top: int, title: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], end: float) -> str:
    most = max((value for _, points in lines for _, value in points), default=1.0) or 1.0
    parts = [
        f'<text x="60" y="{top - 12}" font-weight="bold">{title}</text>',
        f'<path d="M60 {top}V{top + 150}H740" fill="none" stroke="black"/>',
        f'<text x="54" y="{top + 8}" text-anchor="end">{most:.4g}</text>',
        f'<text x="54" y="{top + 150}" text-anchor="end">0</text>',
        f'<text x="740" y="{top + 166}" text-anchor="end">{end:.0f} s</text>',
    ]
    for colour, points in lines:
        path = " ".join(
            f"{60 + 680 * min(at / end, 1):.1f},{top + 150 - 150 * value / most:.1f}" for at, value in points
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return "".join(parts)


if __name__ == "__main__":
    main()
