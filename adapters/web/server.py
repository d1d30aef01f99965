"""The listening socket: opened, its address told, closed."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from adapters.web.idle_connections import IdleConnections
from adapters.web.settings import WebSettings
from core.base.clock import Clock

log = logging.getLogger(__name__)

FILES_BESIDE = 200
"""Open files that are no connection of the page's: database, logs, platforms, providers, the sandbox."""

SHUTDOWN_S = 5.0
"""How long open streams may finish after the socket is closed; the inbox has its own, longer grace period."""


class _Untold(logging.Filter):
    """Keeps malformed requests out of the log: aiohttp repeats the offending bytes, keys and words among them, and
    anybody could fill a disk with their tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            log.debug("a malformed request was refused: %s", type(error).__name__)
            return False
        return True


_protocol_log = logging.getLogger(f"{__name__}.protocol")
_protocol_log.addFilter(_Untold())


class WebServer:
    """Serves an application while the block runs. Raises OSError when the address cannot be bound."""

    def __init__(self, app: web.Application, settings: WebSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._tasks = asyncio.TaskGroup()
        self._watching: asyncio.Task[None] | None = None
        self._idle_connections = IdleConnections(
            lambda: self._runner.server.connections if self._runner.server else (),
            unread_s=settings.write_timeout_s,
            first_request_s=settings.first_request_s,
            total=max(1, min(settings.max_connections, open_files() - FILES_BESIDE)),
            per_address=settings.max_connections_per_address,
        )
        app.middlewares.insert(0, self._note_request)
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,  # a caller who leaves cancels the model's answer
            logger=_protocol_log,
            access_log=None,  # one RequestRecord per request says more, and holds no address
            max_line_size=8_190,
            max_field_size=8_190,
            auto_decompress=False,  # what is packed is refused at the door; unpacked here it would be without bound
            keepalive_timeout=75.0,
            shutdown_timeout=SHUTDOWN_S,
        )
        self.url = ""
        """Where the page is, once entered."""

    @property
    def open_connections(self) -> int:
        return len(self._runner.server.connections) if self._runner.server else 0

    async def __aenter__(self) -> WebServer:
        await self._runner.setup()
        server = cast(web.Server, self._runner.server)  # `setup` has made it
        receive = partial(_Reception, server, self._idle_connections, self._clock)
        site = _Site(self._runner, self._settings.host, self._settings.port, receive)
        try:
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        await self._tasks.__aenter__()
        self._watching = self._tasks.create_task(self._idle_connections.watch(self._clock), name="web patience")
        port = self._runner.addresses[0][1]
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        self.url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104 (a comparison)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        if self._watching:
            self._watching.cancel()
        await self._tasks.__aexit__(None, None, None)

    @web.middleware
    async def _note_request(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._idle_connections.heard(request.protocol)
        try:
            return await handler(request)
        finally:
            self._idle_connections.answered(request.protocol, self._clock.monotonic())


class _Reception(asyncio.Protocol):
    """Meets a connection before aiohttp does, which would take any number of them."""

    def __init__(self, server: web.Server, idle_connections: IdleConnections, clock: Clock) -> None:
        self._server = server
        self._idle_connections = idle_connections
        self._clock = clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if not self._idle_connections.has_room(address):
            transport.abort()
            return
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        self._idle_connections.opened(handler, address, self._clock.monotonic())


class _Site(web.TCPSite):
    """aiohttp's, with a reception."""

    __slots__ = ("_receive",)

    def __init__(self, runner: web.AppRunner, host: str, port: int, receive: Callable[[], asyncio.Protocol]) -> None:
        super().__init__(runner, host, port)
        self._receive = receive

    async def start(self) -> None:
        await web.BaseSite.start(self)
        self._server = await asyncio.get_running_loop().create_server(
            self._receive, self._host, self._port, backlog=self._backlog
        )


def open_files() -> int:
    """How many files and sockets this process may have open."""
    if sys.platform == "win32":
        return 8_192  # of the C library; sockets do not count there
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
