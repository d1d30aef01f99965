"""The workspaces that have installed the app: which one a delivery is for, its token kept fresh, its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
from cachetools import LRUCache
from slack_sdk.errors import SlackApiError

from adapters.slack.failures import Foreign, code_of
from adapters.slack.settings import SlackSettings
from adapters.slack.workspace import Workspace, keys_of, me_of, settings_for
from core.base.clock import Clock
from core.domain.errors import StorageError
from core.net.guarded_fetch import GuardedFetcher
from core.ports.platform import Commands, Intake, SurfaceObserver
from core.ports.workspaces import Installation, Installations, PeopleStore, WorkspaceSettings

logger = logging.getLogger(__name__)

_KEPT = 2_000
_LOOKED_AT_AGAIN_S = 60.0
"""How soon another process's install, uninstall or change of settings is known here."""
_RENEWED_AHEAD_S = 3_600.0
"""Tokens live for twelve hours (facts/slack-2.md 1.5)."""


class Workspaces:
    """Opened with the adapter's session and tasks; a workspace is made on its first delivery or answer."""

    def __init__(
        self,
        settings: SlackSettings,
        clock: Clock,
        pacer: SurfaceObserver,
        installations: Installations,
        own_settings: WorkspaceSettings,
        people: PeopleStore | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pacer = pacer
        self.installations = installations
        self._own_settings = own_settings
        self._people = people
        self._open: LRUCache[str, tuple[float, Workspace]] = LRUCache(_KEPT)
        self._opening: dict[str, asyncio.Lock] = {}
        self._with: tuple[aiohttp.ClientSession, GuardedFetcher, asyncio.TaskGroup, Intake, Commands] | None = None

    def use(
        self,
        session: aiohttp.ClientSession,
        fetcher: GuardedFetcher,
        tasks: asyncio.TaskGroup,
        intake: Intake,
        commands: Commands,
    ) -> None:
        self._with = session, fetcher, tasks, intake, commands

    def close(self) -> None:
        self._with = None
        for _, workspace in self._open.values():
            workspace.disconnect()
        self._open.clear()

    @property
    def delivered_at(self) -> float | None:
        """When Slack last took a write, in any workspace."""
        return max((at for _, one in self._open.values() if (at := one.api.delivered_at)), default=None)

    async def of(self, body: Mapping[str, Any]) -> Workspace | None:
        """Whose delivery it is; None where nobody who installed the app is meant. Raises StorageError."""
        for key in keys_of(body):
            if workspace := await self.get(key):
                return workspace
        return None

    async def get(self, key: str) -> Workspace | None:
        """Raises StorageError."""
        looked_at, workspace = self._open.get(key, (float("-inf"), None))
        if workspace and self._clock.monotonic() < looked_at + _LOOKED_AT_AGAIN_S:
            return workspace
        async with self._opening.setdefault(key, asyncio.Lock()):
            looked_at, workspace = self._open.get(key, (float("-inf"), None))
            if workspace and self._clock.monotonic() < looked_at + _LOOKED_AT_AGAIN_S:
                return workspace
            try:
                return await self._look(key, workspace)
            finally:
                self._opening.pop(key, None)

    async def _look(self, key: str, workspace: Workspace | None) -> Workspace | None:
        installation = await self._fresh(key)
        if installation is None or self._with is None:
            self.forget(key)
            return None
        settings = settings_for(self._settings, await self._own_settings.get("slack", key))
        session, fetcher, tasks, intake, commands = self._with
        if workspace is None or workspace.me != me_of(installation):
            workspace = Workspace(
                settings, self._clock, self._pacer, token=installation.token, key=key, people=self._people
            )
            workspace.api.renews_with(lambda: self._token(key))
            workspace.connect(session, fetcher, tasks)
            await workspace.users.remember()
            workspace.begin(me_of(installation), intake, commands, tasks)
        elif workspace.settings != settings and workspace.dispatcher:
            workspace.settings = workspace.dispatcher.handlers.settings = settings
        workspace.api.use_token(installation.token)
        self._open[key] = self._clock.monotonic(), workspace
        return workspace

    async def installed(self, installation: Installation) -> None:
        """Somebody installed the app, perhaps once more. Raises StorageError."""
        await self.installations.save(installation)
        if installation.key in self._open:
            self._open[installation.key] = float("-inf"), self._open[installation.key][1]

    async def removed(self, body: Mapping[str, Any], why: str) -> None:
        """A workspace took the app away: its tokens are erased, and nobody else's. May come twice, in any order, and
        again after the app was installed anew (facts/slack-2.md 1.3, 1.4). Raises StorageError."""
        happened_at = float(body.get("event_time") or self._clock.now())
        for key in keys_of(body):
            found = await self.installations.find(key)
            if found and int(found.installed_at) <= happened_at:  # Slack counts whole seconds
                await self.installations.remove(key)
                self.forget(key)
                logger.warning("a workspace has gone: %s", why)
                return

    def forget(self, key: str) -> None:
        """Nothing of it is kept in memory; answers to it find that it is gone."""
        _, workspace = self._open.pop(key, (0.0, None))
        if workspace:
            workspace.disconnect()

    # --- tokens ---

    async def _fresh(self, key: str) -> Installation | None:
        """The installation, with a token that lives for an hour at least where tokens rotate. Raises StorageError."""
        try:
            return await self.installations.renewed(key, self._is_due, self._renew)
        except (SlackApiError, *Foreign) as error:
            logger.warning("a token could not be renewed: %s", code_of(error) or type(error).__name__)
            return await self.installations.find(key)  # it may be good for the rest of its hour

    def _is_due(self, installation: Installation) -> bool:
        expires_at = installation.expires_at
        return (
            bool(installation.refresh_token)
            and expires_at is not None
            and expires_at - self._clock.now() < (_RENEWED_AHEAD_S)
        )

    async def _renew(self, installation: Installation) -> Installation:
        """Each refresh token is good for one use (facts/slack-2.md 1.5)."""
        settings, client = self._settings, self.anonymous
        answer = await client.oauth_v2_access(
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            grant_type="refresh_token",
            refresh_token=installation.refresh_token,
        )
        return replace(
            installation,
            token=str(answer["access_token"]),
            refresh_token=str(answer.get("refresh_token") or ""),
            expires_at=self._clock.now() + float(answer.get("expires_in") or 43_200),
        )

    @property
    def anonymous(self) -> Any:
        """A client without a token, over the adapter's session."""
        from slack_sdk.web.async_client import AsyncWebClient

        session = self._with[0] if self._with else None
        return AsyncWebClient(
            base_url=self._settings.api_url, proxy=self._settings.proxy or None, session=session, timeout=15
        )

    async def _token(self, key: str) -> str:
        """For a call that was refused because its token is too old: the newest one, "" where there is no other."""
        _, workspace = self._open.get(key, (0.0, None))
        try:
            found = await self._fresh(key)
        except StorageError:
            return ""
        if found is None or workspace is None or found.token == workspace.api.token:
            return ""
        workspace.api.use_token(found.token)
        return found.token

    async def keep_fresh(self) -> None:
        """Renew tokens that are due, of workspaces in which nothing happens too; until cancelled."""
        while True:
            await self._clock.sleep(_LOOKED_AT_AGAIN_S * 10)
            try:
                for installation in await self.installations.all():
                    if self._is_due(installation):
                        await self._fresh(installation.key)
            except StorageError as error:
                logger.info("could not look for tokens to renew: %s", error)
