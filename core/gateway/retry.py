"""Asks the same model once more, while the reader has seen nothing of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState

from core.base.clock import Clock
from core.domain.errors import LimitReached, Overloaded, ProviderError
from core.domain.events import Event, Send, TextDelta, ToolCallDelta
from core.domain.model_spec import ModelSpec
from core.domain.requests import Attempt, ChatRequest, Reply, Usage
from core.gateway.attempts import AttemptBook
from core.gateway.error_policy import consequence_of
from core.ports.gateway import Provider

FIRST_BACKOFF_S = 0.25
"""Doubled for each further try, plus up to half of itself as jitter: an answer should come, not a queue."""

LONGEST_WAIT_S = 2.0
"""A provider that asks for more patience is left to the fallback: another model answers sooner."""


def pause_s(error: ProviderError, tried: int, luck: float, left_s: float | None) -> float | None:
    """Return how long to wait before the same model is asked again, None when it is not.

    Args:
        tried: How often it has failed, from 1.
        luck: 0 to 1, for the jitter.
        left_s: Until the deadline; a wait that does not fit is no wait.
    """
    if tried > consequence_of(error).retries:
        return None
    told_s = error.retry_after_s
    if isinstance(error, Overloaded):
        wait_s = FIRST_BACKOFF_S * 2 ** (tried - 1) * (1 + luck / 2) if told_s is None else told_s
    elif isinstance(error, LimitReached):
        if told_s is None:
            return None
        wait_s = told_s
    else:
        wait_s = 0.0  # a closed connection or an odd answer: waiting changes nothing
    fits = wait_s <= LONGEST_WAIT_S and (left_s is None or wait_s < left_s)
    return wait_s if fits else None


class RetryingProvider:
    """A Provider around a Provider. Retries stop with the first piece of text or of a tool call.

    *random* gives numbers from 0 to 1. Tries that failed are written into *book*; the last one is the caller's to
    write, because only the caller knows what it showed.
    """

    def __init__(self, provider: Provider, clock: Clock, random: Callable[[], float], book: AttemptBook) -> None:
        self._provider = provider
        self._clock = clock
        self._random = random
        self._book = book

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        tries = _Tries(self._clock, self._random, request, model, send, self._book)
        retrying = AsyncRetrying(
            sleep=self._clock.sleep,
            retry=tries.should_go_on,
            wait=tries.wait_s,
            before=tries.begins,
            before_sleep=tries.failed,
            reraise=True,
        )
        return await retrying(self._provider, request, model, tries.send)


class _Tries:
    """One call's tries, as tenacity asks about them."""

    def __init__(
        self,
        clock: Clock,
        random: Callable[[], float],
        request: ChatRequest,
        model: ModelSpec,
        send: Send,
        book: AttemptBook,
    ) -> None:
        self._clock = clock
        self._random = random
        self._request = request
        self._model = model
        self._send = send
        self._book = book
        self._shown = False
        self._pause_s = 0.0
        self._began_at = 0.0
        self._began = 0.0

    def send(self, event: Event) -> Awaitable[None]:
        if type(event) is TextDelta or type(event) is ToolCallDelta:
            self._shown = True
        return self._send(event)

    def begins(self, state: RetryCallState) -> None:
        self._began_at, self._began = self._clock.now(), self._clock.monotonic()

    def should_go_on(self, state: RetryCallState) -> bool:
        error = _error_of(state)
        if error is None or self._shown:
            return False
        deadline_at = self._request.deadline_at
        left_s = None if deadline_at is None else deadline_at - self._clock.now()
        pause = pause_s(error, state.attempt_number, self._random(), left_s)
        self._pause_s = pause or 0.0
        return pause is not None

    def wait_s(self, state: RetryCallState) -> float:
        return self._pause_s

    def failed(self, state: RetryCallState) -> None:
        error = _error_of(state)
        took_s = self._clock.monotonic() - self._began
        outcome = type(error).__name__
        request_id = error.request_id if error is not None else ""
        spent = (error.usage if error is not None else None) or Usage()
        self._book.add(
            self._request.request_id,
            Attempt(self._model.provider, self._model.id, self._began_at, took_s, None, outcome, spent, request_id),
        )


def _error_of(state: RetryCallState) -> ProviderError | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error if isinstance(error, ProviderError) else None
