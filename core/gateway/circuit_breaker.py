"""The circuit breaker: which models and providers are left in peace after a failure, and until when."""

from __future__ import annotations

from dataclasses import dataclass

from core.base.clock import Clock
from core.domain.errors import ProviderError
from core.domain.model_spec import ModelSpec

SCHEDULE_S = (30.0, 60.0, 300.0)
"""Rest after the first, second and every later hard failure in a row; OpenClaw takes the same (facts/peers.md 56)."""

PROBE_S = 15.0
"""While one request tries a model whose rest is over, the others pass it by for this long at most."""

PROVIDER_REST_S = 600.0
"""A rejected key or a used-up account; asked again after this, because the operator may have mended it meanwhile.
Groq's spend tracking lags by 10 to 15 minutes (facts/groq.md 2)."""


@dataclass(slots=True)
class _Rest:
    until: float
    failures: int
    error: ProviderError
    """Why, for the sentence that the reader gets when nobody is left."""


class CircuitBreaker:
    """Rests by model and by provider; in memory, so a restart forgives everything.

    A rest that is over is not forgotten: the next request is a probe, and until it has worked or failed the others keep
    away. So a model that is down costs one request per rest, not one per asker.
    """

    def __init__(self, clock: Clock, *, schedule_s: tuple[float, ...] = SCHEDULE_S) -> None:
        self._clock = clock
        self._schedule_s = schedule_s
        self._rests: dict[str, _Rest] = {}

    def resting(self, model: ModelSpec) -> ProviderError | None:
        """Return why *model* may not be asked now, None when it may."""
        now = self._clock.monotonic()
        for key in _keys(model):
            rest = self._rests.get(key)
            if rest is not None and now < rest.until:
                return rest.error
        return None

    def provider_rests(self, model: ModelSpec) -> bool:
        rest = self._rests.get(_provider_key(model))
        return rest is not None and self._clock.monotonic() < rest.until

    def left_s(self, model: ModelSpec) -> float:
        """Seconds until *model* may be asked; 0 when it may now."""
        rests = (self._rests.get(key) for key in _keys(model))
        until = max((rest.until for rest in rests if rest is not None), default=0.0)
        return max(0.0, until - self._clock.monotonic())

    def begin(self, model: ModelSpec) -> None:
        """*model* is asked now; if it comes out of a rest, this call is the probe."""
        now = self._clock.monotonic()
        for key in _keys(model):
            rest = self._rests.get(key)
            if rest is not None and rest.failures:
                rest.until = now + PROBE_S
            elif rest is not None and rest.until <= now:
                del self._rests[key]

    def worked(self, model: ModelSpec) -> None:
        for key in _keys(model):
            self._rests.pop(key, None)

    def failed(self, model: ModelSpec, error: ProviderError) -> None:
        """A hard failure: rest longer than the last time."""
        known = self._rests.get(_model_key(model))
        failures = known.failures + 1 if known is not None else 1
        wait_s = self._schedule_s[min(failures, len(self._schedule_s)) - 1]
        self._set(_model_key(model), max(wait_s, error.retry_after_s or 0.0), failures, error)

    def rest_for(self, model: ModelSpec, wait_s: float, error: ProviderError) -> None:
        """A used-up window: rest exactly so long, and without a probe afterwards."""
        self._set(_model_key(model), wait_s, 0, error)

    def rest_provider(self, model: ModelSpec, error: ProviderError, wait_s: float = PROVIDER_REST_S) -> None:
        self._set(_provider_key(model), wait_s, 1, error)

    def _set(self, key: str, wait_s: float, failures: int, error: ProviderError) -> None:
        error.__traceback__ = error.__cause__ = error.__context__ = None  # they would keep a whole request alive
        self._rests[key] = _Rest(self._clock.monotonic() + wait_s, failures, error)


def _keys(model: ModelSpec) -> tuple[str, str]:
    return _provider_key(model), _model_key(model)


def _model_key(model: ModelSpec) -> str:
    return f"model:{model.id}"


def _provider_key(model: ModelSpec) -> str:
    return f"provider:{model.provider}"
