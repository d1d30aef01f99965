"""The middleware stack as one list. The order is the design; a test keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.base.clock import Clock
from core.domain.events import Send
from core.domain.incoming import UserKey
from core.domain.requests import ChatRequest, Reply
from core.gateway.attempts import AttemptBook
from core.gateway.cache import Cache, CacheSettings
from core.gateway.circuit_breaker import CircuitBreaker
from core.gateway.fallback import Fallback, Fit, Signals
from core.gateway.observe import Observe
from core.gateway.quotas import GuardLimits, RateGuard
from core.gateway.retry import RetryingProvider
from core.gateway.tokens import TokenScale
from core.ports.gateway import Admission, Handler, Observer, Provider, Routing
from core.ports.storage import CacheStore, UsageStore


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stack is made of; everything is handed in and closed by whoever opened it."""

    routing: Routing
    providers: Mapping[str, Provider]
    """ModelSpec.provider -> the provider."""
    admission: Admission
    fit: Fit
    scale: TokenScale
    cache_store: CacheStore
    usage_store: UsageStore
    observers: Sequence[Observer]
    clock: Clock
    random: Callable[[], float]
    """0 to 1, for jitter."""
    limits: GuardLimits = GuardLimits()
    cache: CacheSettings = CacheSettings()
    signals: Signals = Signals()


class Stack:
    """The whole stack: a Handler, with the handles that other parts need."""

    def __init__(self, handler: Handler, cache: Cache, guard: RateGuard, breaker: CircuitBreaker) -> None:
        self._handler = handler
        self.cache = cache
        self.guard = guard
        self.breaker = breaker

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        return await self._handler(request, send)

    def purge(self, user: UserKey) -> int:
        """Forget the cached answers that *user*'s words are in; returns how many."""
        return self.cache.purge(user)


def build_stack(parts: Parts) -> Stack:
    """Put the stages together, from the inside to the outside:

    Retry      around each provider: only there is it known that the very same call may simply be repeated.
    Fallback   around the retries: another model is the answer to what repeating did not mend. It owns the deadline.
    RateGuard  outside the fallback: a request is one request to its asker, however many models it took; what they all
               used is settled together.
    Cache      outside the guard: a hit costs nothing, so it must not use up anybody's share, and an asker at the limit
               still gets what is known already.
    Observe    outermost: hits, refusals and stopped requests are records too, and the time is the asker's.
    """
    clock, book = parts.clock, AttemptBook()
    breaker = CircuitBreaker(clock)
    retrying = {name: RetryingProvider(p, clock, parts.random, book) for name, p in parts.providers.items()}
    fallback = Fallback(
        parts.routing, retrying, parts.admission, breaker, clock, parts.fit, parts.scale, book, parts.signals
    )
    guard = RateGuard(fallback, parts.usage_store, clock, parts.limits, book)
    cache = Cache(guard, parts.cache_store, clock, parts.cache)
    observe = Observe(cache, parts.observers, clock, book)
    return Stack(observe, cache, guard, breaker)
