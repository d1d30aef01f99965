"""Retry: the same model once more, before the first token only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from core.domain import errors as e
from core.domain.events import ToolCallDelta
from core.domain.requests import ChatRequest, Reply
from core.gateway.attempts import AttemptBook
from core.gateway.retry import LONGEST_WAIT_S, RetryingProvider, pause_s
from tests.fakes.clock import LoopClock
from tests.fakes.provider import FakeProvider, Heard, Pause, a_model, a_request

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class House:
    def __init__(self) -> None:
        self.clock = LoopClock()
        self.provider = FakeProvider(clock=self.clock)
        self.book = AttemptBook()
        self.heard = Heard()
        self.retrying = RetryingProvider(self.provider, self.clock, lambda: 0.0, self.book)

    async def ask(self, request: ChatRequest | None = None) -> Reply:
        return await self.retrying(request or a_request(), a_model(), self.heard)

    async def timed(self, request: ChatRequest | None = None) -> float:
        began = self.clock.monotonic()
        await self.ask(request)
        return self.clock.monotonic() - began


@pytest.mark.parametrize(
    ("error", "tried", "wait_s"),
    [
        (e.ConnectionFailed(), 1, 0.0),
        (e.ConnectionFailed(), 2, 0.0),
        (e.ConnectionFailed(), 3, None),
        (e.StreamBroken(), 1, 0.0),
        (e.StreamBroken(), 2, None),
        (e.Unprocessable(), 1, 0.0),
        (e.Overloaded(), 1, 0.25),
        (e.Overloaded(), 2, 0.5),
        (e.Overloaded(), 3, None),
        (e.Overloaded(retry_after_s=1.5), 1, 1.5),
        (e.Overloaded(retry_after_s=30.0), 1, None),
        (e.LimitReached(retry_after_s=1.0), 1, 1.0),
        (e.LimitReached(retry_after_s=LONGEST_WAIT_S + 0.1), 1, None),
        (e.LimitReached(), 1, None),
        (e.TooLargeForLimit(retry_after_s=0.1), 1, None),
        (e.KeyRejected(), 1, None),
        (e.CallMalformed(), 1, None),
        (e.Stalled(), 1, None),
    ],
)
def test_pause(error: e.ProviderError, tried: int, wait_s: float | None) -> None:
    """Each error's wait before the same model is asked again; None is left to the fallback."""
    assert pause_s(error, tried, 0.0, None) == wait_s


def test_jitter_adds_up_to_half() -> None:
    """Luck spreads retries, so that a crowd does not come back at once."""
    assert pause_s(e.Overloaded(), 1, 1.0, None) == 0.375


def test_wait_must_fit_the_deadline() -> None:
    """A wait beyond the deadline is no wait."""
    assert pause_s(e.LimitReached(retry_after_s=1.0), 1, 0.0, left_s=0.9) is None


def test_overloaded_model_is_retried_unseen(run_virtual: Run) -> None:
    """A 503 before any text is retried on the same model; the reader sees one answer."""
    house = House()
    house.provider.plays([e.Overloaded()], [e.Overloaded()], ["hello"])

    assert run_virtual(house.timed()) == pytest.approx(0.75)
    assert house.heard.text == "hello"
    assert [attempt.outcome for attempt in house.book.of("r1")] == ["Overloaded", "Overloaded"]


def test_connection_is_retried_at_once(run_virtual: Run) -> None:
    """A connection that broke before the first byte is tried again without waiting."""
    house = House()
    house.provider.plays([e.ConnectionFailed()], ["hello"])

    assert run_virtual(house.timed()) == 0.0


def test_retry_after_is_honoured(run_virtual: Run) -> None:
    """A short retry-after is waited exactly."""
    house = House()
    house.provider.plays([e.LimitReached(retry_after_s=1.25)], ["hello"])

    assert run_virtual(house.timed()) == pytest.approx(1.25)


@pytest.mark.parametrize("first", ["hel", ToolCallDelta(0, "c1", "look_up", "{")])
def test_nothing_is_retried_after_the_first_piece(first: str | ToolCallDelta, run_virtual: Run) -> None:
    """Once something was shown, the error goes up."""
    house = House()
    house.provider.plays([first, e.StreamBroken()])

    with pytest.raises(e.StreamBroken):
        run_virtual(house.ask())

    assert len(house.provider.calls) == 1


def test_last_error_goes_up_as_it_is(run_virtual: Run) -> None:
    """When the retries are used up, the provider's own error is raised, not tenacity's."""
    house = House()
    house.provider.plays([e.Unprocessable("first")], [e.Unprocessable("second")])

    with pytest.raises(e.Unprocessable, match="second"):
        run_virtual(house.ask())


def test_cancelling_passes_through(run_virtual: Run) -> None:
    """A stopped request ends the provider's call and is not retried."""
    house = House()
    house.provider.plays([Pause(100.0)])

    async def stop() -> None:
        task = asyncio.create_task(house.ask())
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(stop())

    assert house.provider.cancelled == 1
    assert len(house.provider.calls) == 1
