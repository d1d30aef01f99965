"""CircuitBreaker: who is left in peace, and until when."""

from __future__ import annotations

from core.domain.errors import KeyRejected, LimitReached, Overloaded
from core.gateway.circuit_breaker import PROBE_S, PROVIDER_REST_S, CircuitBreaker
from tests.fakes.clock import FakeClock
from tests.fakes.provider import a_model

BIG, SMALL = a_model("big"), a_model("small")


async def test_rests_grow(clock: FakeClock) -> None:
    """A model that keeps failing breaker 30 seconds, a minute, then five minutes each time."""
    breaker = CircuitBreaker(clock)
    seen = []
    for _ in range(4):
        breaker.failed(BIG, Overloaded())
        seen.append(breaker.left_s(BIG))
        await clock.advance(seen[-1])

    assert seen == [30.0, 60.0, 300.0, 300.0]


async def test_providers_own_wish_may_be_longer(clock: FakeClock) -> None:
    """A retry-after above the schedule is honoured."""
    breaker = CircuitBreaker(clock)

    breaker.failed(BIG, Overloaded(retry_after_s=90.0))

    assert breaker.left_s(BIG) == 90.0


async def test_one_probe_after_a_rest(clock: FakeClock) -> None:
    """When a rest is over one request tries, and the others keep away until it has worked."""
    breaker = CircuitBreaker(clock)
    breaker.failed(BIG, Overloaded())
    await clock.advance(30.0)
    assert breaker.resting(BIG) is None

    breaker.begin(BIG)

    assert breaker.resting(BIG) is not None
    breaker.worked(BIG)
    assert breaker.resting(BIG) is None


async def test_probe_that_never_ends_frees_the_model(clock: FakeClock) -> None:
    """A probe that was stopped holds the others back for a bounded time only."""
    breaker = CircuitBreaker(clock)
    breaker.failed(BIG, Overloaded())
    await clock.advance(30.0)
    breaker.begin(BIG)

    await clock.advance(PROBE_S)

    assert breaker.resting(BIG) is None


async def test_success_forgives_everything(clock: FakeClock) -> None:
    """After a success the next failure is the first again."""
    breaker = CircuitBreaker(clock)
    breaker.failed(BIG, Overloaded())
    breaker.worked(BIG)

    breaker.failed(BIG, Overloaded())

    assert breaker.left_s(BIG) == 30.0


async def test_window_needs_no_probe(clock: FakeClock) -> None:
    """A used-up window opens for everybody at its moment."""
    breaker = CircuitBreaker(clock)
    breaker.rest_for(BIG, 8.0, LimitReached())
    await clock.advance(8.0)

    breaker.begin(BIG)

    assert breaker.resting(BIG) is None


async def test_models_rest_apart_providers_together(clock: FakeClock) -> None:
    """One model's failure is its own; a rejected key breaker every model of its provider, and says why."""
    breaker = CircuitBreaker(clock)
    breaker.failed(BIG, Overloaded())
    assert breaker.resting(SMALL) is None

    breaker.rest_provider(BIG, KeyRejected())

    assert isinstance(breaker.resting(SMALL), KeyRejected)
    assert breaker.provider_rests(SMALL)
    assert breaker.left_s(SMALL) == PROVIDER_REST_S
    assert breaker.resting(a_model("spare", provider="openai")) is None


async def test_kept_error_holds_no_frames(clock: FakeClock) -> None:
    """The reason is kept for minutes; the request it happened in is not."""
    breaker = CircuitBreaker(clock)
    try:
        raise Overloaded
    except Overloaded as error:
        breaker.failed(BIG, error)

    kept = breaker.resting(BIG)

    assert kept is not None
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)
