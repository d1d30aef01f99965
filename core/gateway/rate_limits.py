"""Rate limits: what each model's minute and day can still carry, so that the same limit is never run into twice.

Counted here from the published limits, corrected by the headers of every answer; what no header shows (requests per
minute, tokens per day, input and output tokens per minute) is learned from the first refusal that names it.

A window is a bucket that drains all the time, as Groq's are: limit 14400, remaining 14370, reset 2m59.56s is thirty
requests at six seconds each (https://console.groq.com/docs/rate-limits, read 2026-11-22).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from core.base.clock import Clock
from core.base.foreign import count
from core.domain.errors import LimitReached, ProviderError, TooLargeForLimit
from core.domain.model_spec import ModelSpec
from core.domain.requests import Usage
from core.ports.gateway import Admitted, Later, Never

Source = Literal["published", "confirmed", "header", "learned"]

LEAST_OUTPUT: Final = 256
"""A window too small for so short an answer beside the prompt is too small for the request."""

WORTHWHILE_OUTPUT: Final = 512
"""An answer is not squeezed below this for what is used up right now: waiting or another model is better."""

UNSTATED_WAIT_S: Final = 5.0
"""After a refusal that names no time."""

_ROUNDING_S: Final = 1e-6

_WINDOW_S: Final = {"M": 60.0, "H": 3_600.0, "D": 86_400.0}
_BELIEVED: Final = 10**12
"""No limit is larger; a header may say anything."""

_UNSEEN: Final = ("RPM", "TPD", "ITPM", "OTPM")
"""Kinds that no header of Groq's shows."""

Verdict: TypeAlias = Admitted | Later | Never


@dataclass(slots=True)
class _Window:
    kind: str
    limit: int
    source: Source
    level: float = 0.0
    at: float = 0.0
    blocked_until: float = 0.0
    margin: float = 1.0
    """Below 1 after the provider counted more than we did: so much of the limit is used."""

    @property
    def usable(self) -> float:
        return self.limit * self.margin

    @property
    def window_s(self) -> float:
        return _WINDOW_S[self.kind[-1]]

    def drain(self, now: float) -> None:
        self.level = max(0.0, self.level - (now - self.at) * self.limit / self.window_s)
        self.at = now

    def output_room(self, prompt: int, *, empty: bool = False) -> float:
        """How many tokens of answer fit beside *prompt*: now, or if nothing else had been used. May be negative."""
        left = self.usable - (0.0 if empty else self.level)
        match self.kind:
            case "TPM" | "TPD":
                return left - prompt
            case "OTPM":
                return left
            case "ITPM":
                return math.inf if prompt <= self.usable else -math.inf
            case _:
                return math.inf

    def wait_s(self, amount: float, now: float) -> float:
        """How long until *amount* fits; call `drain` first."""
        full = (self.level + amount - self.usable) * self.window_s / self.limit
        return max(full if full > _ROUNDING_S else 0.0, self.blocked_until - now, 0.0)


@dataclass(frozen=True, slots=True)
class _Reservation:
    model: str
    prompt: int
    output: int

    def amount(self, kind: str) -> int:
        match kind:
            case "RPM" | "RPD":
                return 1
            case "ITPM":
                return self.prompt
            case "OTPM":
                return self.output
            case "TPM" | "TPD":
                return self.prompt + self.output
            case _:
                return 0


@dataclass(frozen=True, slots=True)
class KeptWindow:
    """What is worth knowing of one window after a restart. Times are seconds since the epoch."""

    limit: int
    level: float
    at: float
    """When `level` was true."""
    blocked_until: float
    learned: bool
    """Whether the limit came from a refusal; else only the level is of use."""
    margin: float


Kept: TypeAlias = Mapping[str, Mapping[str, KeptWindow]]
"""Model id -> kind of limit -> its window."""


@dataclass(slots=True)
class _Model:
    provider: str
    windows: dict[str, _Window] = field(default_factory=dict)


