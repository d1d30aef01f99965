"""The middleware stack as a whole: its order, by what each order would change for somebody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from core.domain.errors import KeyRejected, NoModelLeft, OverLimit, Overloaded, StreamBroken
from core.domain.events import Event, Send, TextDelta
from core.domain.model_spec import ModelSpec, Route
from core.domain.requests import ChatRequest, Reply, RequestRecord, ShownRecord, Usage
from core.gateway.context_window import fit
from core.gateway.fallback import Signals
from core.gateway.quotas import Ceilings, GuardLimits
from core.gateway.stack import Parts, Stack, build_stack
from core.gateway.tokens import TokenScale
from tests.core.gateway.test_fallback import OpenDoors
from tests.fakes.clock import FakeClock, settle
from tests.fakes.provider import ANN, FakeProvider, Heard, a_model, a_request
from tests.fakes.stores import MemoryCache, MemoryUsage

BIG, SMALL = a_model("big"), a_model("small")
QUESTION = a_request(temperature=0.0)


class House:
    """The whole stack over a scripted provider and stores in memory."""

    def __init__(self, clock: FakeClock, **user_ceilings: Any) -> None:
        self.clock = clock
        self.provider = FakeProvider(clock=clock)
        self.records: list[RequestRecord] = []
        self.alerts: list[str] = []
        self.heard = Heard()
        self.parts = Parts(
            routing=self,
            providers={"groq": self.provider},
            admission=OpenDoors(),
            fit=fit,
            scale=TokenScale(),
            cache_store=MemoryCache(clock),
            usage_store=MemoryUsage(),
            observers=[self],
            clock=clock,
            random=lambda: 0.0,
            limits=GuardLimits(user=Ceilings(**user_ceilings)),
            signals=Signals(alert=lambda error: self.alerts.append(type(error).__name__)),
        )
        self.stack: Stack = build_stack(self.parts)

    def route(self, request: ChatRequest) -> Route:
        return Route((BIG, SMALL), "as the test says")

    def request(self, record: RequestRecord) -> None:
        self.records.append(record)

    def shown(self, record: ShownRecord) -> None: ...

    async def ask(self, request: ChatRequest = QUESTION) -> Reply:
        return await self.stack(request, self.heard)

    @property
    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]


async def test_hit_passes_the_guard_and_is_recorded(clock: FakeClock) -> None:
    """Cache outside the guard: an asker at the limit still gets what is known. Observe outside the cache: it counts."""
    house = House(clock, requests_per_minute=1)
    house.provider.plays(["hello"])

    await house.ask()
    reply = await house.ask(replace(QUESTION, request_id="r2"))

    assert reply.from_cache
    assert house.outcomes == ["ok", "cached"]


async def test_refusal_is_recorded_and_costs_no_call(clock: FakeClock) -> None:
    """Guard outside the fallback: nothing is asked for a refused request. Observe sees the refusal."""
    house = House(clock, requests_per_minute=1)
    house.provider.plays(["hello"])

    await house.ask()
    with pytest.raises(OverLimit):
        await house.ask(a_request(request_id="r2"))

    assert house.provider.models == ["big"]
    assert house.outcomes == ["ok", "OverLimit"]


async def test_many_attempts_are_one_request(clock: FakeClock) -> None:
    """Guard outside retry and fallback: three calls for one question count as one request, with all they used."""
    house = House(clock, requests_per_minute=1)
    house.provider.on("big", [StreamBroken()], ["one two", StreamBroken()]).on("small", [" three"])

    reply = await house.ask()

    (record,) = house.records
    assert house.heard.text == reply.text == "one two three"
    assert [attempt.outcome for attempt in record.attempts] == ["StreamBroken", "StreamBroken", "ok"]
    assert record.usage == reply.usage


async def test_retry_stands_inside_the_fallback(clock: FakeClock) -> None:
    """A short 503 is retried on the model that was meant before another one is asked."""
    house = House(clock)
    house.provider.plays([Overloaded()], ["hello"])

    task = asyncio.create_task(house.ask())
    await settle()
    await clock.advance(1.0)
    await task

    assert house.provider.models == ["big", "big"]


async def test_everything_failed(clock: FakeClock) -> None:
    """The error goes out as NoModelLeft, recorded once, and the operator is told."""
    house = House(clock)
    house.provider.plays([KeyRejected()])

    with pytest.raises(NoModelLeft):
        await house.ask()

    assert house.outcomes == ["NoModelLeft"]
    assert house.alerts == ["KeyRejected"]


async def test_purge_reaches_the_cache(clock: FakeClock) -> None:
    """`forget` empties the memory of a user's answers."""
    house = House(clock)
    house.provider.plays(["hello"])
    await house.ask()

    assert house.stack.purge(ANN) == 1


class Probe:
    """A provider that keeps what the stack's `send` returned for its second piece."""

    def __init__(self) -> None:
        self.returned: Awaitable[None] | None = None

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        await send(TextDelta("first "))
        self.returned = send(TextDelta("second"))
        await self.returned
        return Reply("first second", model.id, model.provider, Usage())


@pytest.mark.parametrize("temperature", [None, 0.0], ids=["uncached", "cached"])
async def test_text_crosses_the_stack_by_plain_calls(temperature: float | None, clock: FakeClock) -> None:
    """Per piece of text no stage adds a coroutine: what the provider awaits is the reader's own `send`."""
    house, probe = House(clock), Probe()
    made: list[Awaitable[None]] = []

    def send(event: Event) -> Awaitable[None]:
        made.append(house.heard(event))
        return made[-1]

    await build_stack(replace(house.parts, providers={"groq": probe}))(a_request(temperature=temperature), send)

    assert probe.returned is made[-1]
