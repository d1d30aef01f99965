""" "Add to Slack": Bolt's OAuth flow over our own stores, so that nothing is kept in clear or in files."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.error import BoltError
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.installation_store.models.installation import Installation as Installed
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore

from adapters.slack.ids import SCOPES
from adapters.slack.settings import SlackSettings
from adapters.slack.workspaces import Workspaces
from core.base.clock import Clock
from core.domain.errors import StorageError
from core.ports.workspaces import Installation

INSTALL = "/slack/install"
REDIRECT = "/slack/oauth_redirect"
_STATE_LIVES_S = 600

_logger = logging.getLogger(f"{__name__}.bolt")


class _Store(AsyncInstallationStore):
    """Saving is all that the flow needs; looking up is ours."""

    def __init__(self, workspaces: Workspaces, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    @property
    def logger(self) -> logging.Logger:
        return _logger

    async def async_save(self, installation: Installed) -> None:
        """Raises BoltError: anything else would leave the flow as a 500 (facts/slack-2.md 1.1)."""
        if not installation.bot_token:
            raise BoltError("no bot token came with the installation")
        whole = bool(installation.is_enterprise_install)
        expires_in = installation.bot_token_expires_at
        ours = Installation(
            enterprise=installation.enterprise_id or "",
            team="" if whole else installation.team_id or "",
            token=installation.bot_token,
            refresh_token=installation.bot_refresh_token or "",
            expires_at=float(expires_in) if expires_in and installation.bot_refresh_token else None,
            app=installation.app_id or "",
            bot_user=installation.bot_user_id or "",
            bot=installation.bot_id or "",
            scopes=",".join(installation.bot_scopes or ()),
            installed_by=installation.user_id or "",
            installed_at=self._clock.now(),
            name=(installation.enterprise_name if whole else installation.team_name) or "",
        )
        try:
            await self._workspaces.installed(ours)
        except StorageError as error:
            raise BoltError("the installation could not be stored") from error


class _States(AsyncOAuthStateStore):
    def __init__(self, workspaces: Workspaces, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    @property
    def logger(self) -> logging.Logger:
        return _logger

    async def async_issue(self, *args: Any, **kwargs: Any) -> str:
        return await self._workspaces.installations.new_state(self._clock.now() + _STATE_LIVES_S)

    async def async_consume(self, state: str) -> bool:
        return await self._workspaces.installations.take_state(state)


class Installing:
    """The two pages; they need https, as their cookie does (facts/slack-2.md 1.1)."""

    def __init__(self, settings: SlackSettings, workspaces: Workspaces, clock: Clock) -> None:
        self._settings = settings
        self._workspaces = workspaces
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [web.get(INSTALL, self._install), web.get(REDIRECT, self._redirected)]

    def _flow(self) -> AsyncOAuthFlow:
        settings = AsyncOAuthSettings(
            client_id=self._settings.client_id,
            client_secret=self._settings.client_secret,
            scopes=list(SCOPES),
            user_scopes=[],
            redirect_uri=self._settings.redirect_uri or None,
            install_path=INSTALL,
            redirect_uri_path=REDIRECT,
            installation_store=_Store(self._workspaces, self._clock),
            state_store=_States(self._workspaces, self._clock),
            state_expiration_seconds=_STATE_LIVES_S,
            logger=_logger,
        )
        return AsyncOAuthFlow(client=self._workspaces.anonymous, logger=_logger, settings=settings)

    async def _install(self, request: web.Request) -> web.Response:
        try:
            return await to_aiohttp_response(await self._flow().handle_installation(_bolt(request)))
        except StorageError:
            return web.Response(status=503, text="Nothing can be stored just now. Please try again in a minute.\n")

    async def _redirected(self, request: web.Request) -> web.Response:
        try:
            return await to_aiohttp_response(await self._flow().handle_callback(_bolt(request)))
        except StorageError:
            return web.Response(status=503, text="Nothing can be stored just now. Please try again in a minute.\n")


def _bolt(request: web.Request) -> AsyncBoltRequest:
    return AsyncBoltRequest(body="", query=request.query_string, headers=dict(request.headers))
