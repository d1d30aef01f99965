"""Socket Mode, watched: a refused token ends it at once, a dead socket is replaced, and it says when it last lived."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp

from adapters.slack.failures import LACKING, REFUSED, Foreign, code_of, translate
from adapters.slack.settings import SlackSettings
from adapters.slack.web_api import WebApi
from core.base.clock import Clock
from core.domain.errors import SettingsError, SurfaceBusy

logger = logging.getLogger(__name__)

_OPEN_WITHIN_S = 30.0
"""The SDK would wait five minutes for a handshake, and try again for ever where it fails."""

_LOOK_EVERY_S = 5.0
"""How soon a dead socket is known to be dead; aiohttp closes one after a ping interval and a half without a pong."""

_GIVEN_UP_AFTER = 6
"""Ping intervals without a pong after which the SDK's own recovery (four) has failed too."""

_CLOSED_WITHIN_S = 2.0
"""Whether or not Slack answers the closing frame: aiohttp would wait for ten seconds."""


class Socket:
    """One connection to Slack, kept up by the SDK. Open with `async with`, then `watch`."""

    def __init__(self, app: AsyncApp, settings: SlackSettings, api: WebApi, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._handler = AsyncSocketModeHandler(
            app,
            settings.app_token,
            web_client=api.anonymous,
            proxy=settings.proxy or None,
            ping_interval=settings.ping_interval_s,
        )
        self.alive = False
        """As of five seconds ago at most."""

    @property
    def pong_at(self) -> float | None:
        """Epoch seconds of the last answered ping."""
        at: float | None = self._handler.client.last_ping_pong_time
        return at

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except BaseException:
            await self._close()
            raise
        self.alive = True
        return self

    async def _connect(self) -> None:
        """Ask for the address ourselves: the SDK would ask for ever with a revoked token (facts/slack.md 2)."""
        client = self._handler.client
        try:
            client.wss_uri = await client.issue_new_wss_url()
        except Foreign as error:
            _raise_if_refused(error)
            raise translate(error) from error
        try:
            async with asyncio.timeout(_OPEN_WITHIN_S):
                await client.connect()  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise SurfaceBusy("Slack's socket does not open", retry_after_s=5.0) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        self.alive = False
        client = self._handler.client
        try:
            async with asyncio.timeout(_CLOSED_WITHIN_S):
                await client.close()  # type: ignore[no-untyped-call]  # the SDK annotates nothing here
        except TimeoutError:
            logger.info("Slack did not answer the end of its socket")
        finally:
            # Interrupted before this, the SDK leaves its session open.
            await client.aiohttp_client_session.close()

    async def watch(self) -> None:
        """Return when the socket has been dead for a while in spite of the SDK's own reconnecting.

        Raises:
            SettingsError: The app token was revoked meanwhile.
        """
        interval_s = self._settings.ping_interval_s
        look_every_s, dead_s, checked = min(_LOOK_EVERY_S, interval_s), 0.0, False
        while dead_s < _GIVEN_UP_AFTER * interval_s:
            await self._clock.sleep(look_every_s)
            self.alive = await self._handler.client.is_connected()
            dead_s = 0.0 if self.alive else dead_s + look_every_s
            checked = checked and not self.alive
            if not checked and dead_s >= 2 * interval_s:
                checked = True
                await self._check_token()
        logger.warning("the socket to Slack is dead; opening a new one")

    async def _check_token(self) -> None:
        try:
            await self._handler.client.web_client.apps_connections_open(app_token=self._settings.app_token)
        except Foreign as error:
            _raise_if_refused(error)


def _raise_if_refused(error: BaseException) -> None:
    if code_of(error) in REFUSED | LACKING:
        raise SettingsError(
            [
                f"Slack refuses SLACK_APP_TOKEN ({code_of(error)}): make a new app-level token with connections:write "
                "under Basic Information; see .env.example"
            ]
        ) from error
