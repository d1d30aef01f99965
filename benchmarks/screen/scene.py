"""Plays one scene: so many answers of so many tokens at such a speed, growing in one place at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Literal

from benchmarks.best_schedule import best_mean_lag_s
from benchmarks.screen.cadences import Sdk, Timer, Tokens, Writer, at_the_end, by_chunks, by_timer
from benchmarks.screen.sight import Sight, sight_of
from core.events import TextDelta
from core.streaming.live_reply import LiveReply
from core.streaming.pacer import Pacer
from tests.fakes.clock import LoopClock, VirtualTimeLoop
from tests.fakes.surface import DISCORD_LIKE, SLACK_LIKE, FakeLedger, FakePlatform, FakeSurface

ONE_WAY_S = 0.04
"""80 ms there and back."""

Place = Literal["Discord", "Slack"]
LIMITS = {"Discord": DISCORD_LIKE, "Slack": SLACK_LIKE}

_SENTENCE = "The tern flies from pole to pole and back in every single year of its long life . "
_TOKENS = tuple(word + " " for word in _SENTENCE.split())

WARM_UP = 4
"""Answers like these that the pacer has seen before; the table says what it does without."""


@dataclass(frozen=True, slots=True)
class Scene:
    place: Place
    tokens_per_s: int
    tokens: int
    answers: int

    @property
    def duration_s(self) -> float:
        return (self.tokens - 1) / self.tokens_per_s

    @property
    def best_lag_s(self) -> float:
        """What a prophet would reach with the same buckets, or more: both bounds hold, so the greater one does."""
        limits = LIMITS[self.place]
        edited = best_mean_lag_s(
            self.duration_s, limits.edit[0], limits.post[0], answers=self.answers, one_way_s=ONE_WAY_S
        )
        return max(edited, self._posted_lag_s())

    @property
    def pages(self) -> int:
        """Of each answer."""
        chars = sum(len(_TOKENS[number % len(_TOKENS)]) for number in range(self.tokens))
        return math.ceil(chars / LIMITS[self.place].max_chars)

    def post_leaves_at(self, number: int) -> float:
        """When the post of that number, from 0 and over all answers, may leave at the earliest."""
        bucket = LIMITS[self.place].post[0]
        return number // bucket.capacity * bucket.per_s

    def _posted_lag_s(self) -> float:
        """No character is seen before the post of its page, and all pages share one bucket of posts."""
        page_s = self.duration_s / self.pages
        waited = 0.0
        for number in range(self.pages * self.answers):
            late_s = self.post_leaves_at(number) - number // self.answers * page_s  # behind the page's first character
            waited += max(late_s - page_s / 2, 0.0) if late_s > page_s else max(late_s, 0.0) ** 2 / 2 / page_s
        return waited / (self.pages * self.answers) + ONE_WAY_S


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

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.clock = LoopClock()
        self.platform = FakePlatform(self.clock, latency_s=ONE_WAY_S)
        self.pacer = Pacer(self.clock)
        self.sdk = Sdk(self.clock, waits=scene.place == "Discord")
        self.timer = Timer()

    async def act(self, strategy: Strategy) -> list[Sight]:
        async with asyncio.TaskGroup() as group:
            playing = [group.create_task(self._answer(strategy, number)) for number in range(self.scene.answers)]
        return [task.result() for task in playing]

    async def _answer(self, strategy: Strategy, number: int) -> Sight:
        tokens: Tokens = asyncio.Queue()
        surface = FakeSurface(self.platform, LIMITS[self.scene.place], name=f"a{number}-")
        written: list[tuple[float, int]] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(self._speak(tokens, written))
            await strategy(self, tokens, surface, number)
        return sight_of(written, _shown(surface))

    async def _speak(self, tokens: Tokens, written: list[tuple[float, int]]) -> None:
        began, chars = self.clock.monotonic(), 0
        for number in range(self.scene.tokens):
            await asyncio.sleep(began + number / self.scene.tokens_per_s - self.clock.monotonic())
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
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_play(scene, strategy, warm=warm))


async def _play(scene: Scene, strategy: Strategy, *, warm: bool) -> Outcome:
    stage = _Stage(scene)
    if warm and strategy is tern:
        stage.scene = replace(scene, answers=1)
        for _ in range(WARM_UP):
            await stage.act(strategy)
            await asyncio.sleep(100)  # every bucket is full again
        stage.scene = scene
        stage.platform.calls.clear()
    sights = await stage.act(strategy)
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
    bucket = LIMITS[scene.place].edit[0]
    finals_s = scene.answers * bucket.per_s / bucket.capacity
    posts_s = scene.post_leaves_at(scene.pages * scene.answers - 1) - scene.duration_s
    return 2 * ONE_WAY_S + finals_s + max(0.0, posts_s)


cold = partial(play, strategy=tern, warm=False)
