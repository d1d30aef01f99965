"""When a write may go out: fair, within every bucket, and as close behind the model as that allows. On virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import mean

import pytest

from benchmarks.best_schedule import best_mean_lag_s
from core.delivery.live_reply import LiveReply
from core.delivery.pacing.buckets import Bucket
from core.delivery.pacing.pacer import Pacer, Slot
from core.delivery.pacing.schedule import Habit, Lane, Seat
from core.domain.errors import SurfaceBusy
from core.domain.events import TextDelta
from core.ports.platform import Rate, SurfaceLimits
from tests.fakes.clock import LoopClock
from tests.fakes.surface import DISCORD_LIKE, SLACK_LIKE, FakeLedger, FakePlatform, FakeSurface

ONE_WAY_S = 0.04
"""80 ms of network latency, as the benchmarks have it."""


@dataclass(frozen=True)
class Seen:
    """How one answer was seen; seconds from its first character."""

    lag_s: float
    first_s: float
    last_lag_s: float
    writes: int
    longest_gap_s: float
    """The longest that its reader saw nothing new."""


@dataclass
class Town:
    """Answers that grow on one platform."""

    clock: LoopClock
    limits: SurfaceLimits = replace(DISCORD_LIKE, max_chars=1_000_000)

    def __post_init__(self) -> None:
        self.platform = FakePlatform(self.clock, latency_s=ONE_WAY_S)
        self.pacer = Pacer(self.clock)
        self.number = 0

    async def answer(self, tokens: int, tokens_per_s: float, *, place: str = "") -> Seen:
        self.number += 1
        limits = self.limits
        if place:
            here = lambda rates: tuple(replace(r, key=r.key.replace("place", place)) for r in rates)  # noqa: E731
            limits = replace(limits, post=here(limits.post), edit=here(limits.edit))
        surface = FakeSurface(self.platform, limits, name=f"m{self.number}-")
        live = LiveReply(
            surface,
            FakeLedger(),
            self.pacer,
            self.clock,
            reply_id=f"r{self.number}",
            request_id="q",
            platform="fake",
            asked_at=self.clock.now(),
        )
        async with live:
            begun, arrivals = self.clock.monotonic(), []
            for token in range(tokens):
                await self.clock.sleep(begun + token / tokens_per_s - self.clock.monotonic())
                await live.send(TextDelta("abc "))
                arrivals.append(self.clock.monotonic())
            record = await live.finish()
        assert record.last_lag_s is not None
        [message] = surface.messages.values()
        states = iter([(at, len(shown.text)) for at, shown in message.history])
        at, length = next(states)
        first = at - begun
        lags = []
        for token, arrival in enumerate(arrivals):
            while length < min(4 * token + 4, 4 * tokens - 1):
                at, length = next(states)
            lags.append(at - arrival)
        shown_at = [at for at, _ in message.history]
        gap_s = max((after - before for before, after in pairwise(shown_at)), default=0.0)
        return Seen(mean(lags), first, record.last_lag_s, record.edits, gap_s)

    async def answers(self, count: int, tokens: int, tokens_per_s: float, *, apart: bool = False) -> list[Seen]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.answer(tokens, tokens_per_s, place=f"place{number}" if apart else ""))
                for number in range(count)
            ]
        return [task.result() for task in tasks]

    def best_s(self, tokens: int, tokens_per_s: float, answers: int = 1) -> float:
        edits, posts = self.limits.edit[0], self.limits.post[0]
        return best_mean_lag_s(tokens / tokens_per_s, edits, posts, answers=answers, one_way_s=ONE_WAY_S)


@pytest.fixture
def town(loop_clock: LoopClock) -> Town:
    return Town(loop_clock)


SIZES = [(50, 40), (400, 40), (2000, 40), (50, 200), (400, 200), (2000, 200), (50, 500), (400, 500), (2000, 500)]


@pytest.mark.parametrize(("tokens", "tokens_per_s"), SIZES)
def test_one_answer_of_the_usual_length_is_close_to_the_best_schedule(
    run_virtual, town: Town, tokens: int, tokens_per_s: float
):
    """Where answers of that length are usual, the mean lag is within 1.25 times what a prophet would reach."""
    town.pacer._habit = Habit(4 * tokens, spread=0.2, weight=10)

    seen = run_virtual(town.answer(tokens, tokens_per_s))

    assert seen.lag_s <= 1.25 * town.best_s(tokens, tokens_per_s)
    assert town.platform.refusals == 0


@pytest.mark.parametrize(("tokens", "tokens_per_s"), SIZES)
def test_one_answer_of_unknown_length_is_within_thrice_the_best_schedule(
    run_virtual, town: Town, tokens: int, tokens_per_s: float
):
    """A pacer that has seen no answer yet still stays within a factor of three of a prophet, at any length."""
    seen = run_virtual(town.answer(tokens, tokens_per_s))

    assert seen.lag_s <= 3.0 * town.best_s(tokens, tokens_per_s)
    assert seen.last_lag_s <= 2 * ONE_WAY_S + 0.5 + 0.1


@pytest.mark.parametrize("count", [4, 16])
@pytest.mark.parametrize(("tokens", "tokens_per_s"), [(50, 200), (400, 200), (400, 500), (2000, 40)])
def test_answers_in_one_place_share_its_bucket_well(
    run_virtual, town: Town, count: int, tokens: int, tokens_per_s: float
):
    """Together they are within 1.3 times the best, nothing is refused, and no last word waits longer than the last
    words before it take."""
    town.pacer._habit = Habit(4 * tokens, spread=0.2, weight=10)

    seen = run_virtual(town.answers(count, tokens, tokens_per_s))

    assert mean(one.lag_s for one in seen) <= 1.3 * town.best_s(tokens, tokens_per_s, count)
    assert max(one.last_lag_s for one in seen) <= 4 * ONE_WAY_S + count * town.limits.edit[0].per_s / 5
    assert town.platform.refusals == 0


def test_slacks_minute_bucket_is_spread_too(run_virtual, loop_clock: LoopClock):
    """Fifty edits a minute carry one usual answer nearly as closely as the network allows."""
    town = Town(loop_clock, replace(SLACK_LIKE, max_chars=1_000_000))
    town.pacer._habit = Habit(4 * 400, spread=0.2, weight=10)

    seen = run_virtual(town.answer(400, 200))

    assert seen.lag_s <= 1.25 * town.best_s(400, 200)
    assert town.platform.refusals == 0


def test_fifty_channels_at_once_are_seen_at_once(run_virtual, town: Town):
    """Asked in fifty channels at the same moment, the first words of each are on their way without waiting."""
    seen = run_virtual(town.answers(50, 200, 50, apart=True))

    assert sorted(one.first_s for one in seen)[25] <= ONE_WAY_S + 0.01
    assert town.platform.refusals == 0


def test_under_pressure_an_answer_is_posted_once_and_complete(run_virtual, town: Town):
    """Of many short answers in one place those that must wait for their post need no edit afterwards."""
    seen = run_virtual(town.answers(16, 50, 200))

    assert sum(one.writes for one in seen) <= 16 + 5
    assert sorted(one.writes for one in seen)[:11] == [1] * 11


def test_answers_in_one_place_are_served_alike(run_virtual, town: Town):
    """Four answers that grow together get about the same number of writes: the stalest goes first."""
    seen = run_virtual(town.answers(4, 800, 40))

    writes = [one.writes for one in seen]
    assert max(writes) - min(writes) <= 1


def test_many_answers_one_after_another_leave_each_other_edits(run_virtual, loop_clock: LoopClock):
    """In a busy workspace an answer does not burn the minute's edits: the last words of each are in time."""
    town = Town(loop_clock, replace(SLACK_LIKE, max_chars=1_000_000))

    async def day() -> list[Seen]:
        return [await town.answer(400, 200) for _ in range(25)]

    seen = run_virtual(day())

    assert max(one.last_lag_s for one in seen) <= 2 * ONE_WAY_S + 0.5
    assert town.platform.refusals == 0


