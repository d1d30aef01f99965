"""While messages wait because no good model answers: ask one that rests every second or so, and wake them when it does.

A waiting run tries again by itself too, with pauses that double; a thousand of them may wait, so they must not all ask
every second. One small question does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from core.base.clock import Clock
from core.domain.errors import (
    ConnectionFailed,
    KeyRejected,
    LimitReached,
    Overloaded,
    ProviderError,
    SpendLimitReached,
    Stalled,
)
from core.domain.events import Event
from core.domain.incoming import UserKey
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import ChatRequest, Text, Turn
from core.gateway.circuit_breaker import CircuitBreaker
from core.ports.gateway import Provider

log: Any = structlog.get_logger(__name__)

PROBE_EVERY_S = 1.2
"""With the answer's own time this brings good answers back within two seconds of the provider's return."""
PROBE_WITHIN_S = 3.0
MOST_PAUSE_S = 60.0
CALM_S = 60.0
"""Who wakes the waiting in vain again and again (the probe is answered, the questions are not) pauses longer; after
this long without one in vain it begins anew."""

_AWAY = (ConnectionFailed, Overloaded, Stalled, LimitReached, KeyRejected, SpendLimitReached)
"""What says that the provider does not answer; other errors are about the question."""


class Prober:
    """`wanted` when a run begins to wait; `run` is the duty."""

    def __init__(
        self,
        models: Callable[[], Sequence[ModelSpec]],
        providers: Mapping[str, Provider],
        breaker: CircuitBreaker,
        wake: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """
        Args:
            models: Those that may be asked, the preferred ones first.
            wake: Lets what waits try again at once.
        """
        self._models = models
        self._providers = providers
        self._breaker = breaker
        self._wake = wake
        self._clock = clock
        self._wanted = asyncio.Event()
        self._in_vain = 0
        self._woken_at = float("-inf")

    def wanted(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            soon = self._clock.monotonic() - self._woken_at < CALM_S
            self._in_vain = self._in_vain + 1 if soon else 0
            await self._until_one_answers()
            self._woken_at = self._clock.monotonic()
            self._wanted.clear()
            await self._wake()

    async def _until_one_answers(self) -> None:
        pause_s = min(PROBE_EVERY_S * 2.0 ** min(self._in_vain, 10), MOST_PAUSE_S)
        while True:
            await self._clock.sleep(pause_s)
            for model in self._candidates():
                if await self._answers(model):
                    log.info("a provider answers again", provider=model.provider, model=model.id)
                    return

    def _candidates(self) -> list[ModelSpec]:
        """One model of each provider that is on this network's other side and not refused us."""
        found: dict[str, ModelSpec] = {}
        for model in self._models():
            if model.tier != "local" and Capability.TEXT in model.capabilities and model.provider in self._providers:
                found.setdefault(model.provider, model)
        return [model for model in found.values() if not self._breaker.provider_rests(model)]

    async def _answers(self, model: ModelSpec) -> bool:
        request = ChatRequest(
            "probe", UserKey("probe", "", ""), (Turn("user", (Text("Say: yes"),)),), max_output_tokens=16, effort="low"
        )
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                await self._providers[model.provider](request, model, _unheard)
        except TimeoutError:
            return False
        except ProviderError as error:
            if isinstance(error, KeyRejected | SpendLimitReached):
                self._breaker.rest_provider(model, error)
            elif isinstance(error, LimitReached) and error.retry_after_s:
                await self._clock.sleep(min(error.retry_after_s, MOST_PAUSE_S))
            return not isinstance(error, _AWAY)
        self._breaker.worked(model)
        return True


async def _unheard(event: Event) -> None:
    """Nobody reads the probe's answer."""
