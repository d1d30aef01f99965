"""Runs the library's calls: each to its end in a task that nobody cancels, answered as soon as Discord has answered.

discord.py keeps the caller of the last call in a bucket asleep until the bucket is full again, although the call was
carried out at once; cancelling that sleep makes the next call sleep twice as long (facts/discord.md 1.11, measured).
So the response is taken from an HTTP trace, and the call sleeps on by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from adapters.discord.buckets import GLOBAL, Buckets, Kind, rates
from adapters.discord.failures import surface_error
from adapters.discord.settings import DiscordSettings
from core.base.clock import Clock
from core.domain.errors import SurfaceBusy

log = logging.getLogger(__name__)

YOUNG_S = 1.0
"""Headers that took longer to come are not learned from: others went out and came back meanwhile."""

PATIENCE_S = 60.0
"""Longest wait for one call; its task is left to the library, whose socket fails by itself (client.py)."""


class RestCall:
    """One call under way. `answer` is set by the trace, or by the call's own end."""

    __slots__ = ("answer", "ended", "kind", "place")

    def __init__(self, kind: Kind, place: str) -> None:
        self.kind: Kind = kind
        self.place = place
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        """The library's own task is over, its hidden sleep included."""

    def answered(self, body: dict[str, Any]) -> None:
        if not self.answer.done():
            self.answer.set_result(body)

    def failed(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


_current: contextvars.ContextVar[RestCall | None] = contextvars.ContextVar("discord_call", default=None)


class RestCalls:
    """Owns the tasks of all writes; an async context manager that outlives the surfaces using it."""

    def __init__(self, buckets: Buckets, clock: Clock) -> None:
        self._buckets = buckets
        self._clock = clock
        self._tasks = asyncio.TaskGroup()
        self._open = False
        self._running: set[asyncio.Task[None]] = set()
        self.delivered_at: float | None = None
        """When Discord last took a message or an edit of ours; epoch seconds."""

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything: the client is closed by now, and the sleep of a last call serves nobody any more."""
        self._open = False
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    def spawn(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Run a side task that may fail: a failure is logged and ends nothing else. Not while closing."""
        if self._open:
            self._start(_swallow(work, name), name)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def write(self, kind: Kind, place: str, make: Callable[[], Awaitable[object]]) -> dict[str, Any]:
        """Carry out one write and return the response's JSON ({} where there is none).

        Args:
            make: Calls the library. Started once, never cancelled, never repeated here.

        Raises:
            SurfaceError: As `failures` translates it; SurfaceBusy(unsure=True) when no answer came in time to a post.
        """
        call = self.start(kind, place, make)
        return await self.wait(call)

    def start(self, kind: Kind, place: str, make: Callable[[], Awaitable[object]]) -> RestCall:
        if not self._open:
            raise SurfaceBusy("not connected to Discord", retry_after_s=5.0)
        call = RestCall(kind, place)
        self._start(self._run(call, make), f"discord {kind} {place}")
        return call

    async def wait(self, call: RestCall) -> dict[str, Any]:
        posting = call.kind in ("post", "interaction")
        done, _ = await asyncio.wait({call.answer}, timeout=PATIENCE_S)
        if not done:
            raise SurfaceBusy("no answer from Discord", retry_after_s=1.0, unsure=posting)
        try:
            body = call.answer.result()
        except Exception as error:
            raise surface_error(error, posting=posting) from error
        self.delivered_at = self._clock.now()
        return body

    async def finished(self, call: RestCall) -> None:
        """Wait for work that makes several requests; only the first of them answers the call."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await call.ended.wait()

    async def _run(self, call: RestCall, make: Callable[[], Awaitable[object]]) -> None:
        _current.set(call)  # this task's own context: nothing else sees it
        try:
            await make()
        except asyncio.CancelledError:
            call.failed(SurfaceBusy("shutting down", unsure=call.kind != "edit"))
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            if call.answer.done():
                log.debug("a call failed after its answer: %s", type(error).__name__)
            call.failed(error)
        else:
            call.answered({})
        finally:
            call.ended.set()
        # An answer nobody waits for any more must not be reported as forgotten.
        if not call.answer.cancelled():
            call.answer.exception()

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Around each request; entering waits until the fifty a second of the whole bot carry it. Only what no surface
        has a slot for waits: reading a chain, back-fill, a download's link, logging in."""
        call = _current.get()
        return self._buckets.take(GLOBAL) if call is None or call.kind == "other" else contextlib.nullcontext()

    def turn_to_post(self, place: str, settings: DiscordSettings) -> AbstractAsyncContextManager[None]:
        """Around a post that no surface has a slot for; entering waits for the channel's turn and the bot's."""
        return self._buckets.take(*rates("post", place, settings))

    def trace(self) -> aiohttp.TraceConfig:
        """The trace to hand to `discord.Client(http_trace=...)`, new for each client."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._leaves)
        config.on_request_end.append(self._headers_came)
        config.on_response_chunk_received.append(self._body_came)
        return config

    async def _leaves(
        self, _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestStartParams
    ) -> None:
        context.left_at = self._clock.monotonic()

    async def _headers_came(
        self, _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        call = _current.get()
        context.status = params.response.status
        # Of a response that hung it is not known how old its figures are: what was counted meanwhile is newer.
        young = self._clock.monotonic() - context.left_at < YOUNG_S
        status, headers = params.response.status, params.response.headers
        tells = 200 <= status < 300 or (status != 429 and "X-RateLimit-Remaining" in headers)
        if call is not None and young and tells:
            self._buckets.read(call.kind, call.place, params.response.headers)

    async def _body_came(
        self,
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceResponseChunkReceivedParams,
    ) -> None:
        call = _current.get()
        status = getattr(context, "status", 0)
        if call is None or not (200 <= status < 300 or status == 429):
            return
        body = _json(params.chunk)
        if status == 429:
            # The library waits and repeats; everybody else should not even try meanwhile.
            wait_s = body.get("retry_after")
            if isinstance(wait_s, int | float):
                self._buckets.refused(call.kind, call.place, float(wait_s), everywhere=bool(body.get("global")))
            return
        call.answered(body)


def _json(chunk: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(chunk)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}


async def _swallow(work: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - a side task never takes the adapter down
        log.warning("%s failed: %s: %s", name, type(error).__name__, error)
