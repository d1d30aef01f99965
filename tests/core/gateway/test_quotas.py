"""RateGuard: nobody uses up more than their share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from core.domain.errors import NoModelLeft, OverLimit, SpendStopped
from core.domain.events import Send
from core.domain.incoming import UserKey
from core.domain.model_spec import Price
from core.domain.requests import Attempt, ChatRequest, Reply, Usage
from core.gateway.attempts import AttemptBook
from core.gateway.quotas import DAY_S, Ceilings, GuardLimits, RateGuard
from tests.fakes.clock import LoopClock
from tests.fakes.provider import ANN, BEN, Heard, a_request
from tests.fakes.stores import MemoryUsage

Run = Callable[[Coroutine[Any, Any, Any]], Any]

NONE = Ceilings()
MIDNIGHT = 1_800_000_000.0 - 1_800_000_000.0 % DAY_S


class House:
    """A guard around a handler that uses what the test says."""

    def __init__(self, *, store: MemoryUsage | None = None, **limits: Any) -> None:
        self.clock = LoopClock()
        self.store = store or MemoryUsage()
        self.book = AttemptBook()
        self.uses = Usage(prompt_tokens=50, output_tokens=50, cost_usd=0.1)
        self.takes_s = 0.0
        self.error: Exception | None = None
        self.count = 0
        limits = {"user": NONE, "answer_tokens": 100, "price": Price(), **limits}
        self.guard = RateGuard(self.handler, self.store, self.clock, GuardLimits(**limits), self.book)

    async def handler(self, request: ChatRequest, send: Send) -> Reply:
        await self.clock.sleep(self.takes_s)
        self.book.add(request.request_id, Attempt("groq", "big", 0.0, 1.0, None, "ok", self.uses))
        if self.error is not None:
            raise self.error
        return Reply("hello", "big", "groq", self.uses)

    async def ask(self, user: UserKey = ANN, request_id: str = "", **changes: Any) -> None:
        self.count += 1
        request_id = request_id or f"r{self.count}"
        try:
            await self.guard(a_request(user=user, request_id=request_id, **changes), Heard())
        finally:
            self.book.close(request_id)

    async def refusal(self, user: UserKey = ANN, request_id: str = "") -> OverLimit | SpendStopped:
        with pytest.raises((OverLimit, SpendStopped)) as refused:
            await self.ask(user, request_id)
        error = refused.value
        assert isinstance(error, OverLimit | SpendStopped)
        return error


def test_requests_per_minute(run_virtual: Run) -> None:
    """The third request of a minute is refused, and the refusal says when to come back."""
    house = House(user=Ceilings(requests_per_minute=2))

    async def three() -> OverLimit | SpendStopped:
        await house.ask()
        await house.ask()
        error = await house.refusal()
        await house.clock.sleep(error.retry_after_s or 0.0)
        await house.ask()
        return error

    error = run_virtual(three())

    assert isinstance(error, OverLimit)
    assert (error.scope, error.kind, error.limit) == ("user", "requests per minute", 2)


def test_everybody_has_their_own_minute(run_virtual: Run) -> None:
    """Ann at her limit does not stop Ben."""
    house = House(user=Ceilings(requests_per_minute=1))

    async def two() -> None:
        await house.ask(ANN)
        await house.ask(BEN)

    run_virtual(two())


def test_ceilings_stand_above_each_other(run_virtual: Run) -> None:
    """A workspace's and the common ceiling hold for people who are below their own."""
    teams = UserKey("slack", "E:T", "ann"), UserKey("slack", "E:T", "ben"), UserKey("slack", "E:U", "eve")
    house = House(workspace=Ceilings(requests_per_minute=1), everyone=Ceilings(requests_per_minute=2))

    async def people() -> list[str]:
        await house.ask(teams[0])
        first = await house.refusal(teams[1])
        await house.ask(teams[2])
        second = await house.refusal(ANN)
        return [error.scope for error in (first, second) if isinstance(error, OverLimit)]

    assert run_virtual(people()) == ["workspace", "everyone"]


