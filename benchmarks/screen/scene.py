"""Plays one scene: so many answers of so many tokens at such a speed, growing in one place at once."""

from __future__ import annotations

import asyncio
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
        """What a prophet would reach with the same buckets."""
        limits = LIMITS[self.place]
        return best_mean_lag_s(
            self.duration_s, limits.edit[0], limits.post[0], answers=self.answers, one_way_s=ONE_WAY_S
        )


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
    """One round trip, plus the finals that may be pending divided by the bucket's rate."""
    bucket = LIMITS[scene.place].edit[0]
    return 2 * ONE_WAY_S + scene.answers * bucket.per_s / bucket.capacity


cold = partial(play, strategy=tern, warm=False)
