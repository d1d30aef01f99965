"""Asks one model after the other until one has answered, also when one breaks off in mid-answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from core.base.clock import Clock
from core.domain.errors import (
    CallMalformed,
    ContextTooLong,
    LimitReached,
    NoModelLeft,
    ProviderError,
    Stalled,
    StreamBroken,
    TernError,
    TooLargeForLimit,
)
from core.domain.events import Event, Notice, Send
from core.domain.model_spec import Capability, ModelSpec, Route
from core.domain.requests import Attempt, ChatRequest, Effort, Reply, Usage
from core.gateway.attempts import AttemptBook, total
from core.gateway.circuit_breaker import CircuitBreaker
from core.gateway.continuation import AttemptStream, NoSafeSeam, Seam, Visible, continuation_request
from core.gateway.defects import defect
from core.gateway.error_policy import Again, Rest, consequence_of
from core.gateway.router import needed
from core.gateway.tokens import TokenScale, estimate_request, estimate_tokens
from core.ports.gateway import Admission, Admitted, Later, Never, Provider, Routing

Fit = Callable[[ChatRequest, ModelSpec, TokenScale], tuple[ChatRequest, tuple[Notice, ...]]]

SHORT_WAIT_S = 0.5
"""A window that opens this soon is waited for; beyond it the next model is the faster answer."""

PATIENCE_S = 20.0
"""When every model only waits for its window, the soonest is waited for, at most this long, and once."""

UNSTATED_WINDOW_S = 5.0
"""Rest after a 429 without retry-after."""

TRIM = 0.75
"""Share of a model's context that is filled when it found the whole of it too long: our estimate was off."""

