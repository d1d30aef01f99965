"""One streamed answer: from the stack's events to the caller's socket, at the reader's own speed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from adapters.web.errors import ApiError, api_error
from adapters.web.sse import KEEPALIVE, OpenStream
from core.domain.errors import TernError
from core.domain.events import Event, Notice, Restarted, Send, Started, TextDelta, ToolCallDelta
from core.domain.requests import Reply

log = logging.getLogger(__name__)

Answer = Callable[[Send], Awaitable[Reply]]


class Writer(Protocol):
    """Encodes what is streamed, in the form that one kind of client reads."""

    def name_model(self, model: str) -> None: ...

    def text(self, text: str) -> bytes: ...

    def tool_call(self, delta: ToolCallDelta) -> bytes: ...

    def finish(self, reply: Reply) -> bytes: ...

    def failure(self, error: ApiError) -> bytes: ...


class Outbox:
    """What the model said and the socket has not taken yet.

    Texts are joined, so a slow reader gets fewer and larger chunks, never a longer queue; what waits is at most one
    model's whole answer.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[ToolCallDelta] = []
        self._chars = 0
        self._called = False
        self._wake = asyncio.Event()
        self._reply: Reply | None = None
        self._error: Exception | None = None
        self.model = ""

    async def send(self, event: Event) -> None:
        match event:
            case TextDelta(text=text):
                self._texts.append(text)
                self._chars += len(text)
                self._wake.set()
            case ToolCallDelta():
                self._calls.append(event)
                self._called = True
                self._wake.set()
            case Started(model=model):
                self.model = model
            case Restarted(model=model, keep_chars=keep_chars):
                if keep_chars < self._chars:
                    raise RuntimeError("an append-only answer was restarted before its end")
                self.model = model
            case Notice():
                pass  # OpenAI's stream has no place for one; the last chunk's x_tern says who answered

    async def fill(self, answer: Answer) -> None:
        """Let *answer* speak into this box; how it ended is `reply()`'s to say."""
        try:
            reply = await answer(self.send)
            await self._complete(reply)
            self._reply = reply
        except Exception as error:  # noqa: BLE001 (raised again by reply(), where a status or an event is made of it)
            self._error = error
        self._wake.set()

    async def _complete(self, reply: Reply) -> None:
        """Send what the reply holds and no event brought."""
        if reply.text and not self._chars:
            await self.send(TextDelta(reply.text))
        if reply.tool_calls and not self._called:
            for index, call in enumerate(reply.tool_calls):
                await self.send(ToolCallDelta(index, call.id, call.name, call.arguments))

    async def ready(self, within_s: float) -> bool:
        """Wait for something to send or for the end; False when neither came in time."""
        if not self._wake.is_set():
            try:
                async with asyncio.timeout(within_s):
                    await self._wake.wait()
            except TimeoutError:
                return False
        self._wake.clear()
        return True

    def take(self) -> tuple[str, list[ToolCallDelta]]:
        text, calls = "".join(self._texts), self._calls
        self._texts, self._calls = [], []
        return text, calls

    def reply(self) -> Reply | None:
        """The finished reply, None while the model still speaks. Raises what the answer raised."""
        if self._error is not None:
            raise self._error
        return self._reply


async def stream_answer(
    stream: OpenStream, answer: Answer, chunks: Writer, *, request_id: str, keepalive_s: float
) -> None:
    """Write *answer* to *stream* as it grows.

    An error before the first byte is raised, for a status of its own; a later one becomes an error event, which
    OpenAI's and Groq's clients raise from their loop (facts/groq.md 4). The status line is held back until the first
    words, or until `keepalive_s` have passed without any. Raises ConnectionError when the reader leaves; the answer is
    cancelled then.
    """
    outbox = Outbox()
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(outbox.fill(answer))
        try:
            await _pump(outbox, stream, chunks, keepalive_s)
        except Exception as error:  # noqa: BLE001 (kept for below: raised here, the group would wrap it)
            failure = error
        speaking.cancel()
    if failure is not None:
        if not stream.begun or isinstance(failure, ConnectionError):
            raise failure
        if not isinstance(failure, TernError | TimeoutError):
            log.error("request %s failed in mid-answer", request_id, exc_info=failure)
        await stream.write(chunks.failure(api_error(failure, request_id)))
    await stream.end()


async def _pump(outbox: Outbox, stream: OpenStream, chunks: Writer, keepalive_s: float) -> None:
    reply: Reply | None = None
    while reply is None:
        if not await outbox.ready(keepalive_s):
            await stream.write(KEEPALIVE)
            continue
        text, calls = outbox.take()
        if outbox.model:
            chunks.name_model(outbox.model)
        waiting = [chunks.text(text)] if text else []
        waiting += [chunks.tool_call(call) for call in calls]
        if waiting:
            await stream.write(b"".join(waiting))
        reply = outbox.reply()
    chunks.name_model(reply.model)
    await stream.write(chunks.finish(reply))
