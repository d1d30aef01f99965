"""When others edit, as their sources and documentation say (read 2026-11-22), each at its best: every call waits for
its turn where the platform's SDK would make it wait, a refusal is waited out and repeated, and no edit is redundant.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from core.base.clock import Clock
from core.domain.errors import SurfaceBusy
from core.ports.platform import Rate, Shown
from tests.fakes.surface import FakeSurface

Tokens = asyncio.Queue["str | None"]
"""An answer as it comes; None is its end."""


class Sdk:
    """The platform's SDK. discord.py waits before a bucket runs dry (facts/discord.md 1.11), slack_sdk does not: it
    repeats after `retry-after`, as its rate limit handler does when switched on."""

    def __init__(self, clock: Clock, *, waits: bool) -> None:
        self._clock = clock
        self._waits = waits
        self._sent: dict[str, deque[float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def call(self, rates: tuple[Rate, ...], write: Callable[[], Awaitable[object]]) -> None:
        async with AsyncExitStack() as stack:
            if self._waits:
                for rate in rates:
                    await stack.enter_async_context(self._locks.setdefault(rate.key, asyncio.Lock()))
                    await self._wait_for(rate)
            else:
                stack.pop_all()
        while True:
            try:
                await write()
            except SurfaceBusy as busy:
                await self._clock.sleep(busy.retry_after_s or 1.0)
            else:
                return

    async def _wait_for(self, rate: Rate) -> None:
        sent = self._sent.setdefault(rate.key, deque(maxlen=rate.capacity))
        if len(sent) == rate.capacity:
            await self._clock.sleep(max(0.0, sent[0] + rate.per_s - self._clock.monotonic()))
        sent.append(self._clock.monotonic())


class Writer:
    """One answer's messages: pages of at most so many characters."""

    def __init__(self, surface: FakeSurface, sdk: Sdk) -> None:
        self._surface = surface
        self._sdk = sdk
        self._refs: list[str] = []
        self._shown: list[str] = []

    async def show(self, text: str) -> None:
        size = self._surface.limits.max_chars
        pages = [text[start : start + size] for start in range(0, len(text), size)]
        if not pages[-1].strip():
            del pages[-1]  # platforms refuse a page of blanks
        for number, page in enumerate(pages):
            if number >= len(self._refs):
                await self._sdk.call(self._surface.limits.post, lambda n=number, p=page: self._post(n, p))  # type: ignore[misc]
            elif self._shown[number] != page:
                await self._sdk.call(self._surface.limits.edit, lambda n=number, p=page: self._edit(n, p))  # type: ignore[misc]

    async def _post(self, number: int, page: str) -> None:
        self._refs.append(await self._surface.post(number, Shown(page), f"n{number}"))
        self._shown.append(page)

    async def _edit(self, number: int, page: str) -> None:
        await self._surface.edit(self._refs[number], number, Shown(page))
        self._shown[number] = page


class Timer:
    """When the last edit of any answer was: llmcord keeps one for the whole process."""

    at = float("-inf")


async def by_timer(tokens: Tokens, writer: Writer, clock: Clock, timer: Timer, every_s: float) -> None:
    """An edit when *every_s* have passed since the timer's last one; the token loop waits for the edit. llmcord with a
    shared timer and 1.0 s; OpenClaw's previews (1.2 s) with one for each answer."""
    text, more = "", True
    while more:
        pieces = [await tokens.get()]
        while not tokens.empty():  # what came while an edit was awaited is read at once, as from a socket
            pieces.append(tokens.get_nowait())
        text += "".join(piece for piece in pieces if piece is not None)
        more = pieces[-1] is not None
        if more and clock.monotonic() - timer.at >= every_s:
            timer.at = clock.monotonic()
            await writer.show(text)
    await writer.show(text)


async def by_chunks(tokens: Tokens, writer: Writer, clock: Clock, every: int) -> None:
    """An edit after *every* chunks, not waited for by the token loop; one at a time, so that the order is kept."""
    text, count = "", 0
    wanted = asyncio.Event()
    over = False

    async def show() -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            if over:
                return
            await writer.show(text)

    async with asyncio.TaskGroup() as group:
        group.create_task(show())
        while (token := await tokens.get()) is not None:
            text += token
            count += 1
            if count % every == 0:
                wanted.set()
        over = True
        wanted.set()
    await writer.show(text)


async def at_the_end(tokens: Tokens, writer: Writer) -> None:
    """One post when the answer is complete."""
    text = ""
    while (token := await tokens.get()) is not None:
        text += token
    await writer.show(text)
