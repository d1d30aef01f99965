"""A provider that comes back is noticed at once, by one small question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from bot.duties.probing import PROBE_EVERY_S, Prober
from core.domain.errors import ConnectionFailed, KeyRejected, LimitReached, Overloaded, ProviderError, StreamBroken
from core.domain.model_spec import ModelSpec
from core.gateway.circuit_breaker import CircuitBreaker
from tests.fakes.clock import FakeClock, settle
from tests.fakes.provider import FakeProvider, a_model

FAST, LARGE = a_model("fast"), a_model("large")


class House:
    def __init__(self, clock: FakeClock, models: Sequence[ModelSpec] = (FAST, LARGE)) -> None:
        self.clock = clock
        self.breaker = CircuitBreaker(clock)
        self.groq, self.openai = FakeProvider("groq"), FakeProvider("openai")
        self.woken: list[float] = []
        providers = {"groq": self.groq, "openai": self.openai}
        self.prober = Prober(lambda: models, providers, self.breaker, self.wake, clock)

    async def wake(self) -> None:
        self.woken.append(self.clock.monotonic())

    async def misses_one(self) -> None:
        """A run begins to wait."""
        self.prober.wanted()
        await settle()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[House]:
        task = asyncio.ensure_future(self.prober.run())
        await settle()
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.parametrize("error", [ConnectionFailed(), Overloaded(), LimitReached("minute", retry_after_s=None)])
async def test_waiting_runs_are_woken_within_two_seconds(clock: FakeClock, error: ProviderError) -> None:
    """Away for six seconds and then back: one question a second or so, and all that wait are tried again at once."""
    async with House(clock).open() as house:
        house.groq.always([error])
        house.breaker.failed(FAST, error)
        await house.misses_one()
        await clock.advance(6)
        assert house.woken == []
        asked = len(house.groq.calls)

        house.groq.always(["yes"])
        await clock.advance(2)

        assert len(house.woken) == 1
        assert house.breaker.resting(FAST) is None
        assert 4 <= asked <= 6
        assert {call.model.id for call in house.groq.calls} == {"fast"}
        await clock.advance(600)
        assert len(house.groq.calls) == asked + 1


async def test_nobody_is_asked_while_nothing_waits(clock: FakeClock) -> None:
    """A rest alone costs no question."""
    async with House(clock).open() as house:
        house.breaker.failed(FAST, Overloaded())

        await clock.advance(600)

        assert house.groq.calls == []


async def test_a_provider_that_refuses_the_key_is_left_alone(clock: FakeClock) -> None:
    """It rests as after any question; the other one is asked on, the local model never."""
    models = (a_model("l", provider="local", tier="local"), FAST, a_model("o", provider="openai"))
    async with House(clock, models).open() as house:
        house.groq.plays([KeyRejected("401", provider="groq")])
        house.openai.plays([Overloaded()], [Overloaded()], ["yes"])
        await house.misses_one()

        await clock.advance(10)

        assert (len(house.groq.calls), len(house.openai.calls), len(house.woken)) == (1, 3, 1)


async def test_what_is_wrong_with_the_question_is_an_answer(clock: FakeClock) -> None:
    """Where only our small question fails, the provider is there."""
    async with House(clock).open() as house:
        house.groq.plays([StreamBroken("empty")])
        await house.misses_one()

        await clock.advance(PROBE_EVERY_S)

        assert len(house.woken) == 1


async def test_a_stated_wait_is_kept(clock: FakeClock) -> None:
    """Whoever says when to come back is not asked before."""
    async with House(clock).open() as house:
        house.groq.plays([LimitReached("minute", retry_after_s=20.0)], ["yes"])
        await house.misses_one()

        await clock.advance(20)
        assert len(house.groq.calls) == 1
        await clock.advance(3)

        assert len(house.woken) == 1


async def test_waking_in_vain_slows_down(clock: FakeClock) -> None:
    """The probe is answered and the questions are not: they are woken ever more rarely, not every second."""
    async with House(clock).open() as house:
        house.groq.always(["yes"])
        for _ in range(60):
            await house.misses_one()
            await clock.advance(1)

        assert len(house.woken) <= 6
