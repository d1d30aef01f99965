"""A response that stays open: a silent stream says that it lives, a reader who takes nothing is let go."""

from __future__ import annotations

import asyncio

from aiohttp import web

KEEPALIVE = b": waiting\n\n"
"""A comment line; every SSE reader skips it."""

_SMALL_BYTES = 16_384


def frame(event: str, payload: bytes) -> bytes:
    """One server-sent event; *payload* is a single line (JSON)."""
    return b"event: " + event.encode() + b"\ndata: " + payload + b"\n\n"


class OpenStream:
    """An event stream to one reader, prepared with the first byte."""

    def __init__(self, request: web.Request, *, write_timeout_s: float) -> None:
        self._request = request
        self._write_timeout_s = write_timeout_s
        self.response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold the stream back otherwise
            }
        )

    @property
    def begun(self) -> bool:
        return self.response.prepared

    @property
    def _flows(self) -> bool:
        """Whether the reader has taken everything so far."""
        transport = self._request.transport
        return self.begun and transport is not None and transport.get_write_buffer_size() == 0

    async def write(self, payload: bytes) -> None:
        """Send *payload*, waiting while the reader's buffers are full.

        Raises ConnectionError when the reader is gone or took nothing for `write_timeout_s`.
        """
        if self._flows and len(payload) < _SMALL_BYTES:
            await self.response.write(payload)  # goes straight to the socket; a timer per word would cost more than it
            return
        try:
            async with asyncio.timeout(self._write_timeout_s):
                if not self.begun:
                    await self.response.prepare(self._request)
                await self.response.write(payload)
        except TimeoutError as error:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionAbortedError("the reader takes nothing") from error

    async def end(self) -> None:
        await self.response.write_eof()