def test_the_habit_learns_how_long_answers_are():
    """After some answers of a length the next is expected to be about that long, with little doubt."""
    habit = Habit()
    for _ in range(30):
        habit = habit.after(8_000)

    assert habit.typical_chars == pytest.approx(8_000, rel=0.02)
    assert habit.spread < 0.3


def test_four_answers_are_enough_to_know_better_than_the_first_guess():
    """The first guess counts little: what was seen outweighs it from the second answer on."""
    habit = Habit()
    for _ in range(4):
        habit = habit.after(250)

    assert habit.typical_chars == pytest.approx(250, rel=0.2)
    assert habit.spread < Habit().spread / 2


def test_an_answer_is_planned_by_its_speed():
    """What is missing from a usual answer takes ten times as long where the text comes ten times slower."""
    habit = Habit(1_000, spread=0.5)

    assert (habit.rest_s(0.0, 1_000.0), habit.rest_s(0.0, 100.0)) == (1.0, 10.0)


def test_what_has_lasted_will_last():
    """An answer longer than usual is expected to go on in proportion to its age, up to a limit."""
    habit = Habit(1_000, spread=0.5)

    assert habit.rest_s(8.0, 500.0) == pytest.approx(6.0)
    assert habit.rest_s(80.0, 500.0) == pytest.approx(20.0)


