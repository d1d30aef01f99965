"""Observe: one record for every request, however it ends."""

from __future__ import annotations

import asyncio

import pytest

from core.domain.errors import NoModelLeft, OverLimit
from core.domain.events import Send, Started, TextDelta
from core.domain.requests import Attempt, ChatRequest, Reply, RequestRecord, ShownRecord, Usage
from core.gateway.attempts import AttemptBook
from core.gateway.observe import Observe
from tests.fakes.clock import FakeClock
from tests.fakes.provider import Heard, a_request

SPENT = Usage(prompt_tokens=3, output_tokens=2, cost_usd=0.5, estimated=True)


class Notebook:
    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def request(self, record: RequestRecord) -> None:
        self.records.append(record)

    def shown(self, record: ShownRecord) -> None: ...


class House:
    """An Observe around a handler that answers after two seconds, or fails."""

    def __init__(self, clock: FakeClock, error: BaseException | None = None, *, from_cache: bool = False) -> None:
        self.clock = clock
        self.error = error
        self.from_cache = from_cache
        self.book = AttemptBook()
        self.notes = Notebook()
        self.heard = Heard()
        self.observe = Observe(self.handler, [self.notes], clock, self.book)

    async def handler(self, request: ChatRequest, send: Send) -> Reply:
        self.book.add(request.request_id, Attempt("groq", "big", self.clock.now(), 1.0, None, "Overloaded", SPENT))
        await send(Started("big", "groq"))
        await self.clock.advance(2.0)
        await send(TextDelta("hel"))
        await self.clock.advance(1.0)
        await send(TextDelta("lo"))
        if self.error is not None:
            raise self.error
        return Reply("hello", "big", "groq", Usage(prompt_tokens=9), from_cache=self.from_cache)

    async def ask(self) -> RequestRecord:
        if self.error is None:
            await self.observe(a_request(channel_key="slack:C1"), self.heard)
        else:
            with pytest.raises(type(self.error)):
                await self.observe(a_request(), self.heard)
        (record,) = self.notes.records
        return record


async def test_answer(clock: FakeClock) -> None:
    """Times count from the request's entry, usage is the reply's, and the attempts are named."""
    record = await House(clock).ask()

    assert (record.outcome, record.model, record.channel_key) == ("ok", "big", "slack:C1")
    assert (record.first_text_s, record.duration_s) == (2.0, 3.0)
    assert record.usage == Usage(prompt_tokens=9)
    assert [attempt.outcome for attempt in record.attempts] == ["Overloaded"]


async def test_events_pass_unchanged(clock: FakeClock) -> None:
    """The reader gets every event, in order."""
    house = House(clock)

    await house.ask()

    assert house.heard.events == [Started("big", "groq"), TextDelta("hel"), TextDelta("lo")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NoModelLeft(), "NoModelLeft"),
        (OverLimit("user", "requests per minute", limit=1, retry_after_s=1.0), "OverLimit"),
        (asyncio.CancelledError(), "stopped"),
        (RuntimeError("ours"), "RuntimeError"),
    ],
)
async def test_failure(error: BaseException, outcome: str, clock: FakeClock) -> None:
    """A failure is recorded by its name, with what its attempts cost, and raised on."""
    record = await House(clock, error).ask()

    assert record.outcome == outcome
    assert record.usage == SPENT
    assert record.model == "big"


async def test_hit(clock: FakeClock) -> None:
    """An answer from the cache is its own outcome."""
    assert (await House(clock, from_cache=True).ask()).outcome == "cached"


async def test_book_is_closed(clock: FakeClock) -> None:
    """Nothing of a finished request stays behind."""
    house = House(clock, NoModelLeft())

    await house.ask()

    assert len(house.book) == 0
