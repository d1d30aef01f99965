"""The listening socket: opened, its address told, closed."""

from __future__ import annotations

from types import TracebackType

from aiohttp import web

from adapters.web.settings import WebSettings

SHUTDOWN_S = 5.0
"""How long open streams may finish after the socket is closed; the inbox has its own, longer grace period."""


class WebServer:
    """Serves an application while the block runs. Raises OSError when the address cannot be bound."""

    def __init__(self, app: web.Application, settings: WebSettings) -> None:
        self._settings = settings
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,  # a caller who leaves cancels the model's answer
            access_log=None,  # one RequestRecord per request says more, and holds no address
            max_line_size=8_190,
            max_field_size=8_190,
            keepalive_timeout=75.0,
            shutdown_timeout=SHUTDOWN_S,
        )
        self.url = ""
        """Where the page is, once entered."""

    async def __aenter__(self) -> WebServer:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        port = self._runner.addresses[0][1]
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        self.url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104 (a comparison)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