def test_refused_request_uses_up_nothing(run_virtual: Run) -> None:
    """A request that the common ceiling refuses is not counted against its asker."""
    house = House(user=Ceilings(requests_per_minute=2), everyone=Ceilings(requests_per_minute=1))

    async def asks() -> OverLimit | SpendStopped:
        await house.ask()
        await house.refusal()
        return await house.refusal()

    error = run_virtual(asks())

    assert isinstance(error, OverLimit)
    assert error.scope == "everyone"


def test_tokens_per_minute_are_settled_by_use(run_virtual: Run) -> None:
    """The estimate is reserved first; what was really used counts afterwards."""
    house = House(user=Ceilings(tokens_per_minute=1_000))
    house.uses = Usage(prompt_tokens=900, output_tokens=90)

    async def two() -> OverLimit | SpendStopped:
        await house.ask()
        return await house.refusal()

    error = run_virtual(two())

    assert isinstance(error, OverLimit)
    assert error.kind == "tokens per minute"


def test_overestimate_is_given_back(run_virtual: Run) -> None:
    """A short answer leaves room for more requests than the estimates alone would."""
    house = House(user=Ceilings(tokens_per_minute=250))
    house.uses = Usage(prompt_tokens=5, output_tokens=5)

    async def ten() -> None:
        for _ in range(10):
            await house.ask()

    run_virtual(ten())


def test_requests_in_flight_hold_their_reservation(run_virtual: Run) -> None:
    """Two at once cannot both take the last of a day."""
    house = House(user=Ceilings(tokens_per_day=150))
    house.takes_s = 1.0

    async def both() -> list[BaseException | None]:
        return await asyncio.gather(house.ask(), house.ask(), return_exceptions=True)

    first, second = run_virtual(both())

    assert first is None
    assert isinstance(second, OverLimit)
    assert second.kind == "tokens per day"


def test_tokens_per_day(run_virtual: Run) -> None:
    """A day's tokens end at midnight UTC, and the refusal says how long that is."""
    house = House(user=Ceilings(tokens_per_day=200))

    async def days() -> float:
        await house.ask()
        error = await house.refusal()
        await house.clock.sleep(error.retry_after_s or 0.0)
        await house.ask()
        return error.retry_after_s or 0.0

    assert run_virtual(days()) == pytest.approx(MIDNIGHT + DAY_S - 1_800_000_000.0)


def test_cost_per_day(run_virtual: Run) -> None:
    """What was spent, not what was estimated, ends somebody's day."""
    house = House(user=Ceilings(cost_per_day_usd=0.25), price=Price(prompt=1.0, output=100.0))

    async def asks() -> OverLimit | SpendStopped:
        await house.ask()
        await house.ask()
        house.uses = Usage(cost_usd=0.05)
        await house.ask()
        return await house.refusal()

    error = run_virtual(asks())

    assert isinstance(error, OverLimit)
    assert error.kind == "USD per day"


def test_spend_stop_is_for_the_whole_bot(run_virtual: Run) -> None:
    """When the bot has spent its day's money, nobody is answered until midnight."""
    house = House(daily_spend_usd=0.1, price=Price(output=100.0))

    async def asks() -> OverLimit | SpendStopped:
        await house.ask(ANN)
        return await house.refusal(BEN)

    error = run_virtual(asks())

    assert isinstance(error, SpendStopped)
    assert error.retry_after_s is not None
    assert error.limit_usd == 0.1


def test_day_is_kept_across_a_restart(run_virtual: Run) -> None:
    """A new process reads from the store what was spent today, and nothing of yesterday."""
    store = MemoryUsage()
    yesterday = Usage(prompt_tokens=10_000)

    async def fill() -> None:
        await store.add("old", ANN, "", "big", yesterday, MIDNIGHT - 1.0)
        await store.add("new", ANN, "", "big", Usage(prompt_tokens=200), MIDNIGHT + 1.0)

    run_virtual(fill())
    house = House(store=store, user=Ceilings(tokens_per_day=350))

    async def asks() -> OverLimit | SpendStopped:
        await house.ask()
        return await house.refusal()

    assert isinstance(run_virtual(asks()), OverLimit)


