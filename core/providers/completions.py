"""One chat request to one model: sent, read to its end or its failure, and accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal

from core.base.foreign import count
from core.domain.errors import ProviderError, Stalled
from core.domain.events import Notice, Send, Started, TextDelta, ToolCallDelta
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Citation, Finish, Reply, ToolCall, Usage
from core.gateway.tokens import estimate_request, estimate_tokens
from core.providers.callers import Caller
from core.providers.chunks import WireUsage
from core.providers.citations import footnotes
from core.providers.completion import WholeAnswer, read_whole
from core.providers.connections import LOST, Body, told
from core.providers.failures import StreamCause, broken, error_for_fault
from core.providers.idle_watchdog import Silence
from core.providers.sse import MAX_EVENT_BYTES
from core.providers.stream import Fault, StreamDecoder
from core.providers.thinking import ThinkFilter, thinks_unopened
from core.providers.timeouts import Timeouts
from core.providers.wire import Flavour, chat_body, streams


class Completions:
    """Implements Provider over any Caller; what differs between providers is in `flavour` and `timeouts`.

    The text of one network read is one TextDelta. A ProviderError carries the usage of what came before it.
    """

    def __init__(self, provider: str, flavour: Flavour, caller: Caller, timeouts: Timeouts) -> None:
        self._provider = provider
        self._flavour = flavour
        self._caller = caller
        self._timeouts = timeouts

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        """See Provider."""
        await self._caller.ready()
        call = _Call(self._provider, request, model, send)
        try:
            if streams(request, model):
                await self._stream(call)
            else:
                await self._ask_whole(call)
            return call.reply()
        except ProviderError as error:
            error.usage = call.usage() if call.texts or call.thoughts or call.reported else None
            raise

    async def _stream(self, call: _Call) -> None:
        limits = self._timeouts
        decoder = StreamDecoder(
            thinks_in_content=self._thinks_in_content(call.model),
            thinks_unopened=thinks_unopened(call.model),
            cites=call.request.output_format.kind == "text",
            max_chars=call.max_chars,
        )
        call.thoughts = decoder.reasoning
        sent_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(limits.first_token_s) as deadline:
                answer = await self._caller.chat(chat_body(call.request, call.model, self._flavour), call.model)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise call.stalled(limits.first_token_s, first=True) from error
        call.request_id = answer.request_id
        left_s = limits.first_token_s - (asyncio.get_running_loop().time() - sent_at)
        whole = False
        try:
            with Silence(answer.body, left_s) as silence:
                lost = await self._read(answer.body, decoder, call, silence)
            whole = decoder.done
        finally:
            if whole:
                answer.body.leave(limits.linger_s)
            else:
                answer.body.close()
        call.finish, call.reported, call.calls = decoder.finish, decoder.usage, decoder.tool_calls
        call.request_id = decoder.provider_request_id or call.request_id
        call.ran = decoder.ran.names
        if decoder.finish is not None:
            call.citations = decoder.citations
            if call.citations and not call.calls:
                await call.tell(footnotes(call.citations), [])
            return
        if decoder.fault is not None:
            raise call.faulty(decoder.fault)
        if silence.expired:
            raise call.stalled(limits.silence_s if decoder.tokens else limits.first_token_s, first=not decoder.tokens)
        if lost is not None:
            raise call.broken("closed", told(lost)) from lost
        raise call.broken("no_finish" if decoder.tokens else "empty")

    async def _read(self, body: Body, decoder: StreamDecoder, call: _Call, silence: Silence) -> Exception | None:
        """Hand on what comes until nothing more does; returns why the connection was lost, None where it ended."""
        lost: Exception | None = None
        tokens = 0
        while True:
            try:
                data = await body.read()
            except LOST as error:
                data, lost = b"", error
            text = decoder.feed(data) if data else ""
            over = not data or decoder.over
            if over:
                text += decoder.close()
            if text or decoder.tool_deltas or decoder.executed:
                silence.rest()
                if decoder.executed:
                    await call.tell_of(decoder.executed)
                    decoder.executed.clear()
                await call.tell(text, decoder.tool_deltas)
                decoder.tool_deltas.clear()
            if over:
                return lost
            data = b""  # it would be held while the next read waits
            if decoder.tokens > tokens:
                tokens = decoder.tokens  # whatever was handed on was a token
                silence.heard()
            if decoder.finish is not None:
                silence.allow(self._timeouts.last_words_s)
            elif tokens:
                silence.allow(self._timeouts.silence_s)

    async def _ask_whole(self, call: _Call) -> None:
        """Ask without streaming and deliver the answer as one delta."""
        limit_s = self._timeouts.whole_s(call.model, call.request.max_output_tokens or call.model.max_output)
        try:
            async with asyncio.timeout(limit_s) as deadline:
                answer = await self._caller.chat(chat_body(call.request, call.model, self._flavour), call.model)
                call.request_id = answer.request_id
                with closing(answer.body) as body:
                    raw = await body.read_all(MAX_EVENT_BYTES)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise call.stalled(limit_s, first=True) from error
        except ConnectionError as error:
            raise call.broken("closed", str(error)) from error
        whole = read_whole(raw)
        if isinstance(whole, Fault):
            raise call.faulty(whole)
        text, thought = whole.text, ""
        if self._thinks_in_content(call.model):
            text, thought = _without_thinking(whole, opened=thinks_unopened(call.model))
        if len(text) + len(whole.reasoning) > call.max_chars:
            text, whole = text[: call.max_chars], replace(whole, finish="length")
        call.thoughts = [whole.reasoning + thought]
        call.ran = whole.ran.names
        call.finish, call.reported, call.calls = whole.finish, whole.usage, whole.tool_calls
        call.request_id = whole.request_id or call.request_id
        deltas = [ToolCallDelta(i, one.id, one.name, one.arguments) for i, one in enumerate(whole.tool_calls)]
        if text or deltas:
            await call.tell(text, deltas)

    def _thinks_in_content(self, model: ModelSpec) -> bool:
        """Whether <think> at the head of a text is reasoning. OpenAI's and gpt-oss's have a field of their own."""
        return self._flavour != "openai" and "reasoning_format" not in model.refuses


@dataclass(slots=True)
class _Call:
    """One call under way: who is asked, and what has come so far."""

    provider: str
    request: ChatRequest
    model: ModelSpec
    send: Send
    started: bool = False
    request_id: str = ""
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    reported: WireUsage | None = None
    ran: tuple[str, ...] = ()
    """Tools that the provider ran, one entry for each time."""
    citations: tuple[Citation, ...] = ()

    async def tell_of(self, executed: Iterable[str]) -> None:
        """Say what the provider did by itself; like every tool's line it disappears into the answer."""
        for name in executed:
            await self.send(Notice("tool", {"label": _DOING.get(name, "Using a tool")}))

    async def tell(self, text: str, deltas: list[ToolCallDelta]) -> None:
        if not self.started:
            self.started = True
            await self.send(Started(self.model.id, self.provider))
        if text:
            self.texts.append(text)
            await self.send(TextDelta(text))
        for delta in deltas:
            await self.send(delta)

    def reply(self) -> Reply:
        """The whole answer. Raises StreamBroken("empty") where it says nothing, though it should have."""
        text = "".join(self.texts)
        may_be_empty = self.calls or self.request.stop or self.finish == "content_filter"
        if not text.strip() and not may_be_empty:
            # Mostly reasoning that used up the whole answer (facts/groq.md 7.6): another model may do better.
            raise self.broken("empty", f"finish reason {self.finish}")
        return Reply(
            text=text,
            model=self.model.id,
            provider=self.provider,
            usage=self.usage(),
            finish=self._finish(),
            tool_calls=self.calls,
            reasoning="".join(self.thoughts),
            provider_request_id=self.request_id,
            citations=self.citations,
        )

    def _finish(self) -> Finish:
        if self.calls:
            return "tool_calls"
        return "stop" if self.finish in (None, "tool_calls") else self.finish

    @property
    def max_chars(self) -> int:
        """How long an answer may get before somebody must have lost count: thoughts and calls are in it."""
        allowed = min(self.request.max_output_tokens or self.model.max_output, self.model.max_output)
        return max(_LEAST_CHARS, allowed * _CHARS_A_TOKEN)

    def usage(self) -> Usage:
        """What it cost: as reported, else estimated from what was sent and received."""
        prompt, output = self._reported("prompt_tokens"), self._reported("completion_tokens")
        if self.reported is None or prompt is None or prompt > _BELIEVED * self.model.context_window:
            prompt = estimate_request(self.request)
            reasoning = estimate_tokens("".join(self.thoughts))
            output = reasoning + estimate_tokens("".join(self.texts) + "".join(one.arguments for one in self.calls))
            cost_usd = self.model.cost_usd(prompt, 0, output) + self._uses_usd
            return Usage(prompt, 0, output, reasoning, cost_usd=cost_usd, estimated=True)
        output = min(output or 0, _BELIEVED * self.model.context_window)
        prompt_details, output_details = self.reported.prompt_tokens_details, self.reported.completion_tokens_details
        cached = min(count(prompt_details.cached_tokens if prompt_details else None) or 0, prompt)
        reasoning = min(count(output_details.reasoning_tokens if output_details else None) or 0, output)
        return Usage(
            prompt, cached, output, reasoning, cost_usd=self.model.cost_usd(prompt, cached, output) + self._uses_usd
        )

    @property
    def _uses_usd(self) -> float:
        return sum(self.model.price.uses.get(name, 0.0) for name in self.ran)

    def _reported(self, name: Literal["prompt_tokens", "completion_tokens"]) -> int | None:
        return count(getattr(self.reported, name)) if self.reported is not None else None

    def broken(self, cause: StreamCause, detail: str = "") -> ProviderError:
        return broken(cause, provider=self.provider, model=self.model.id, request_id=self.request_id, detail=detail)

    def faulty(self, fault: Fault) -> ProviderError:
        return error_for_fault(fault, provider=self.provider, model=self.model.id, request_id=self.request_id)

    def stalled(self, silence_s: float, *, first: bool) -> Stalled:
        error = Stalled(
            f"silent for {silence_s:g} s", provider=self.provider, model=self.model.id, request_id=self.request_id
        )
        error.silence_s = silence_s
        error.first = first
        return error


_CHARS_A_TOKEN = 16
"""Four times the usual: a model that writes more has lost its limit, or is none."""

_LEAST_CHARS = 20_000

_BELIEVED = 2
"""A report of more tokens than so many of the model's contexts is a mistake, and would be charged to people."""

_DOING = {
    "browser_search": "Searching the web",
    "browser_open": "Reading a page",
    "browser_find": "Reading a page",
    "code_interpreter": "Running code",
    "python": "Running code",
}
"""Groq's names for what it ran -> what the reader sees."""


def _without_thinking(whole: WholeAnswer, *, opened: bool) -> tuple[str, str]:
    """(answer, thought) of its text."""
    sieve = ThinkFilter(opened=opened and not whole.reasoning)
    answer, thought = sieve.feed(whole.text)
    rest, last = sieve.close(whole=whole.finish in ("stop", None))
    return answer + rest, thought + last