@pytest.mark.parametrize(("asked_at", "now", "expected"), [
    ((), 100.0, 0.0),
    ((0.0, 20.0, 40.0), 60.0, 3.0),
    ((0.0, 20.0, 40.0), 90.0, 1.7),
    ((0.0, 20.0, 40.0), 180.0, 0.435),
    (tuple(float(at) for at in range(0, 60, 3)), 62.0, 17.3),
    (tuple(float(at) for at in range(0, 60, 3)), 75.0, 0.59),
    ((99.0, 99.5), 100.0, 40.0),
    ((0.0, 20.0, 40.0), 400.0, 0.0),
])  # fmt: skip
def test_replies_are_expected_as_they_came_lately(asked_at: tuple[float, ...], now: float, expected: float):
    """So many in a minute as the last five minutes brought on average; two in a second do not make it a hundred and
    twenty. Once none comes for longer than they used to be apart, fewer are expected with every second."""
    lane = Lane(Bucket(SLACK_LIKE.edit[0]), growing=len(asked_at))
    for began_at in asked_at:
        lane.end(began_at)

    assert lane.to_come(now) == pytest.approx(expected, rel=0.02)


def test_an_answer_leaves_calls_for_the_next(run_virtual, loop_clock: LoopClock):
    """Where answers follow each other, one that is asked while Slack's minute is half spent still grows closely."""
    town = Town(loop_clock, replace(SLACK_LIKE, max_chars=1_000_000))

    async def hour() -> list[Seen]:
        seen = []
        for _ in range(8):
            seen.append(await town.answer(400, 40))
            await loop_clock.sleep(15.0)
        return seen

    seen = run_virtual(hour())

    assert max(one.lag_s for one in seen[2:]) < 1.0  # spent at once, the minute would leave some with 5 s
    assert max(one.last_lag_s for one in seen) <= 2 * ONE_WAY_S + 0.5
    assert town.platform.refusals == 0


# --- turns, one by one ---

ONE = SurfaceLimits(100, post=(Rate("p", 1, 10.0),), edit=(Rate("e", 1, 10.0),))


def test_a_long_answer_after_a_busy_time_is_not_kept_waiting(run_virtual, loop_clock: LoopClock):
    """Fifteen short answers came a second apart, then nobody asks any more: what was kept for others is used within
    seconds. Kept for the next minutes it would leave a reader 26 seconds without a sign."""
    town = Town(loop_clock, replace(SLACK_LIKE, max_chars=1_000_000))

    async def scene() -> Seen:
        for _ in range(15):
            await town.answer(20, 40)
            await loop_clock.sleep(1.0)
        return await town.answer(1_600, 40)

    seen = run_virtual(scene())

    assert seen.longest_gap_s < 12.0
    assert town.platform.refusals == 0


