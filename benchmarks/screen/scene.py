"""Plays a scene in one place: so many equal answers that begin at once, or questions as they come in a busy hour."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from statistics import fmean
from typing import Literal

from benchmarks.best_schedule import best_mean_lag_s, best_posted_lag_s, post_leaves_at
from benchmarks.screen.cadences import Sdk, Timer, Tokens, Writer, at_the_end, by_chunks, by_timer
from benchmarks.screen.sight import Sight, sight_of
from core.delivery.live_reply import LiveReply
from core.delivery.pacing.pacer import Pacer
from core.domain.events import TextDelta
from tests.fakes.clock import LoopClock, VirtualTimeLoop
from tests.fakes.surface import DISCORD_LIKE, SLACK_LIKE, SLACK_STREAM_LIKE, FakeLedger, FakePlatform, FakeSurface

ONE_WAY_S = 0.04
"""80 ms there and back."""

Place = Literal["Discord", "Slack", "Slack DM"]
LIMITS = {
    "Discord": replace(DISCORD_LIKE, max_chars=1_800),
    "Slack": replace(SLACK_LIKE, max_chars=11_000),
    "Slack DM": SLACK_STREAM_LIKE,
}
"""The adapters' own, which tests/benchmarks/test_limits.py checks: a channel of Discord, a channel of Slack (edited,
so that everybody there sees it grow), and a direct message (streamed)."""

_SENTENCE = "A tern flies from pole to pole and back in each year of its long life . "
"""Between four and five characters a token, as English has."""
_TOKENS = tuple(word + " " for word in _SENTENCE.split())

WARM_UP = 4
"""Answers like these that the pacer has seen before; the table says what it does without."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the model will say to it, and when it is asked."""

    at_s: float
    tokens: int
    tokens_per_s: int


@dataclass(frozen=True, slots=True)
class Scene:
    place: Place
    tokens_per_s: int
    tokens: int
    answers: int

    @property
    def questions(self) -> tuple[Question, ...]:
        return (Question(0.0, self.tokens, self.tokens_per_s),) * self.answers

    @property
    def duration_s(self) -> float:
        return (self.tokens - 1) / self.tokens_per_s

    @property
    def best_lag_s(self) -> float:
        """What a prophet would reach with the same buckets, or more: both bounds hold, so the greater one does."""
        limits, ends_s = LIMITS[self.place], self.page_ends_s
        edits, posts = limits.edit[0], limits.post[0]
        return max(
            best_mean_lag_s(
                self.duration_s, edits, posts, answers=self.answers, pages=len(ends_s), one_way_s=ONE_WAY_S
            ),
            best_posted_lag_s(ends_s, posts, answers=self.answers, one_way_s=ONE_WAY_S),
        )

    @property
    def page_ends_s(self) -> tuple[float, ...]:
        """When each page of an answer is full, or the answer over; seconds from its first token."""
        chars = sum(len(_TOKENS[number % len(_TOKENS)]) for number in range(self.tokens))
        most = LIMITS[self.place].max_chars
        return tuple(min(1.0, most * page / chars) * self.duration_s for page in range(1, math.ceil(chars / most) + 1))


@dataclass(frozen=True, slots=True)
class Hour:
    """Some minutes in which questions come at random moments, with answers of all lengths and speeds."""

    place: Place
    per_minute: float
    minutes: int = 6
    seed: int = 7

    @property
    def questions(self) -> tuple[Question, ...]:
        """The same ones each time: Poisson arrivals, lengths lognormal around 250 tokens."""
        dice, asked, at_s = Random(self.seed), [], 0.0
        while (at_s := at_s + dice.expovariate(self.per_minute / 60.0)) < self.minutes * 60.0:
            tokens = min(2_000, max(20, round(dice.lognormvariate(math.log(250), 0.9))))
            asked.append(Question(at_s, tokens, dice.choice((40, 200, 500))))
        return tuple(asked)

    @property
    def least_lag_s(self) -> float:
        """What each answer could reach if it were alone with a full bucket, on average: nobody can do better, and in a
        crowd nobody can do as well."""
        alone = [Scene(self.place, one.tokens_per_s, one.tokens, 1).best_lag_s for one in self.questions]
        return fmean(alone)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means over the scene's answers."""

    first_s: float
    lag_s: float
    last_s: float
    latest_s: float
    """The slowest answer's last word."""
    writes: int
    refusals: int


Strategy = Callable[["_Stage", Tokens, FakeSurface, int], Awaitable[None]]


