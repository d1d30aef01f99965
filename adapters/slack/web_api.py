"""Slack's Web API as the adapter uses it: two clients over one session, and the border where SDK errors end."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from adapters.slack.abilities import Abilities, lacking
from adapters.slack.events import Me
from adapters.slack.failures import Foreign, code_of, is_rate_limit, retry_after_s, translate
from adapters.slack.ids import SCOPES
from adapters.slack.settings import SlackSettings
from core.base.clock import Clock
from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceForbidden
from core.ports.platform import Rate, SurfaceObserver

_TIMEOUT_S = 15
"""For one call; Slack answers within a second. A lost write is better noticed while its reader still waits."""

logger = logging.getLogger(__name__)
_sdk_logger = logging.getLogger(f"{__name__}.sdk")
_sdk_logger.setLevel(logging.INFO)
"""Below that the SDK logs every message it sends."""


class _Client(AsyncWebClient):
    """Tells of every call what Slack answered."""

    abilities: Abilities | None = None
    fresh_token: Callable[[], Awaitable[str]] | None = None
    """Reads the token again, renewed where it was due; for tokens that rotate."""

    async def api_call(self, api_method: str, **options: Any) -> AsyncSlackResponse:
        try:
            answer = await super().api_call(api_method, **options)
        except SlackApiError as error:
            if code_of(error) == "token_expired" and self.fresh_token and (token := await self.fresh_token()):
                self.token = token
                answer = await super().api_call(api_method, **options)  # refused, so nothing is done twice
            else:
                if self.abilities:
                    self.abilities.failed(api_method, error)
                raise
        if self.abilities:
            self.abilities.worked(api_method)
        return answer


class WebApi:
    """Lives as long as the adapter; its session is opened and closed by the adapter's `run`.

    `reads` repeats what may be repeated: reading, and writing the same value twice. `writes` never repeats: a retry of
    chat.postMessage or chat.startStream can post twice, and there is no idempotency argument (facts/slack.md 2).
    """

    def __init__(
        self, settings: SlackSettings, clock: Clock, pacer: SurfaceObserver, *, token: str = "", workspace: str = ""
    ) -> None:
        """*token*: the one of the settings where it is left out."""
        token = token or settings.bot_token
        self.abilities = Abilities(clock)

        def client(token: str | None, *handlers: Any) -> _Client:
            made = _Client(
                token=token,
                base_url=settings.api_url,
                proxy=settings.proxy or None,
                timeout=_TIMEOUT_S,
                retry_handlers=list(handlers),
                logger=_sdk_logger,
            )
            made.abilities = self.abilities if token else None
            return made

        self.reads = client(
            token,
            AsyncConnectionErrorRetryHandler(),
            AsyncServerErrorRetryHandler(),
            AsyncRateLimitErrorRetryHandler(max_retry_count=2),
        )
        self.writes = client(token)
        self.anonymous = client(None, AsyncConnectionErrorRetryHandler())
        """For Bolt and the socket: Bolt takes its token from our `authorize`, the socket uses the app token."""
        self.token = token
        self.workspace = workspace
        """Of every rate; known once `me` is."""
        self.session: aiohttp.ClientSession | None = None
        self.proxy = settings.proxy or None
        self._clock = clock
        self._sparing = settings.distribution == "unlisted"
        self._pacer = pacer
        self.delivered_at: float | None = None
        """When Slack last took a write."""

    def use(self, session: aiohttp.ClientSession | None) -> None:
        """Every call goes through *session* from now on; None: we are not connected."""
        self.session = session
        for client in (self.reads, self.writes, self.anonymous):
            client.session = session

    def use_token(self, token: str) -> None:
        self.token = self.reads.token = self.writes.token = token

    def renews_with(self, fresh_token: Callable[[], Awaitable[str]]) -> None:
        """Ask *fresh_token* where Slack says that the token is too old, once a call."""
        for client in (self.reads, self.writes):
            client.fresh_token = fresh_token

    def rate(self, method: str, capacity: int, per_s: float) -> Rate:
        """Slack counts for each method and workspace (facts/slack.md 1.2)."""
        return Rate(f"slack:{self.workspace}:{method}", capacity, per_s)

    def history(self) -> AbstractAsyncContextManager[None]:
        """Around one call of conversations.history or conversations.replies: an app that is distributed outside the
        Marketplace has one a minute (facts/slack.md 1.9)."""
        if self._sparing:
            return self.take(self.rate("conversations.history", 1, 61.0))
        return nullcontext()

    @property
    def connected(self) -> bool:
        return self.session is not None and not self.session.closed

    async def me(self) -> Me:
        """Who we are. Raises SlackApiError and what aiohttp raises."""
        answer = await self.reads.auth_test()
        granted = str(answer.headers.get("x-oauth-scopes", ""))
        if granted and (missing := sorted(set(SCOPES) - set(granted.split(",")))):
            logger.warning("Slack gave the app no %s: paste manifest.yaml again and re-install it", ", ".join(missing))
        me = Me(
            team=str(answer.get("team_id") or ""),
            enterprise=str(answer.get("enterprise_id") or ""),
            user=str(answer.get("user_id") or ""),
            bot=str(answer.get("bot_id") or ""),
            org_install=bool(answer.get("is_enterprise_install")),
        )
        self.workspace = me.workspace
        return me

    async def call(self, call: Callable[[], Awaitable[AsyncSlackResponse]]) -> AsyncSlackResponse:
        """Make one call that shows no answer. Raises SurfaceError only."""
        if not self.connected:
            raise SurfaceBusy("Slack is not connected", retry_after_s=2.0)
        try:
            return await call()
        except Foreign as error:
            raise _meaning(error) from error

    async def write(self, bucket: str, call: Callable[[], Awaitable[AsyncSlackResponse]]) -> AsyncSlackResponse:
        """Make one call that shows something; *bucket* is the key of its rate. Raises SurfaceError only."""
        if not self.connected:
            raise SurfaceBusy("Slack is not connected", retry_after_s=2.0)
        try:
            answer = await call()
        except Foreign as error:
            if is_rate_limit(error):
                # Retry-After says when one call may follow, not that the whole minute is free again: the pacer's own
                # count stays, and the caller's slot is refused.
                logger.info("Slack refuses %s for %.0f s", bucket, retry_after_s(error))
            raise _meaning(error) from error
        self.delivered_at = self._clock.now()
        return answer

    def count(self, rate: Rate) -> AbstractContextManager[None]:
        """Around a write that nobody asked the pacer for."""
        return self._pacer.count(rate)

    def take(self, rate: Rate) -> AbstractAsyncContextManager[None]:
        """Around such a write; entering waits until it may go out."""
        return self._pacer.take(rate)

    async def quietly(self, what: str, call: Callable[[], Awaitable[AsyncSlackResponse]]) -> bool:
        """Make a call that nobody waits for, such as a status line; says whether it worked, never raises."""
        try:
            await self.call(call)
        except SurfaceError as error:
            logger.info("%s failed: %s", what, error)
            return False
        return True


def _meaning(error: BaseException) -> SurfaceError:
    what, scope = lacking(error)
    return SurfaceForbidden(what, needs=scope) if what else translate(error)
