"""A scripted provider that lives in memory and keeps the promises of `core.ports.gateway.Provider`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from core.base.clock import Clock, SystemClock
from core.domain.errors import ProviderError, StreamBroken
from core.domain.events import Event, Restarted, Send, Started, TextDelta, ToolCallDelta
from core.domain.incoming import UserKey
from core.domain.model_spec import Capability, ModelSpec, Price
from core.domain.requests import ChatRequest, Finish, Reply, Text, ToolCall, Turn, Usage

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing comes for this long."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class Ends:
    """How the answer ends, where it is not "stop"."""

    finish: Finish


Step: TypeAlias = str | ToolCallDelta | Pause | Ends | Usage | ProviderError | asyncio.Event
"""Text to send, a piece of a tool call, silence, an ending, the usage to report, an error to raise, or an event to wait
for before going on."""

Script: TypeAlias = Iterable[Step] | Callable[[ChatRequest], Iterable[Step]]
"""One answer, or a function that makes it from the request (for a model that continues what it is shown)."""


@dataclass(frozen=True, slots=True)
class Call:
    request: ChatRequest
    model: ModelSpec


class FakeProvider:
    """Plays scripts in order, one per call; `on` keeps separate scripts for one model.

    Started goes out before the first text and before a tool call, not before an error that comes first. A call
    beyond the last script is a mistake of the test, unless `always` gave an answer for that case. A cancelled call
    counts as a closed stream.

        provider = FakeProvider("groq").plays([Overloaded()], ["Hel", "lo"])
    """

    def __init__(self, name: str = "groq", *, clock: Clock | None = None) -> None:
        self.name = name
        self.calls: list[Call] = []
        self.cancelled = 0
        self.open = 0
        """Streams that are running now."""
        self._clock = clock or SystemClock()
        self._scripts: deque[Script] = deque()
        self._by_model: dict[str, deque[Script]] = {}
        self._always: Script | None = None

    def plays(self, *scripts: Script) -> FakeProvider:
        self._scripts.extend(scripts)
        return self

    def on(self, model_id: str, *scripts: Script) -> FakeProvider:
        self._by_model.setdefault(model_id, deque()).extend(scripts)
        return self

    def always(self, script: Script) -> FakeProvider:
        self._always = script
        return self

    @property
    def models(self) -> list[str]:
        """Which models were asked, in order."""
        return [call.model.id for call in self.calls]

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        self.calls.append(Call(request, model))
        script = self._next_script(model)
        steps = list(script(request) if callable(script) else script)
        self.open += 1
        try:
            return await self._play(steps, request, model, send)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.open -= 1

    def _next_script(self, model: ModelSpec) -> Script:
        for scripts in (self._by_model.get(model.id), self._scripts):
            if scripts:
                return scripts.popleft()
        if self._always is None:
            raise AssertionError(f"{self.name} was asked for {model.id} once more than the test scripted")
        return self._always

    async def _play(self, steps: list[Step], request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        text: list[str] = []
        calls: dict[int, ToolCall] = {}
        finish: Finish | None = None
        usage: Usage | None = None
        started = False
        for step in steps:
            if isinstance(step, str | ToolCallDelta) and not started:
                started = True
                await send(Started(model.id, model.provider))
            match step:
                case str():
                    text.append(step)
                    await send(TextDelta(step))
                case ToolCallDelta():
                    known = calls.get(step.index, ToolCall(step.id, step.name, ""))
                    calls[step.index] = replace(known, arguments=known.arguments + step.arguments)
                    await send(step)
                case Pause():
                    await self._clock.sleep(step.duration_s)
                case asyncio.Event():
                    await step.wait()
                case Ends():
                    finish = step.finish
                case Usage():
                    usage = step
                case ProviderError():
                    step.provider = step.provider or model.provider
                    step.model = step.model or model.id
                    raise step
        if not text and not calls:
            broken = StreamBroken("nothing came", provider=model.provider, model=model.id)
            broken.cause_kind = "empty"
            raise broken
        whole = "".join(text)
        return Reply(
            text=whole,
            model=model.id,
            provider=model.provider,
            usage=usage or words_as_tokens(request, whole, model),
            finish=finish or ("tool_calls" if calls else "stop"),
            tool_calls=tuple(calls[index] for index in sorted(calls)),
            provider_request_id=f"req_{len(self.calls)}",
        )


def words_as_tokens(request: ChatRequest, text: str, model: ModelSpec) -> Usage:
    """The fake's price list: every word is a token."""
    prompt = sum(len(turn.text.split()) for turn in request.turns)
    output = len(text.split())
    return Usage(prompt_tokens=prompt, output_tokens=output, cost_usd=model.cost_usd(prompt, 0, output))


def a_model(model_id: str = "big", provider: str = "groq", **changes: object) -> ModelSpec:
    """A capable model for tests; *changes* are any ModelSpec fields."""
    model = ModelSpec(
        id=model_id,
        provider=provider,
        tier="quality",
        context_window=131_072,
        max_output=65_536,
        capabilities=frozenset({Capability.TEXT, Capability.TOOLS, Capability.JSON, Capability.JSON_SCHEMA}),
        price=Price(prompt=1.0, cached=0.5, output=2.0),
        efforts=("low", "medium", "high"),
        default_effort="medium",
    )
    return replace(model, **changes)  # type: ignore[arg-type]


ANN = UserKey("web", "", "ann")
BEN = UserKey("web", "", "ben")


def a_request(words: str = "hi", **changes: object) -> ChatRequest:
    """One question by Ann; *changes* are any ChatRequest fields."""
    request = ChatRequest(request_id="r1", user=ANN, turns=(Turn("user", (Text(words),)),))
    return replace(request, **changes)  # type: ignore[arg-type]


class Heard:
    """A `send` that keeps every event, and what a reader would see of them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.text = ""

    async def __call__(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case TextDelta(text):
                self.text += text
            case Restarted(keep_chars=keep):
                assert keep <= len(self.text), "keeps more than was sent"
                self.text = self.text[:keep]
            case _:
                pass

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]