class _Stage:
    """What the answers of one scene share."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.clock = LoopClock()
        self.platform = FakePlatform(self.clock, latency_s=ONE_WAY_S)
        self.pacer = Pacer(self.clock)
        self.sdk = Sdk(self.clock, waits=place == "Discord")
        self.timer = Timer()

    async def act(self, strategy: Strategy, questions: Sequence[Question]) -> list[Sight]:
        async with asyncio.TaskGroup() as group:
            playing = [
                group.create_task(self._answer(strategy, number, question)) for number, question in enumerate(questions)
            ]
        return [task.result() for task in playing]

    async def _answer(self, strategy: Strategy, number: int, question: Question) -> Sight:
        await asyncio.sleep(question.at_s)
        tokens: Tokens = asyncio.Queue()
        surface = FakeSurface(self.platform, LIMITS[self.place], name=f"a{number}-")
        written: list[tuple[float, int]] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(self._speak(question, tokens, written))
            await strategy(self, tokens, surface, number)
        return sight_of(written, _shown(surface))

    async def _speak(self, question: Question, tokens: Tokens, written: list[tuple[float, int]]) -> None:
        began, chars = self.clock.monotonic(), 0
        for number in range(question.tokens):
            await asyncio.sleep(began + number / question.tokens_per_s - self.clock.monotonic())
            token = _TOKENS[number % len(_TOKENS)]
            chars += len(token)
            written.append((self.clock.monotonic(), chars))
            tokens.put_nowait(token)
        tokens.put_nowait(None)


def _shown(surface: FakeSurface) -> list[tuple[float, int]]:
    """(time, characters of all pages together), in order."""
    moments = sorted(
        (at, message.page, len(shown.text)) for message in surface.messages.values() for at, shown in message.history
    )
    pages: dict[int, int] = {}
    history = []
    for at, page, chars in moments:
        pages[page] = chars
        history.append((at, sum(pages.values())))
    return history


async def tern(stage: _Stage, tokens: Tokens, surface: FakeSurface, number: int) -> None:
    """Our own LiveReply, and one pacer for the place."""
    async with LiveReply(
        surface,
        FakeLedger(),
        stage.pacer,
        stage.clock,
        reply_id=f"r{number}",
        request_id="",
        platform="",
        asked_at=stage.clock.now(),
    ) as live:
        while (token := await tokens.get()) is not None:
            await live.send(TextDelta(token))
        await live.finish()


async def _global_timer(stage: _Stage, tokens: Tokens, surface: FakeSurface, number: int) -> None:
    await by_timer(tokens, Writer(surface, stage.sdk), stage.clock, stage.timer, 1.0)


async def _own_timer(stage: _Stage, tokens: Tokens, surface: FakeSurface, number: int) -> None:
    await by_timer(tokens, Writer(surface, stage.sdk), stage.clock, Timer(), 1.2)


async def _every_20(stage: _Stage, tokens: Tokens, surface: FakeSurface, number: int) -> None:
    await by_chunks(tokens, Writer(surface, stage.sdk), stage.clock, 20)


async def _one_post(stage: _Stage, tokens: Tokens, surface: FakeSurface, number: int) -> None:
    await at_the_end(tokens, Writer(surface, stage.sdk))


STRATEGIES: dict[str, Strategy] = {
    "Tern": tern,
    "1.0 s, one timer for all": _global_timer,
    "1.2 s": _own_timer,
    "every 20 chunks": _every_20,
    "one final post": _one_post,
}


def play(scene: Scene, strategy: Strategy, *, warm: bool = True) -> Outcome:
    """Play *scene* once in virtual time. *warm*: the pacer has seen a few answers of this kind before."""
    seen = scene.questions[:1] * WARM_UP if warm and strategy is tern else ()
    return _run(scene.place, strategy, scene.questions, seen)


def play_hour(hour: Hour, strategy: Strategy) -> Outcome:
    """Play a busy hour once in virtual time, with a pacer that has just begun."""
    return _run(hour.place, strategy, hour.questions, ())


def _run(place: Place, strategy: Strategy, questions: Sequence[Question], before: Sequence[Question]) -> Outcome:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_play(place, strategy, questions, before))


async def _play(place: Place, strategy: Strategy, questions: Sequence[Question], before: Sequence[Question]) -> Outcome:
    stage = _Stage(place)
    for question in before:
        await stage.act(strategy, [question])
        await asyncio.sleep(100)  # every bucket is full again
    stage.platform.calls.clear()
    sights = await stage.act(strategy, questions)
    return Outcome(
        fmean(sight.first_s for sight in sights),
        fmean(sight.lag_s for sight in sights),
        fmean(sight.last_s for sight in sights),
        max(sight.last_s for sight in sights),
        len(stage.platform.calls),
        stage.platform.refusals,
    )


def last_word_bound_s(scene: Scene) -> float:
    """One round trip, plus what may be pending at the end divided by its bucket's rate: finals, or posts of pages."""
    limits = LIMITS[scene.place]
    bucket = (limits.finish or limits.edit)[0]
    finals_s = scene.answers * bucket.per_s / bucket.capacity
    posts_s = post_leaves_at(len(scene.page_ends_s) * scene.answers - 1, limits.post[0]) - scene.duration_s
    return 2 * ONE_WAY_S + finals_s + max(0.0, posts_s)


cold = partial(play, strategy=tern, warm=False)
