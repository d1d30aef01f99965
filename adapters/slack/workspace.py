"""One workspace, or one whole organisation, that has installed the app: everything that is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp

from adapters.slack.dispatcher import Dispatcher
from adapters.slack.events import Me
from adapters.slack.files import Files
from adapters.slack.handlers import Handlers
from adapters.slack.settings import SlackSettings
from adapters.slack.stream import Streaming
from adapters.slack.users import Users
from adapters.slack.web_api import WebApi
from core.base.clock import Clock
from core.delivery.side_notices import SideNotices
from core.net.guarded_fetch import GuardedFetcher
from core.ports.platform import Commands, Intake, SurfaceObserver
from core.ports.workspaces import Installation, PeopleStore


class Workspace:
    """Made with a token; `begin` once it is known who we are there."""

    def __init__(
        self,
        settings: SlackSettings,
        clock: Clock,
        pacer: SurfaceObserver,
        *,
        token: str = "",
        key: str = "",
        people: PeopleStore | None = None,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self.api = WebApi(settings, clock, pacer, token=token, workspace=key)
        self.users = Users(self.api, clock, people)
        self.streaming = Streaming(self.api, clock, enabled=settings.native_streaming)
        self.me: Me | None = None
        self.files: Files | None = None
        self.dispatcher: Dispatcher | None = None

    def connect(self, session: aiohttp.ClientSession, fetcher: GuardedFetcher, tasks: asyncio.TaskGroup) -> None:
        self.api.use(session)
        self.users.use(tasks)
        self.files = Files(self.settings, self.api, fetcher)

    def begin(self, me: Me, intake: Intake, commands: Commands, tasks: asyncio.TaskGroup) -> Dispatcher:
        """Take deliveries from now on."""
        self.me = me
        handlers = Handlers(
            *(self.settings, me, self.api, self.users, intake, commands, self._clock, self.streaming),
            *(tasks, SideNotices(self._clock)),
        )
        self.dispatcher = Dispatcher(handlers)
        return self.dispatcher

    def disconnect(self) -> None:
        self.dispatcher = self.files = None
        self.api.use(None)
        self.users.use(None)


def me_of(installation: Installation) -> Me:
    return Me(
        team=installation.team,
        enterprise=installation.enterprise,
        user=installation.bot_user,
        bot=installation.bot,
        org_install=not installation.team,
    )


def keys_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Whose delivery it is, the likeliest installation first.

    An event says so in `authorizations`, not in `team_id`, which in a channel shared with another company is theirs
    (facts/slack.md 1.8). A workspace within an organisation may have its own installation beside the organisation's.
    """
    authorizations = body.get("authorizations")
    given: Mapping[str, Any] = body
    if isinstance(authorizations, list) and authorizations and isinstance(authorizations[0], Mapping):
        given = authorizations[0]
    enterprise = str(given.get("enterprise_id") or _id_of(body.get("enterprise")) or "")
    team = str(given.get("team_id") or _id_of(body.get("team")) or "")
    whole = given.get("is_enterprise_install") in (True, "true")
    keys = [f"{enterprise}:", f"{enterprise}:{team}"] if whole else [f"{enterprise}:{team}", f"{enterprise}:"]
    return tuple(key for key in dict.fromkeys(keys) if key != ":")


def _id_of(named: Any) -> str:
    return str(named.get("id") or "") if isinstance(named, Mapping) else ""


def settings_for(settings: SlackSettings, own: Mapping[str, str]) -> SlackSettings:
    """The operator's settings, and those of the workspace's admins over them; what is not understood is left out."""
    if own.get("thread_follow_ups") in ("all", "asker", "mention"):
        settings = replace(settings, thread_follow_ups=own["thread_follow_ups"])  # type: ignore[arg-type]  # just tested
    for name in ("allow_external", "allow_guests"):
        if own.get(name) in ("yes", "no"):
            settings = replace(settings, **{name: own[name] == "yes"})  # type: ignore[arg-type]  # both are flags
    for name in ("allow_channels", "allow_users"):
        if name in own:
            settings = replace(settings, **{name: frozenset(own[name].split())})  # type: ignore[arg-type]  # id sets
    return settings
