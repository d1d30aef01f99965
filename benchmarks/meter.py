"""What every subject measures, in the same way, beside its own loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Coroutine
from typing import Any

from benchmarks.remote import Command, rhythm

TOKEN_CHARS = 13
"""As in llm_server.py, which is not imported here: LiteLLM's interpreter lacks what it needs."""

ON_TIME_MS = 50.0


class Meter:
    """CPU from the moment when all streams have begun to the last token, so that the cost of a request stays out.

    Args:
        streams: How many there will be.
        tokens: How many each of them brings.
        lags: Whether to read each token's own time; costs a microsecond, so it stays off where CPU is measured.
    """

    def __init__(self, streams: int, tokens: int, *, lags: bool) -> None:
        self._missing = streams
        self._left = streams * tokens
        self._total = 0
        self._at_begin = 0
        self._cpu_from = self._wall_from = 0.0
        self._cpu_s = self._wall_s = 0.0
        self._want_lags = lags
        self._lags: list[tuple[float, int]] = []
        self.over = asyncio.Event()

    def begin(self) -> None:
        """A stream's first token has come."""
        self._missing -= 1
        if not self._missing:
            self._at_begin = self._total
            self._cpu_from, self._wall_from = time.process_time(), time.monotonic()

    def text(self, text: str) -> None:
        """Tokens have reached the draft."""
        count = len(text) // TOKEN_CHARS
        self._total += count
        self._left -= count
        if self._want_lags and not self._missing:
            self._lags.append((time.monotonic() * 1e3 - int(text[1:TOKEN_CHARS]) / 1e3, count))
        if self._left <= 0:
            self._cpu_s = time.process_time() - self._cpu_from
            self._wall_s = time.monotonic() - self._wall_from
            self.over.set()

    def figures(self) -> dict[str, Any]:
        chunks = self._total - self._at_begin
        counted = sum(count for _, count in self._lags)
        on_time = sum(count for lag_ms, count in self._lags if lag_ms <= ON_TIME_MS)
        return {
            "chunks": chunks,
            "us_per_chunk": self._cpu_s / max(1, chunks) * 1e6,
            "busy": self._cpu_s / max(1e-9, self._wall_s),
            "wall_s": self._wall_s,
            "on_time": on_time / counted if counted else 0.0,
        }


def streaming(answer: Callable[[Meter, str], Coroutine[Any, Any, object]]) -> Command:
    """The command `stream`: so many answers at once, each asked for and told to the meter by *answer*."""

    async def stream(streams: int, chunks: int, burst: int, every_ms: float, hold_ms: float, lags: bool) -> Any:
        meter = Meter(streams, chunks, lags=lags)
        question = rhythm(chunks, burst, every_ms, hold_ms)
        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(answer(meter, question))
        return meter.figures()

    return stream


async def gather(stream: AsyncIterable[Any], meter: Meter) -> str:
    """The loop of the OpenAI SDK's own documentation, which everybody has who uses it or LiteLLM; gives the answer."""
    parts: list[str] = []
    async for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            if not parts:
                meter.begin()
            parts.append(text)
            meter.text(text)
    return "".join(parts)