_EFFORTS: tuple[Effort, ...] = ("none", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Signals:
    """Who hears of what the operator must know."""

    alert: Callable[[ProviderError], None] = lambda error: None
    mark_dead: Callable[[str, str], None] = lambda model_id, why: None


class Fallback:
    """Implements Handler over several providers.

    `providers` maps ModelSpec.provider to its (retrying) Provider; a model whose provider is not there is passed by.
    What each error leads to stands in core/gateway/error_policy.py. A model that broke off in mid-answer is not asked
    again for that answer; the next one continues it (core/gateway/continuation). `request.deadline_at` is owned here:
    one timeout around the whole walk.

    Raises NoModelLeft, with the text that stands and the attempts that were made.
    """

    def __init__(
        self,
        routing: Routing,
        providers: Mapping[str, Provider],
        admission: Admission,
        breaker: CircuitBreaker,
        clock: Clock,
        fit: Fit,
        scale: TokenScale,
        book: AttemptBook,
        signals: Signals = Signals(),
    ) -> None:
        self.routing = routing
        self.providers = providers
        self.admission = admission
        self.breaker = breaker
        self.clock = clock
        self.fit = fit
        self.scale = scale
        self.book = book
        self.signals = signals

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        route = self.routing.route(request)
        if not route.models:
            raise NoModelLeft(missing=_missing(request))
        return await _Walk(self, request, route, send).run()


class _Walk:
    """One request on its way along its route."""

    def __init__(self, gateway: Fallback, request: ChatRequest, route: Route, send: Send) -> None:
        self._gateway = gateway
        self._request = request
        self._route = route
        self._clock = gateway.clock
        self._visible = Visible(send)
        self._garbled = False
        """A tool call went wrong in visible text."""
        self._errors: list[ProviderError] = []
        self._done_with: set[str] = set()
        """Models that are not asked again for this request."""
        self._waits: list[float] = []
        self._too_small = 0
        """Models with no more context than this are passed by."""

    async def run(self) -> Reply:
        reply: Reply | None = None
        try:
            async with asyncio.timeout(self._time_left()) as limit:
                reply = await self._pass()
                if reply is None and (wait_s := self._worth_waiting()) is not None:
                    await self._clock.sleep(wait_s)
                    reply = await self._pass()
        except TimeoutError:
            if not limit.expired():
                raise
            self._errors.append(Stalled("the deadline has passed"))
        if reply is None:
            raise NoModelLeft(self._errors, partial_text=self._visible.text, attempts=self._attempts())
        return reply

    async def _pass(self) -> Reply | None:
        """Go along the route once. None when nobody answered."""
        asked = False
        resting: list[ModelSpec] = []
        for model in self._route:
            if not self._may_ask(model):
                continue
            if (reason := self._gateway.breaker.resting(model)) is not None:
                self._errors.append(reason)
                resting.append(model)
                continue
            asked = True
            reply = await self._ask(model)
            if reply is not None or self._stuck:
                return reply
        spared = [model for model in resting if not self._gateway.breaker.provider_rests(model)]
        if spared and not asked:
            # A rest must never be the reason for silence: ask the one that is due soonest.
            return await self._ask(min(spared, key=self._gateway.breaker.left_s))
        return None

    def _may_ask(self, model: ModelSpec) -> bool:
        known = model.provider in self._gateway.providers
        return known and model.id not in self._done_with and model.context_window > self._too_small

    @property
    def _whole_only(self) -> bool:
        """What stands cannot be continued: it is JSON, or a tool call is among it."""
        return self._request.output_format.kind != "text" or self._visible.calls or self._garbled

    @property
    def _stuck(self) -> bool:
        """Something stands that cannot be continued and may not be taken back."""
        return bool(self._visible) and self._whole_only and not self._request.editable

    async def _ask(self, model: ModelSpec) -> Reply | None:
        """Ask *model*, and once more in another form where the table says so."""
        wanted, window = self._wanted(), model
        once_more = True
        while True:
            outcome = await self._attempt(wanted, model, window)
            if outcome is None or isinstance(outcome, Reply):
                return outcome
            self._bear(outcome.error, model)
            if outcome.shown:
                self._done_with.add(model.id)
            again = consequence_of(outcome.error).again
            broke_off = outcome.shown and not self._garbled
            if again is Again.NO or not once_more or broke_off or self._stuck:
                return None
            once_more = False
            match again:
                case Again.HIGHER_EFFORT:
                    wanted = _with_higher_effort(wanted, model)
                case Again.MORE_OUTPUT:
                    wanted = replace(wanted, max_output_tokens=min(2 * outcome.output_tokens, model.max_output))
                case Again.TRIMMED:
                    window = replace(model, context_window=int(model.context_window * TRIM))

    def _wanted(self) -> ChatRequest:
        """The request itself, or the request to continue what stands."""
        text = self._visible.text
        return self._request if self._whole_only or not text.strip() else continuation_request(self._request, text)

    async def _attempt(self, wanted: ChatRequest, model: ModelSpec, window: ModelSpec) -> Reply | _Failed | None:
        """Call *model* once. None when its limits do not allow even that; the errors then say why.

        *window* is *model*, perhaps with a smaller context for `fit` to aim at.
        """
        gateway = self._gateway
        fitted, notices = gateway.fit(wanted, window, gateway.scale)
        prompt_tokens = gateway.scale.of_request(fitted, model.id)
        admitted = await self._admit(model, fitted, prompt_tokens)
        if admitted is None:
            return None
        fitted = replace(fitted, max_output_tokens=admitted.max_output_tokens)
        gateway.breaker.begin(model)
        stream = self._stream(model, notices)
        began_at, began = self._clock.now(), self._clock.monotonic()

        def note(outcome: str, usage: Usage, provider_request_id: str = "") -> None:
            first = None if stream.first_text_at is None else stream.first_text_at - began
            took_s = self._clock.monotonic() - began
            attempt = Attempt(model.provider, model.id, began_at, took_s, first, outcome, usage, provider_request_id)
            gateway.book.add(self._request.request_id, attempt)

        try:
            reply = await gateway.providers[model.provider](fitted, model, stream)
            await stream.finish()
        except ProviderError as failure:
            error = failure
        except NoSafeSeam:
            error = StreamBroken("it started over, and here it may not", provider=model.provider, model=model.id)
        except BaseException as end:
            if isinstance(end, Exception) and not isinstance(end, TernError) and not stream.let_through(end):
                error = defect(end, provider=model.provider, model=model.id)
            else:
                # Stopped by the asker, by the deadline, or by a reader that is gone: the tokens are spent all the same.
                gateway.admission.settle(admitted.ticket, None)
                outcome = "stopped" if isinstance(end, asyncio.CancelledError) else type(end).__name__
                note(outcome, _guess(prompt_tokens, stream, model))
                raise
        else:
            gateway.admission.settle(admitted.ticket, reply.usage)
            gateway.scale.correct(model.id, estimate_request(fitted), reply.usage.prompt_tokens)
            gateway.breaker.worked(model)
            note("ok", reply.usage, reply.provider_request_id)
            attempts = self._attempts()
            text = self._visible.text if stream.joined else reply.text
            citations = () if stream.joined else reply.citations  # they say where in this model's own text
            return replace(reply, text=text, usage=total(attempts), attempts=attempts, citations=citations)
        spent = error.usage or _guess(prompt_tokens, stream, model)
        gateway.admission.settle(admitted.ticket, spent)
        note(type(error).__name__, spent, error.request_id)
        self._garbled = self._garbled or (isinstance(error, CallMalformed) and stream.opened)
        return _Failed(error, stream.opened, admitted.max_output_tokens)

    async def _admit(self, model: ModelSpec, fitted: ChatRequest, prompt_tokens: int) -> Admitted | None:
        output_tokens = fitted.max_output_tokens or model.max_output
        admit = self._gateway.admission.admit
        verdict = admit(model, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        if isinstance(verdict, Later) and verdict.wait_s <= SHORT_WAIT_S:
            await self._clock.sleep(verdict.wait_s)
            verdict = admit(model, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        match verdict:
            case Admitted():
                return verdict
            case Later(kind, wait_s):
                self._waits.append(wait_s)
                self._errors.append(
                    LimitReached(f"{kind} used up", provider=model.provider, model=model.id, retry_after_s=wait_s)
                )
            case Never(kind, limit):
                never = TooLargeForLimit(f"above the limit on {kind}", provider=model.provider, model=model.id)
                never.limit = limit
                self._errors.append(never)
                self._done_with.add(model.id)
        return None

    def _stream(self, model: ModelSpec, notices: tuple[Notice, ...]) -> AttemptStream:
        text = self._visible.text
        opening = (*self._introduction(model), *notices)
        if self._whole_only or not text.strip():
            anew = self._whole_only and bool(self._visible)
            return AttemptStream(self._visible, model, self._clock, opening=opening, anew=anew)
        seam = Seam(text, editable=self._request.editable)
        return AttemptStream(self._visible, model, self._clock, seam=seam)

    def _introduction(self, model: ModelSpec) -> tuple[Event, ...]:
        first = self._route.models[0]
        if model.provider == "local":
            wanted = {} if first.provider == "local" else {"wanted": first.id}
            return (Notice("local", {"model": model.id, **wanted}),)
        return () if model.id == first.id else (Notice("fallback", {"model": model.id, "wanted": first.id}),)

    def _bear(self, error: ProviderError, model: ModelSpec) -> None:
        """Draw the table's consequences, for the rest of this walk and for later requests."""
        gateway, row = self._gateway, consequence_of(error)
        self._errors.append(error)
        if row.alert:
            gateway.signals.alert(error)
        if isinstance(error, LimitReached | TooLargeForLimit):
            gateway.admission.learn(model, error)
        if isinstance(error, ContextTooLong):
            self._too_small = max(self._too_small, model.context_window)
        match row.rest:
            case Rest.WINDOW:
                wait_s = error.retry_after_s if error.retry_after_s is not None else UNSTATED_WINDOW_S
                self._waits.append(wait_s)
                gateway.breaker.rest_for(model, wait_s, error)
            case Rest.MODEL:
                gateway.breaker.failed(model, error)
            case Rest.PROVIDER:
                gateway.breaker.rest_provider(model, error)
            case Rest.FOREVER:
                gateway.signals.mark_dead(model.id, error.detail or "the provider no longer offers it")
            case Rest.NOBODY:
                pass
        if row.rest is not Rest.WINDOW:
            self._done_with.add(model.id)

    def _worth_waiting(self) -> float | None:
        """How long to wait for the soonest window, None where that is too long."""
        if not self._waits or self._stuck:
            return None
        wait_s, left_s = min(self._waits), self._time_left()
        return wait_s if wait_s <= PATIENCE_S and (left_s is None or wait_s < left_s) else None

    def _time_left(self) -> float | None:
        """Seconds until the deadline; None where there is none."""
        deadline_at = self._request.deadline_at
        return None if deadline_at is None else max(0.0, deadline_at - self._clock.now())

    def _attempts(self) -> tuple[Attempt, ...]:
        return self._gateway.book.of(self._request.request_id)


@dataclass(frozen=True, slots=True)
class _Failed:
    error: ProviderError
    shown: bool
    """Whether the reader has seen something of this attempt."""
    output_tokens: int
    """How long the answer was allowed to be."""


def _guess(prompt_tokens: int, stream: AttemptStream, model: ModelSpec) -> Usage:
    """What an attempt without a report has cost. Nothing where the model never began: 4xx and 5xx are free."""
    if not stream.started:
        return Usage()
    output_tokens = estimate_tokens(stream.said())
    cost_usd = model.cost_usd(prompt_tokens, 0, output_tokens)
    return Usage(prompt_tokens, output_tokens=output_tokens, cost_usd=cost_usd, estimated=True)


def _with_higher_effort(request: ChatRequest, model: ModelSpec) -> ChatRequest:
    """The next effort *model* takes above the present one; at the top, or without efforts, temperature 0."""
    efforts = model.efforts
    present = request.effort or model.default_effort
    above = efforts[efforts.index(present) + 1 :] if present in efforts else ()
    higher: Effort | None = next((effort for effort in _EFFORTS if effort in above), None)
    return replace(request, temperature=0.0) if higher is None else replace(request, effort=higher)


def _missing(request: ChatRequest) -> str:
    """The rarest capability that *request* needs: the one to name when no model has them all."""
    rarest = (Capability.VISION, Capability.AUDIO, Capability.JSON_SCHEMA, Capability.JSON, Capability.TOOLS)
    needs = needed(request)
    return next((capability.value for capability in rarest if capability in needs), Capability.TEXT.value)