def test_unlimited_surfaces_write_at_once(run_virtual, loop_clock: LoopClock):
    """A surface without rates, such as the page, never waits."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        seat = pacer.seat(SurfaceLimits(100))
        for _ in range(100):
            slot = await pacer.turn(seat, "edit")
            assert slot
            pacer.done(slot)
        return loop_clock.monotonic()

    assert run_virtual(scene()) < 100 * 0.11


def test_last_words_go_before_other_writes(run_virtual, loop_clock: LoopClock):
    """Of two that wait for the same call, the one whose text is complete gets it, though it came later."""

    async def scene() -> list[str]:
        pacer, order = Pacer(loop_clock), []
        limits = replace(ONE, edit=(Rate("e", 2, 10.0),))

        async def write(name: str, seat: Seat) -> None:
            slot = await pacer.turn(seat, "edit")
            assert slot
            order.append(name)
            await loop_clock.sleep(0.1)
            pacer.done(slot)

        growing, ending = pacer.seat(limits, unseen_chars=lambda: 1_000), pacer.seat(limits)
        async with asyncio.TaskGroup() as group:
            await write("before", pacer.seat(limits))
            await write("before", pacer.seat(limits))
            group.create_task(write("growing", growing))
            await loop_clock.sleep(1.0)
            pacer.complete(ending)
            group.create_task(write("ending", ending))
        return order

    assert run_virtual(scene()) == ["before", "before", "ending", "growing"]


def test_an_abandoned_turn_ends_without_a_slot(run_virtual, loop_clock: LoopClock):
    """A reply that closes need not wait for its turn, and the call stays free for others."""

    async def scene() -> tuple[Slot | None, float]:
        pacer = Pacer(loop_clock)
        first, second = pacer.seat(ONE), pacer.seat(ONE)
        slot = await pacer.turn(first, "post")
        assert slot
        pacer.done(slot)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pacer.turn(second, "post"))
            await loop_clock.sleep(1.0)
            pacer.abandon(second)
        return waiting.result(), loop_clock.monotonic()

    assert run_virtual(scene()) == (None, 1.0)


def test_a_cancelled_turn_gives_its_call_back(run_virtual, loop_clock: LoopClock):
    """A task that is cancelled between getting a slot and using it takes nothing from the others."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        first, second = pacer.seat(ONE), pacer.seat(ONE)
        slot = await pacer.turn(first, "post")
        assert slot
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pacer.turn(second, "post"))
            await loop_clock.sleep(1.0)
            pacer.give_back(slot)
            waiting.cancel()
        again = await pacer.turn(first, "post")
        assert again
        return loop_clock.monotonic()

    assert run_virtual(scene()) < 1.2


def test_a_refusal_holds_everybody_back_who_shares_the_bucket(run_virtual, loop_clock: LoopClock):
    """After a 429 no reply of that place writes before the platform's moment."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        limits = replace(ONE, post=(Rate("p", 5, 5.0),))
        slot = await pacer.turn(pacer.seat(limits), "post")
        assert slot
        pacer.refused(slot, 3.0)
        await pacer.turn(pacer.seat(limits), "post")
        return loop_clock.monotonic()

    assert run_virtual(scene()) == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(("outcome", "within_s"), [("failed", (7.9, 8.1)), ("refused", (120.0, 240.0))])
def test_only_too_many_means_fewer(run_virtual, loop_clock: LoopClock, outcome: str, within_s: tuple[float, float]):
    """A platform that fails, however often, is asked again after each pause; one that says "too many" is asked less:
    a minute's bucket of twenty that shrank with every error let one write out a minute, and answers were lost."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        seat = pacer.seat(replace(ONE, post=(Rate("p", 10, 60.0),)))
        for _ in range(8):
            slot = await pacer.turn(seat, "post")
            assert slot
            getattr(pacer, outcome)(slot, 1.0)
        await pacer.turn(seat, "post")
        return loop_clock.monotonic()

    least, most = within_s
    assert least <= run_virtual(scene()) <= most


