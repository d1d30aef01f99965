"""Bytes of a streamed answer -> text, tool calls, usage, or the way it broke. No I/O: hand bytes in, take text out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from core.domain.events import ToolCallDelta
from core.domain.requests import Finish, ToolCall
from core.providers.thinking import ThinkFilter

MAX_LINE_BYTES: Final = 16_000_000
"""Nothing sane sends a longer line; without a bound a broken server could fill the memory."""

FaultKind = Literal["error_event", "x_groq_error", "garbage"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a stream said instead of going on. `body` is the error's own JSON value where there was one."""

    kind: FaultKind
    body: Any


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class Executed(msgspec.Struct, gc=False):
    """A tool that Groq ran itself (facts/groq.md 4)."""

    index: int = 0
    type: str = ""
    name: str | None = None
    arguments: str | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None  # llama.cpp's name for it
    tool_calls: list[_Call] | None = None
    executed_tools: list[Executed] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class _XGroq(msgspec.Struct, gc=False):
    usage: WireUsage | None = None
    error: Any = None
    id: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """Only what is needed: what is not named here is skipped without becoming an object."""

    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    x_groq: _XGroq | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Chunk)

FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class StreamDecoder:
    """Reads one streamed chat completion.

    Promises: any split of the bytes gives the same text, calls and fault; text before a fault is handed out first;
    unknown fields are ignored; reasoning never gets into the text.
    """

    __slots__ = (
        "_calls",
        "_event",
        "_filter",
        "_pending",
        "done",
        "executed",
        "fault",
        "finish",
        "provider_request_id",
        "reasoning",
        "tokens",
        "tool_deltas",
        "usage",
    )

    def __init__(self, *, thinks_in_content: bool = False) -> None:
        """Args:
        thinks_in_content: The model may put its reasoning into the text as <think>...</think>.
        """
        self.finish: Finish | None = None
        self.usage: WireUsage | None = None
        self.fault: Fault | None = None
        self.done = False
        """[DONE] came."""
        self.tokens = 0
        """Chunks that carried text, reasoning or a piece of a call; a role alone is no sign of thinking."""
        self.provider_request_id = ""
        self.reasoning: list[str] = []
        self.tool_deltas: list[ToolCallDelta] = []
        """Pieces of tool calls since the caller last emptied this list."""
        self.executed: dict[int, str] = {}
        """Tools that the provider ran since the caller last emptied this: index -> "browser_search" ..."""
        self._calls: dict[int, ToolCall] = {}
        self._filter = ThinkFilter() if thinks_in_content else None
        self._pending = b""
        self._event = b""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls put together so far, in the order of their index."""
        return tuple(self._calls[index] for index in sorted(self._calls))

    def feed(self, data: bytes) -> str:
        """Take what one read of the socket gave; return the answer's text in it, "" where there was none.

        After a fault or [DONE] everything else is ignored.
        """
        if self.fault is not None or self.done:
            return ""
        if self._pending:
            data = self._pending + data
        end = data.rfind(b"\n") + 1
        self._pending = data[end:]
        if len(self._pending) > MAX_LINE_BYTES:
            self.fault = Fault("garbage", "a line without end")
        texts: list[str] = []
        if end:
            block = data[:end]
            # The usual read holds nothing but "data: {...}" lines. A raw newline cannot stand inside JSON, so cutting
            # the prefixes off leaves lines of JSON, which one C call decodes. Anything else takes the careful way.
            if block.startswith(b"data: {") and not self._event:
                try:
                    chunks = _DECODER.decode_lines(block[6:].replace(b"\ndata: ", b"\n"))
                except msgspec.MsgspecError:
                    self._read_lines(block, texts)
                else:
                    for chunk in chunks:
                        if self._read_chunk(chunk, texts):
                            break
            else:
                self._read_lines(block, texts)
        text = "".join(texts)
        return text if self._filter is None else self._sieved(text, self._filter)

    def close(self) -> str:
        """Say that no more bytes come; returns text that was still held back."""
        texts: list[str] = []
        if self._pending and self.fault is None and not self.done:
            self._read_lines(self._pending + b"\n", texts)
        text = "".join(texts)
        return text if self._filter is None else self._sieved(text, self._filter) + self._filter.close()

    def _sieved(self, text: str, sieve: ThinkFilter) -> str:
        answer, thought = sieve.feed(text) if text else ("", "")
        if thought:
            self.reasoning.append(thought)
        return answer

    def _read_lines(self, block: bytes, texts: list[str]) -> None:
        """Read whole lines; *block* ends with a newline."""
        for raw in block[:-1].split(b"\n"):  # without the last newline, or a blank line would seem to follow it
            line = raw.rstrip(b"\r")
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                if payload == b"[DONE]":
                    self.done = True
                    return
                if payload and self._read_payload(payload, texts):
                    return
            elif line.startswith(b"event:"):
                self._event = line[6:].strip()
            elif not line:
                self._event = b""
            elif line.lstrip().startswith(b"{"):  # bare JSON: some gateways answer an error so, with status 200
                if self._read_payload(line, texts):
                    return
            elif not line.startswith((b":", b"id:", b"retry:")):
                self.fault = Fault("garbage", _excerpt(line))
                return

    def _read_payload(self, payload: bytes, texts: list[str]) -> bool:
        if self._event == b"error":
            self.fault = Fault("error_event", _error_of(payload))
            return True
        try:
            chunk = _DECODER.decode(payload)
        except msgspec.MsgspecError:
            self.fault = Fault("garbage", _excerpt(payload))
            return True
        return self._read_chunk(chunk, texts)

    def _read_chunk(self, chunk: _Chunk, texts: list[str]) -> bool:
        """Returns whether the stream is over because of a fault."""
        finish = None
        if chunk.choices:
            choice = chunk.choices[0]
            delta = choice.delta
            if delta is not None:
                if delta.content:
                    self.tokens += 1
                    texts.append(delta.content)
                elif thought := delta.reasoning or delta.reasoning_content:
                    self.tokens += 1
                    self.reasoning.append(thought)
                if delta.tool_calls:
                    self.tokens += 1
                    for call in delta.tool_calls:
                        self._read_call(call)
                for ran in delta.executed_tools or ():
                    self.tokens += 1
                    self.executed[ran.index] = ran.type or ran.name or ""
            if choice.finish_reason is not None:
                finish = FINISHES.get(choice.finish_reason, "stop")
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.x_groq is not None:
            if chunk.x_groq.id:
                self.provider_request_id = chunk.x_groq.id
            if chunk.x_groq.usage is not None:
                self.usage = chunk.x_groq.usage
            if chunk.x_groq.error:
                self.fault = Fault("x_groq_error", chunk.x_groq.error)
        if chunk.error:
            self.fault = Fault("error_event", chunk.error)
        if self.fault is not None:
            return True
        if finish is not None:
            self.finish = finish
        return False

    def _read_call(self, piece: _Call) -> None:
        function = piece.function or _Function()
        index = piece.index
        if index is None:  # some local servers leave it out: an id then begins the next call
            index = len(self._calls) if piece.id or not self._calls else max(self._calls)
        before = self._calls.get(index)
        if before is None:
            before = ToolCall(piece.id or f"call_{index}", function.name or "", "")
            delta = ToolCallDelta(index, before.id, before.name, function.arguments or "")
        else:
            delta = ToolCallDelta(index, "", "", function.arguments or "")
        self._calls[index] = ToolCall(before.id, before.name, before.arguments + delta.arguments)
        self.tool_deltas.append(delta)


def _error_of(payload: bytes) -> Any:
    try:
        value = msgspec.json.decode(payload)
    except msgspec.MsgspecError:
        return _excerpt(payload)
    return value.get("error", value) if isinstance(value, dict) else value


def _excerpt(line: bytes) -> str:
    return line[:200].decode("utf-8", "replace")
