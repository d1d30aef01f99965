"""Makes one record of every request, however it ends, and hands it to the observers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from core.base.clock import Clock
from core.domain.events import Event, Send, TextDelta
from core.domain.requests import ChatRequest, Reply, RequestRecord
from core.gateway.attempts import AttemptBook, total
from core.ports.gateway import Handler, Observer


class Observe:
    """The outermost stage, so that cache hits, refusals and stopped requests are seen too.

    It measures from the request's entry. It keeps no text and swallows no error.
    """

    def __init__(self, handler: Handler, observers: Sequence[Observer], clock: Clock, book: AttemptBook) -> None:
        self._handler = handler
        self._observers = tuple(observers)
        self._clock = clock
        self._book = book

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        began_at, began = self._clock.now(), self._clock.monotonic()
        first_text_s: float | None = None
        monotonic = self._clock.monotonic

        def timed(event: Event) -> Awaitable[None]:
            nonlocal first_text_s
            if first_text_s is None and type(event) is TextDelta:
                first_text_s = monotonic() - began
            return send(event)

        reply: Reply | None = None
        outcome = "ok"
        try:
            reply = await self._handler(request, timed)
            outcome = "cached" if reply.from_cache else "ok"
        except BaseException as error:
            outcome = "stopped" if isinstance(error, asyncio.CancelledError) else type(error).__name__
            raise
        finally:
            attempts = self._book.close(request.request_id)
            last = attempts[-1] if attempts else None
            record = RequestRecord(
                request_id=request.request_id,
                kind="chat",
                user=request.user,
                channel_key=request.channel_key,
                requested_model=request.requested_model,
                started_at=began_at,
                first_text_s=first_text_s,
                duration_s=monotonic() - began,
                outcome=outcome,
                model=reply.model if reply else last.model if last else "",
                provider=reply.provider if reply else last.provider if last else "",
                usage=reply.usage if reply else total(attempts),
                attempts=attempts,
                finish=reply.finish if reply else "",
            )
            for observer in self._observers:
                observer.request(record)
        return reply