def test_a_seat_that_moves_takes_its_debt_along(run_virtual, loop_clock: LoopClock):
    """A reply that goes by another bucket from now on no longer owes its last edit to the one before."""

    async def scene() -> tuple[Seat, Lane | None]:
        pacer = Pacer(loop_clock)
        seat = pacer.seat(replace(ONE, edit=(Rate("before", 5, 5.0),)))
        pacer.posted(seat)
        left = seat.lane
        pacer.reseat(seat, replace(ONE, edit=(Rate("after", 5, 5.0),)))
        return seat, left

    seat, left = run_virtual(scene())

    assert left
    assert seat.lane
    assert (left.growing, seat.lane.growing) == (0, 1)
    assert [bucket.key for bucket in (*seat.edit, *seat.finish)] == ["after", "after"]


def test_a_call_without_leave_counts(run_virtual, loop_clock: LoopClock):
    """What a surface had to send at once delays what asks for a slot after it."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        rate = Rate("p", 1, 5.0)
        with pacer.count(rate):
            pass
        await pacer.turn(pacer.seat(replace(ONE, post=(rate,))), "post")
        return loop_clock.monotonic()

    assert run_virtual(scene()) == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize("at_once", [True, False], ids=["count", "take"])
def test_a_call_without_leave_counts_from_its_answer(run_virtual, loop_clock: LoopClock, at_once: bool):
    """The platform counts it when it comes, which may be any time up to its answer: until then it is on its way, and
    what follows it leaves a whole period after its answer, so that it cannot come too early."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        rate = Rate("p", 1, 5.0)
        if at_once:
            with pacer.count(rate):
                await loop_clock.sleep(0.08)
        else:
            async with pacer.take(rate):
                await loop_clock.sleep(0.08)
        await pacer.turn(pacer.seat(replace(ONE, post=(rate,))), "post")
        return loop_clock.monotonic()

    assert run_virtual(scene()) == pytest.approx(5.08, abs=0.002)


def test_a_refusal_without_leave_is_learned_from(run_virtual, loop_clock: LoopClock):
    """What the platform says to a second step holds for the bucket of that step, not only for the one of the first."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        rate = Rate("p", 5, 5.0)
        with pytest.raises(SurfaceBusy):
            async with pacer.take(rate):
                raise SurfaceBusy("too many", retry_after_s=3.0, too_many=True)
        await pacer.turn(pacer.seat(replace(ONE, post=(rate,))), "post")
        return loop_clock.monotonic()

    assert run_virtual(scene()) == pytest.approx(3.0, abs=0.01)


def test_a_step_that_may_wait_waits(run_virtual, loop_clock: LoopClock):
    """A second step of a write goes out when its bucket carries it, and delays what asks for a slot after it."""

    async def scene() -> list[float]:
        pacer = Pacer(loop_clock)
        rate = Rate("p", 1, 5.0)
        at = []
        for _ in range(2):
            async with pacer.take(rate):
                at.append(loop_clock.monotonic())
        await pacer.turn(pacer.seat(replace(ONE, post=(rate,))), "post")
        return [*at, loop_clock.monotonic()]

    assert run_virtual(scene()) == pytest.approx([0.0, 5.0, 10.0], abs=0.01)


def test_headers_reach_the_bucket_they_name(run_virtual, loop_clock: LoopClock):
    """An adapter that reports an empty bucket delays the next write until its reset; unknown keys are ignored."""

    async def scene() -> float:
        pacer = Pacer(loop_clock)
        limits = replace(ONE, post=(Rate("p", 5, 5.0),))
        seat = pacer.seat(limits)
        pacer.learn("p", remaining=0, reset_after_s=2.0, capacity=5)
        pacer.learn("unknown", remaining=0, reset_after_s=99.0)
        pacer.learn("p", remaining=None, reset_after_s=99.0)
        await pacer.turn(seat, "post")
        return loop_clock.monotonic()

    assert run_virtual(scene()) == pytest.approx(2.0, abs=0.01)