class RateLimits:
    """Implements Admission in memory, for one process.

    The published limits are the free plan's. Until a provider's header has shown which plan it is, they make requests
    wait but never refuse one for good; a header with another figure drops those that no header shows.

    A restart forgets it; whoever wants it kept stores `kept()` and hands it to `recall` (bot/duties/limits.py does).

    Weakness: other processes with the same key are noticed by the next header only.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._models: dict[str, _Model] = {}
        self._open: dict[int, _Reservation] = {}
        self._tickets = 0
        self._plans: dict[str, Literal["published", "other"]] = {}
        self._recalled: dict[str, Mapping[str, KeptWindow]] = {}

    def admit(self, model: ModelSpec, *, prompt_tokens: int, output_tokens: int) -> Verdict:
        """See Admission. The granted output may be shorter than asked for, down to a worthwhile length."""
        now = self._clock.monotonic()
        windows = list(self._windows(model).values())
        granted: float = output_tokens
        for window in windows:
            window.drain(now)
            room = window.output_room(prompt_tokens, empty=True)
            if room >= min(output_tokens, LEAST_OUTPUT):
                granted = min(granted, room)
            elif window.source != "published":
                return Never(window.kind, window.limit)
        # A window that even empty would not do is a published one of a plan that may not be ours: try, and learn.
        windows = [window for window in windows if window.output_room(prompt_tokens, empty=True) >= granted]
        for window in windows:
            granted = min(granted, max(window.output_room(prompt_tokens), min(granted, WORTHWHILE_OUTPUT)))
        wanted = _Reservation(model.id, prompt_tokens, int(granted))
        waits = {window.kind: window.wait_s(wanted.amount(window.kind), now) for window in windows}
        slowest = max(waits, key=waits.__getitem__, default="")
        if waits.get(slowest, 0.0) > 0:
            return Later(slowest, waits[slowest])
        for window in windows:
            window.level += wanted.amount(window.kind)
        self._tickets += 1
        self._open[self._tickets] = wanted
        return Admitted(self._tickets, wanted.output)

    def settle(self, ticket: int, usage: Usage | None) -> None:
        """See Admission. Cached tokens do not count (facts/groq.md 2); unknown tickets are ignored."""
        reserved = self._open.pop(ticket, None)
        if reserved is None or usage is None:
            return
        used = _Reservation(reserved.model, usage.prompt_tokens - usage.cached_tokens, usage.output_tokens)
        now = self._clock.monotonic()
        for window in self._models[reserved.model].windows.values():
            window.drain(now)
            spent = usage.audio_s if window.kind.startswith("AS") else used.amount(window.kind)
            window.level = max(0.0, window.level + spent - reserved.amount(window.kind))

    def read_headers(self, model: ModelSpec, headers: Mapping[str, str]) -> None:
        """See Admission. Names in lower case. Groq counts requests by the day there, everybody else by the minute."""
        for kind, name in (("RPD" if model.provider == "groq" else "RPM", "requests"), ("TPM", "tokens")):
            limit = _whole(headers.get(f"x-ratelimit-limit-{name}"))
            remaining = _whole(headers.get(f"x-ratelimit-remaining-{name}"))
            if not limit or remaining is None:
                continue
            if kind == "TPM":
                self._recognise_plan(model, limit)
            window = self._window(model, kind, limit, "header")
            # The headers may be older than requests that went out meanwhile, and answers overtake each other: what is
            # used lies between what they say and that plus what is in flight. Our own count says where.
            in_flight = sum(one.amount(kind) for one in self._open.values() if one.model == model.id)
            window.level = min(max(window.level, limit - remaining), limit - remaining + in_flight)

    def learn(self, model: ModelSpec, error: ProviderError) -> None:
        """See Admission."""
        now = self._clock.monotonic()
        match error:
            case TooLargeForLimit() if error.limit and error.limit_kind in _KINDS:
                known = self._windows(model).get(error.limit_kind)
                surprise = known is not None and known.limit == error.limit and known.source != "published"
                window = self._window(model, error.limit_kind, error.limit, "learned")
                if surprise:  # we thought that it fits: the provider counts more tokens than we do
                    window.margin = max(0.5, window.margin * 0.9)
            case LimitReached() if error.limit_kind in _KINDS:
                known = self._windows(model).get(error.limit_kind)
                limit = error.limit or (known.limit if known else None)
                wait_s = UNSTATED_WAIT_S if error.retry_after_s is None else error.retry_after_s
                if limit:
                    window = self._window(model, error.limit_kind, limit, "learned")
                    # The text rounds what is used.
                    window.level = max(window.level, limit if error.used is None else error.used + 1)
                    window.blocked_until = now + wait_s
            case _:
                pass

    def kept(self) -> Kept:
        """Return what no header will tell again: the limits learned from refusals, and how much of a day is used."""
        mono, wall = self._clock.monotonic(), self._clock.now()

        def keep(window: _Window) -> KeptWindow:
            window.drain(mono)
            blocked_until = wall + window.blocked_until - mono if window.blocked_until > mono else 0.0
            learned = window.source == "learned"
            return KeptWindow(window.limit, window.level, wall, blocked_until, learned, window.margin)

        found = {
            model_id: {
                kind: keep(window)
                for kind, window in state.windows.items()
                if window.source == "learned" or (kind.endswith("D") and window.level)
            }
            for model_id, state in self._models.items()
        }
        return {**self._recalled, **{model_id: windows for model_id, windows in found.items() if windows}}

    def recall(self, kept: Kept) -> None:
        """Take up what a former process knew; call it before the first `admit`. SlidingWindows known already stay."""
        self._recalled = {model_id: windows for model_id, windows in kept.items() if model_id not in self._models}

    def _take_up(self, model: ModelSpec, state: _Model) -> None:
        mono, wall = self._clock.monotonic(), self._clock.now()
        for kind, former in self._recalled.pop(model.id, {}).items():
            if former.limit <= 0 or kind not in _KINDS or not (former.learned or kind in state.windows):
                continue
            window = state.windows.setdefault(kind, _Window(kind, former.limit, "learned"))
            if former.learned:
                window.limit, window.source, window.margin = former.limit, "learned", former.margin
            window.level, window.at = former.level, mono - max(0.0, wall - former.at)
            window.blocked_until = mono + max(0.0, former.blocked_until - wall)

    def _recognise_plan(self, model: ModelSpec, tokens_per_minute: int) -> None:
        """Whether the published limits hold shows in the one figure that is both published and in a header."""
        published = model.limits.get("TPM")
        if published is None or model.provider in self._plans:
            return
        plan: Literal["published", "other"] = "published" if published == tokens_per_minute else "other"
        self._plans[model.provider] = plan
        for state in self._models.values():
            if state.provider == model.provider:
                _apply(plan, state.windows)

    def _windows(self, model: ModelSpec) -> dict[str, _Window]:
        state = self._models.get(model.id)
        if state is None:
            state = self._models[model.id] = _Model(model.provider)
            now = self._clock.monotonic()
            for kind, limit in model.limits.items():
                if kind in _KINDS and limit > 0:
                    state.windows[kind] = _Window(kind, limit, "published", at=now)
            if "TPM" not in model.limits:  # stated by the operator, not the published plan: it holds as it is
                _apply("published", state.windows)
            elif plan := self._plans.get(model.provider):
                _apply(plan, state.windows)
            self._take_up(model, state)
        return state.windows

    def _window(self, model: ModelSpec, kind: str, limit: int, source: Source) -> _Window:
        windows = self._windows(model)
        window = windows.setdefault(kind, _Window(kind, limit, source))
        window.drain(self._clock.monotonic())
        window.limit = limit
        window.source = source
        return window


_KINDS: Final = ("RPM", "RPD", "TPM", "TPD", "ITPM", "OTPM", "ASH", "ASD")


def _apply(plan: Literal["published", "other"], windows: dict[str, _Window]) -> None:
    for kind, window in list(windows.items()):
        if window.source != "published":
            continue
        if plan == "published":
            window.source = "confirmed"
        elif kind in _UNSEEN:
            del windows[kind]


def _whole(text: str | None) -> int | None:
    return count(text, most=_BELIEVED) if text and text.isdecimal() else None