def test_store_is_not_asked_for_every_request(run_virtual: Run) -> None:
    """The day's sum is kept in memory and read again only now and then."""
    house = House(user=Ceilings(tokens_per_day=10_000))

    async def asks() -> None:
        for _ in range(5):
            await house.ask()

    run_virtual(asks())

    assert house.store.reads == 1


def test_no_daily_ceiling_asks_no_store(run_virtual: Run) -> None:
    """Whoever sets no daily limit pays nothing for it."""
    house = House(user=Ceilings(requests_per_minute=5))

    run_virtual(house.ask())

    assert house.store.reads == 0


@pytest.mark.parametrize("error", [NoModelLeft(), RuntimeError()])
def test_failed_request_is_settled_by_its_attempts(error: Exception, run_virtual: Run) -> None:
    """What broken or stopped attempts used is booked like any other."""
    house = House(user=Ceilings(tokens_per_day=200))
    house.error = error

    async def asks() -> OverLimit | SpendStopped:
        with pytest.raises(type(error)):
            await house.ask()
        return await house.refusal()

    assert isinstance(run_virtual(asks()), OverLimit)


def test_stopped_request_is_settled(run_virtual: Run) -> None:
    """A cancelled request gives back what it had reserved beyond its use."""
    house = House(user=Ceilings(tokens_per_day=150))
    house.takes_s = 9.0

    async def asks() -> None:
        task = asyncio.create_task(house.ask())
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        house.takes_s = 0.0
        await house.ask()

    run_virtual(asks())


def test_replay_is_no_new_request(run_virtual: Run) -> None:
    """A waiting message that is tried again under its id does not use up its asker's minute."""
    house = House(user=Ceilings(requests_per_minute=1))

    async def tries() -> OverLimit | SpendStopped:
        for _ in range(3):
            await house.ask(request_id="run-1")
        return await house.refusal(request_id="run-2")

    assert isinstance(run_virtual(tries()), OverLimit)


def test_request_above_the_minutes_ceiling_passes_alone(run_virtual: Run) -> None:
    """Waiting would never help a request larger than the whole window, so an empty window lets it pass."""
    house = House(user=Ceilings(tokens_per_minute=50))

    async def two() -> OverLimit | SpendStopped:
        await house.ask()
        return await house.refusal()

    assert isinstance(run_virtual(two()), OverLimit)


def test_limits_may_change_while_running(run_virtual: Run) -> None:
    """SIGHUP replaces the limits; the next request meets the new ones."""
    house = House()

    async def asks() -> OverLimit | SpendStopped:
        await house.ask()
        house.guard.limits = replace(house.guard.limits, everyone=Ceilings(requests_per_minute=1))
        await house.ask()
        return await house.refusal()

    assert isinstance(run_virtual(asks()), OverLimit)


def test_recordings_share_the_minute_with_questions(run_virtual: Run) -> None:
    """A recording is a request of its own in the asker's minute."""
    house = House(user=Ceilings(requests_per_minute=2))

    async def clip_and_questions() -> OverLimit | SpendStopped:
        await house.guard.recordings.admit("clip", ANN, cost_usd=0.0)
        await house.ask()
        return await house.refusal()

    assert isinstance(run_virtual(clip_and_questions()), OverLimit)


def test_recordings_are_paid_from_the_same_day(run_virtual: Run) -> None:
    """What a recording may cost is held before it is heard, and replaced by what it did cost."""
    house = House(user=Ceilings(cost_per_day_usd=1.0))
    quota = house.guard.recordings

    async def three() -> None:
        await quota.admit("long", ANN, cost_usd=0.9)
        with pytest.raises(OverLimit, match="USD per day"):
            await quota.admit("second", ANN, cost_usd=0.2)
        await quota.settle("long", Usage(audio_s=600.0, cost_usd=0.7))
        await quota.admit("second", ANN, cost_usd=0.2)
        await quota.settle("second", Usage(cost_usd=0.2))
        with pytest.raises(OverLimit, match="USD per day"):
            await quota.admit("third", ANN, cost_usd=0.2)

    run_virtual(three())
