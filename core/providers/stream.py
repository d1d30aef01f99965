"""Bytes of a streamed answer -> text, tool calls, usage, or the way it broke. No I/O: hand bytes in, take text out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.base.foreign import Malformed, json_value, whole_text
from core.domain.events import ToolCallDelta
from core.domain.requests import Citation, Finish, ToolCall
from core.providers.chunks import DECODER, Chunk, Delta, WireUsage, careful_chunk
from core.providers.citations import CitationFilter
from core.providers.executed import RanBook
from core.providers.sse import DONE, STRAY, SseReader
from core.providers.thinking import ThinkFilter
from core.providers.tool_calls import CallBook
from core.providers.vocabulary import Ending, ending_of

MAX_CHARS: Final = 4_000_000
"""Of one answer with its thoughts and calls, where nobody says how long it may be."""

MAX_ERROR_BYTES: Final = 16_000
"""Of an error that is no JSON."""

FaultKind = Literal["error_event", "x_groq_error", "garbage"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a stream said instead of going on. `body` is the error's own JSON value where there was one; for garbage it
    says how it was read, since people's words may be in it."""

    kind: FaultKind
    body: Any


class StreamDecoder:
    """Reads one streamed chat completion.

    Promises: any bytes in any split give the same text, calls and fault, never an exception; text before a fault is
    handed out first; what nobody needs is ignored, understood or not; reasoning never gets into the text.
    """

    __slots__ = (
        "_calls",
        "_chars",
        "_cited",
        "_cites",
        "_done",
        "_ending",
        "_filter",
        "_half",
        "_max_chars",
        "_said",
        "_sse",
        "_usual",
        "cut",
        "executed",
        "fault",
        "provider_request_id",
        "ran",
        "reasoning",
        "tokens",
        "tool_deltas",
        "usage",
    )

    def __init__(
        self,
        *,
        thinks_in_content: bool = False,
        thinks_unopened: bool = False,
        cites: bool = True,
        max_chars: int = MAX_CHARS,
    ) -> None:
        """Args:
        thinks_in_content: The model may put its reasoning into the text as <think>...</think>.
        thinks_unopened: And the opening tag may have stood in the prompt.
        cites: Marks that lead to pages which the provider retrieved become numbers.
        max_chars: Text, reasoning and calls together; what goes on after them is cut off, as "length".
        """
        self.usage: WireUsage | None = None
        self.fault: Fault | None = None
        self.cut = False
        """More came than was allowed: nobody reads on."""
        self.tokens = 0
        """Chunks that carried text, reasoning or a piece of a call; a role alone is no sign of thinking."""
        self.provider_request_id = ""
        self.reasoning: list[str] = []
        self.tool_deltas: list[ToolCallDelta] = []
        """Pieces of tool calls since the caller last emptied this list."""
        self.executed: list[str] = []
        """Tools that the provider began to run since the caller last emptied this: "browser_search" ..."""
        self.ran = RanBook()
        self._cites = cites
        self._cited: CitationFilter | None = None
        self._ending: Finish | None = None
        self._done = False
        self._said = False
        self._chars = 0
        self._max_chars = max_chars
        self._half = ""
        """The first half of a character whose other half comes with the next piece."""
        self._calls = CallBook()
        self._filter = ThinkFilter(opened=thinks_unopened) if thinks_in_content else None
        self._sse = SseReader()
        self._usual = True
        """Nothing is half read."""

    @property
    def done(self) -> bool:
        """[DONE] came."""
        return self._done

    @property
    def over(self) -> bool:
        """Nothing that still comes would be read."""
        return self._done or self.cut or self.fault is not None

    @property
    def finish(self) -> Finish | None:
        """How the model came to its end, None while it has not: [DONE] after words is an end too, though without a
        reason that anybody knows."""
        if self._ending is not None or not self._done or self.fault is not None:
            return self._ending
        if self._calls:
            return "tool_calls" if self._calls.whole else None
        return "stop" if self._said else None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls put together so far, in the order they began."""
        return self._calls.calls

    def feed(self, data: bytes) -> str:
        """Take what one read of the socket gave; return the answer's text in it, "" where there was none.

        After a fault or [DONE] everything else is ignored.
        """
        if self.fault is not None or self._done or self.cut:
            return ""
        texts: list[str] = []
        # The usual read holds nothing but whole "data: {...}" lines. A raw newline cannot stand inside JSON, so cutting
        # the prefixes off leaves lines of JSON, which one C call decodes. Anything else takes the careful way.
        if self._usual and data.startswith(b"data: {") and data.endswith(b"\n\n") and b"\r" not in data:
            try:
                chunks = DECODER.decode_lines(data[6:].replace(b"\ndata: ", b"\n"))
            except (ValueError, RecursionError):
                self._read_carefully(data, texts)
            else:
                self._sse.heard = True
                for chunk in chunks:
                    if self._read_chunk(chunk, texts):
                        break
        else:
            self._read_carefully(data, texts)
        return self._shown(texts)

    def close(self) -> str:
        """Say that no more bytes come; returns text that was still held back."""
        texts: list[str] = []
        if not self.over:
            try:
                self._read_events(self._sse.close(), texts)
            except Malformed as error:
                self.fault = Fault("garbage", str(error))
        if self._half:
            texts.append("\ufffd")
            self._half = ""
        text = self._shown(texts)
        if self._filter is not None:
            held, thought = self._filter.close(whole=self._came_to_its_end)
            self.reasoning.append(thought)
            self._said = self._said or bool(held.strip())
            text += held
        return text if self._cited is None else text + self._cited.close()

    @property
    def citations(self) -> tuple[Citation, ...]:
        """What the text cites so far."""
        return self._cited.citations if self._cited is not None else ()

    @property
    def _came_to_its_end(self) -> bool:
        return self._ending == "stop" or (self._done and self._ending is None and self.fault is None)

    def _shown(self, texts: list[str]) -> str:
        """What of *texts* is answer."""
        text = "".join(texts)
        self._chars += len(text)
        if text and self._filter is not None:
            text, thought = self._filter.feed(text)
            if thought:
                self.reasoning.append(thought)
        if text and self._cited is not None:
            text = self._cited.feed(text)
        if text and not self._said:
            self._said = not text.isspace()
        if self._chars + self._calls.chars > self._max_chars:
            self._cut_off()
        return text

    def _cut_off(self) -> None:
        self.cut = True
        self._ending = self._ending or "length"

    def _read_carefully(self, data: bytes, texts: list[str]) -> None:
        sse = self._sse
        try:
            block = sse.take(data)
            if block:
                self._read_events(sse.events(block), texts)
        except Malformed as error:
            self.fault = Fault("garbage", str(error))
        self._usual = sse.idle and not self._half

    def _read_events(self, events: Iterator[tuple[bytes, bytes]], texts: list[str]) -> None:
        for name, payload in events:
            if payload is DONE:
                self._done = True
                return
            if name == b"error":
                self.fault = Fault("error_event", _error_of(payload))
                return
            careful = False
            try:
                chunk: Chunk | None = DECODER.decode(payload)
            except (ValueError, RecursionError):
                chunk, careful = careful_chunk(payload), True
            if chunk is None:
                if name is STRAY:
                    raise Malformed(f"no event stream ({len(payload):,} bytes)")
                continue
            if careful or self._half:
                self._join_halves(chunk)
            if self._read_chunk(chunk, texts):
                return

    def _join_halves(self, chunk: Chunk) -> None:
        """Some servers cut between the two escapes of one character."""
        delta = chunk.choices[0].delta if chunk.choices else None
        if delta is not None and delta.content:
            text = self._half + delta.content
            self._half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
            delta.content = whole_text(text[:-1] if self._half else text)

    def _read_chunk(self, chunk: Chunk, texts: list[str]) -> bool:
        """Returns whether the stream is over because of a fault."""
        ending: Ending | None = None
        if chunk.choices:
            choice = chunk.choices[0]
            delta = choice.delta
            if delta is None and choice.message is not None and not self.tokens:
                delta = choice.message
            if delta is not None:
                self._read_delta(delta, texts)
            if choice.finish_reason is not None:
                ending = ending_of(choice.finish_reason)
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.x_groq is not None:
            if chunk.x_groq.id:
                self.provider_request_id = chunk.x_groq.id
            if chunk.x_groq.usage is not None:
                self.usage = chunk.x_groq.usage
            if chunk.x_groq.error:
                self.fault = Fault("x_groq_error", chunk.x_groq.error)
        if (chunk.error is not None or not chunk.choices) and (complaint := chunk.complaint) is not None:
            self.fault = Fault("error_event", complaint)
        elif ending == "broken" and self.fault is None and self._ending is None:
            self.fault = Fault("error_event", {"type": "finish_reason"})
        if self.fault is not None:
            return True
        if ending is not None and ending != "broken":
            self._ending = ending
        return False

    def _read_delta(self, delta: Delta, texts: list[str]) -> None:
        text = delta.content or delta.refusal
        if text:
            self.tokens += 1
            texts.append(text)
        thought = delta.reasoning or delta.reasoning_content
        if thought:
            self.tokens += 1
            self._chars += len(thought)
            self.reasoning.append(thought)
            if self._filter is not None:
                self._filter.thoughts_go_elsewhere()
        if delta.tool_calls:
            self.tokens += 1
            for piece in delta.tool_calls:
                if (told := self._calls.add(piece)) is not None:
                    self.tool_deltas.append(told)
            if self._calls.full:
                self._cut_off()
        if delta.executed_tools:
            self.tokens += 1
            self.executed += self.ran.add(delta.executed_tools)
            if self._cited is None and self._cites and self.ran and not self._said:
                self._cited = CitationFilter(self.ran.source)


def _error_of(payload: bytes) -> Any:
    try:
        value = json_value(payload)
    except Malformed:
        return payload[:MAX_ERROR_BYTES].decode("utf-8", "replace")
    return value.get("error") or value if isinstance(value, dict) else value
