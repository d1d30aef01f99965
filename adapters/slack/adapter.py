"""Slack, as one `Adapter`: connects, listens until told to stop, opens surfaces, fetches files and context."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

import aiohttp
from aiohttp import web
from cachetools import TTLCache
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse

from adapters.slack.backfill import backfill
from adapters.slack.context import read_context
from adapters.slack.dispatcher import Dispatcher
from adapters.slack.ephemeral import EphemeralSurface
from adapters.slack.events import Me, Secret
from adapters.slack.failures import CLOSED, LACKING, REFUSED, Foreign, code_of, translate
from adapters.slack.redelivery import Body, Redelivery
from adapters.slack.render import heading
from adapters.slack.settings import SlackSettings
from adapters.slack.signed_http import Nonsense, Signatures, bolt_request, read_body
from adapters.slack.socket_mode import Socket
from adapters.slack.stream import StreamedSurface
from adapters.slack.surface import EditedSurface
from adapters.slack.target import target_of, unchecked_team
from adapters.slack.workspace import Workspace, keys_of
from adapters.slack.workspaces import Workspaces
from core.base.clock import Clock
from core.domain.errors import (
    NotAllowed,
    SettingsError,
    StorageBusy,
    StorageError,
    SurfaceBusy,
    SurfaceError,
    SurfaceGone,
)
from core.domain.incoming import Attachment, Incoming, Quote
from core.domain.runs import ReplyCapability
from core.net.guarded_fetch import GuardedFetcher
from core.ports.platform import AdapterHealth, Commands, Intake, Surface, SurfaceObserver
from core.ports.storage import NoteStore
from core.ports.workspaces import Installations, PeopleStore, WorkspaceSettings
from core.wording import cannot_write_there, sentence_for

_State = Literal["starting", "connected", "down"]

logger = logging.getLogger(__name__)

_bolt_logger = logging.getLogger(f"{__name__}.bolt")
_bolt_logger.setLevel(logging.WARNING)
"""At INFO Bolt logs the body of every request whose signature fails (facts/slack.md 1.10)."""

PATH = "/slack/events"
_BODY_WITHIN_S = 10.0
"""Slack itself waits three seconds in all (facts/slack.md 1.10); whoever takes longer is somebody else."""
_DELIVERY_ENDS_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.05
_LISTENING_AT = "slack:listening_at"
_NOTE_EVERY_S = 60.0
_JUST_NOW_S = 10.0


class SlackAdapter:
    """Slack, for one workspace or organisation by its bot token, or for all that install the app.

    `run` owns the session, the socket and the tasks. After `close_intake` nothing more is taken in, while surfaces go
    on until `run` is cancelled.
    """

    name = "slack"

    def __init__(
        self,
        settings: SlackSettings,
        clock: Clock,
        notes: NoteStore,
        pacer: SurfaceObserver,
        *,
        installations: Installations | None = None,
        own_settings: WorkspaceSettings | None = None,
        people: PeopleStore | None = None,
    ) -> None:
        """*installations* and *own_settings* are needed where many workspaces install the app."""
        self._settings = settings
        self._clock = clock
        self._notes = notes
        self._home = Workspace(settings, clock, pacer, people=people)
        """The one workspace; with many, only its client without a token is used."""
        self._api = self._home.api
        self._workspaces: Workspaces | None = None
        if settings.many:
            if installations is None or own_settings is None:
                raise ValueError("many workspaces need a place for their installations")
            self._workspaces = Workspaces(settings, clock, pacer, installations, own_settings, people)
        self._unknown: TTLCache[tuple[str, ...], bool] = TTLCache(1_000, 3_600.0, timer=clock.monotonic)
        """Deliveries for workspaces that nobody knows, told once an hour."""
        self._intake: Intake | None = None
        self._app: AsyncApp | None = None
        self._socket: Socket | None = None
        self._closing = asyncio.Event()
        self._under_way = 0
        self._redelivery = Redelivery(clock)
        self._signatures = Signatures(settings.signing_secret, clock)
        self._state: _State = "starting"
        self._detail = ""
        self._event_in_at: float | None = None

    # --- listening ---

    async def run(self, intake: Intake, commands: Commands) -> None:
        """Raises SettingsError when Slack refuses a token, SurfaceBusy when it cannot be reached."""
        self._closing.clear()
        self._state = "starting"
        self._intake = intake
        try:
            async with (
                aiohttp.ClientSession() as session,
                GuardedFetcher(proxy=self._settings.proxy or None) as fetcher,
                asyncio.TaskGroup() as tasks,
            ):
                self._home.connect(session, fetcher, tasks)
                listened_until = await self._listened_until()
                if self._workspaces:
                    self._workspaces.use(session, fetcher, tasks, intake, commands)
                    app = self._app = self._bolt(None)
                    tasks.create_task(self._workspaces.keep_fresh())
                    tasks.create_task(self._backfill_all(intake, listened_until))
                else:
                    me = await self._introduce()
                    await self._home.users.remember()
                    dispatcher = self._home.begin(me, intake, commands, tasks)
                    app = self._app = self._bolt(me)
                    tasks.create_task(self._until_removed(dispatcher))
                    self._backfill(dispatcher, listened_until)
                tasks.create_task(self._note_listening())
                tasks.create_task(self._redelivery.make_good(self._deliver_again, self._tell_waiting))
                await self._listen(app)
        except BaseExceptionGroup as group:
            # One cause in plain sight: the supervisor decides by its type.
            raise _only(group) from None
        finally:
            self._state = "down"
            self._app = None
            self._home.disconnect()
            if self._workspaces:
                self._workspaces.close()

    def _backfill(self, dispatcher: Dispatcher, listened_until: float) -> None:
        if self._settings.distribution != "unlisted":
            handlers = dispatcher.handlers
            handlers.later(backfill(handlers, dispatcher.asked, listened_until=listened_until))

    async def _backfill_all(self, intake: Intake, listened_until: float) -> None:
        """Only workspaces in which somebody asked lately: the others have missed nothing that we would know of."""
        try:
            since = self._clock.now() - self._settings.backfill_hours * 3_600
            active = await intake.active_conversations("slack", since)
            for key in dict.fromkeys(at.workspace for at, _ in active):
                workspace = await self._of(key)
                if workspace and workspace.dispatcher:
                    self._backfill(workspace.dispatcher, listened_until)
        except StorageError as error:
            logger.warning("could not look for missed messages: %s", error)

    async def _of(self, key: str) -> Workspace | None:
        """The workspace of a conversation. Raises StorageError."""
        return await self._workspaces.get(key) if self._workspaces else self._home

    async def _workspace(self, incoming: Incoming) -> Workspace:
        """Raises SurfaceBusy, or SurfaceGone where it took the app away."""
        try:
            workspace = await self._of(incoming.conversation.workspace)
        except StorageError as error:
            raise SurfaceBusy("the workspace's installation cannot be read now", retry_after_s=2.0) from error
        if workspace is None:
            raise SurfaceGone("the workspace has taken the app away")
        return workspace

    async def _introduce(self) -> Me:
        try:
            return await self._api.me()
        except Foreign as error:
            if code_of(error) in REFUSED | LACKING:  # auth.test needs no scope
                self._detail = f"token refused ({code_of(error)})"
                advice = "install the app again and copy the Bot User OAuth Token; see .env.example"
                raise SettingsError([f"Slack refuses SLACK_BOT_TOKEN ({code_of(error)}): {advice}"]) from error
            raise translate(error) from error

    def _bolt(self, me: Me | None) -> AsyncApp:
        """Bolt filters our own events and speaks both transports; everything else happens in one global middleware,
        which runs before Bolt would acknowledge anything by itself (facts/slack.md 2)."""
        who = AuthorizeResult(
            enterprise_id=me.enterprise or None if me else None,
            team_id=me.team if me else None,
            bot_user_id=me.user if me else None,  # with many workspaces `parse` alone knows our own events
            bot_id=me.bot if me else None,
            bot_token=self._settings.bot_token or None,
        )

        async def authorize(**_: Any) -> AuthorizeResult:
            return who  # Bolt's own would call auth.test again (facts/slack.md 1.11)

        app = AsyncApp(
            name="tern",
            client=self._api.anonymous,
            request_verification_enabled=False,  # done before Bolt reads the body, which raises where that is nonsense
            authorize=authorize,
            logger=_bolt_logger,
        )

        async def take(body: dict[str, Any]) -> BoltResponse:
            return await self._take(body)

        async def spoilt(error: Exception) -> BoltResponse:
            # Bolt trusts the shape of what it reads, and its own handler would log forty lines.
            logger.warning("a delivery is not what Slack sends (%s)", type(error).__name__)
            return BoltResponse(status=400, body="not what Slack sends")

        app.middleware(take)
        app.error(spoilt)
        return app

    async def _take(self, body: dict[str, Any]) -> BoltResponse:
        if self._closing.is_set() or not self._app:
            return BoltResponse(status=503)  # not acknowledged: Slack delivers it to whoever comes next
        self._event_in_at = self._clock.now()
        self._under_way += 1
        try:
            await self._deliver(body)
        except StorageError as error:
            self._redelivery.note(body)
            return _not_taken(f"it could not be stored: {error}")
        except SurfaceError as error:
            return _not_taken(str(error))
        except Exception:
            logger.exception("a delivery broke its handler")
            return BoltResponse(status=500)
        finally:
            self._under_way -= 1
        self._redelivery.stored(body)
        return BoltResponse(status=200)

    async def _deliver(self, body: Body) -> None:
        """Raises StorageError and SurfaceError."""
        workspace = await self._workspaces.of(body) if self._workspaces else self._home
        if workspace is None:
            if (keys := keys_of(body)) not in self._unknown:
                self._unknown[keys] = True
                logger.warning("a delivery came for a workspace that has not installed the app; acknowledged")
            return
        if workspace.dispatcher is None:
            raise StorageBusy("the workspace is being opened")
        await workspace.dispatcher.deliver(body)
        if self._workspaces and workspace.dispatcher.removed.is_set():
            await self._workspaces.removed(body, workspace.dispatcher.removed_why)
            workspace.dispatcher.removed.clear()

    async def _deliver_again(self, body: Body) -> None:
        if self._app is None or self._closing.is_set():
            raise StorageError("closing")  # the next start's back-fill looks for it
        await self._deliver(body)

    def _tell_waiting(self, body: Body, error: StorageError) -> None:
        """Where many workspaces install the app its own is found in the database, which just now fails."""
        if self._home.dispatcher:
            self._home.dispatcher.tell_waiting(body, error)

    async def _listen(self, app: AsyncApp) -> None:
        if not self._settings.over_socket:
            self._state = "connected"
            await self._forever()
        while not self._closing.is_set():
            try:
                async with Socket(app, self._settings, self._api, self._clock) as socket:
                    self._socket, self._state, self._detail = socket, "connected", ""
                    await self._until_dead_or_closing(socket)
                    await self._deliveries_over()
            except SurfaceBusy:
                if self._state == "starting":
                    raise
                # Replies in flight need the session, which may well work while no socket is to be had.
                await self._clock.sleep(self._settings.ping_interval_s)
            finally:
                self._socket = None
        await self._forever()

    async def _until_dead_or_closing(self, socket: Socket) -> None:
        async with asyncio.TaskGroup() as group:
            ends = {group.create_task(socket.watch()), group.create_task(self._closing.wait())}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()

    async def _forever(self) -> None:
        """Replies in flight still need the session; whoever cancels `run` ends it."""
        await asyncio.Event().wait()

    async def _listened_until(self) -> float:
        """Until when an earlier process listened, epoch seconds; 0 where none did."""
        try:
            return float(await self._notes.get(_LISTENING_AT) or 0)
        except (StorageError, ValueError):
            return 0.0

    async def _note_listening(self) -> None:
        while not self._closing.is_set():
            await self._clock.sleep(_NOTE_EVERY_S)
            if self.health().state == "connected" and not self._redelivery:
                try:
                    await self._notes.set(_LISTENING_AT, f"{self._clock.now():.0f}")
                except StorageError as error:
                    logger.info("could not note that we are listening: %s", error)

    async def _until_removed(self, dispatcher: Dispatcher) -> None:
        await dispatcher.removed.wait()
        raise SettingsError([f"Slack says that {dispatcher.removed_why}: install the app again; see .env.example"])

    async def close_intake(self) -> None:
        """Returns when every delivery that was begun is stored and acknowledged, at the latest after three seconds."""
        self._closing.set()
        await self._deliveries_over()

    async def _deliveries_over(self) -> None:
        for _ in range(round(_DELIVERY_ENDS_WITHIN_S / _LOOK_EVERY_S)):
            if not self._under_way:
                return
            await self._clock.sleep(_LOOK_EVERY_S)

    def routes(self) -> list[web.RouteDef]:
        """Slack's requests over signed HTTP, and the pages of "Add to Slack" where many install the app."""
        routes = [] if self._settings.over_socket else [web.post(PATH, self._over_http)]
        if self._workspaces:
            from adapters.slack.oauth import Installing  # a fifth of Bolt, that one workspace never needs

            routes += Installing(self._settings, self._workspaces, self._clock).routes()
        return routes

    async def _over_http(self, request: web.Request) -> web.Response:
        if self._app is None or self._closing.is_set():
            return web.Response(status=503)
        try:
            async with asyncio.timeout(_BODY_WITHIN_S):
                body = await read_body(request)
        except TimeoutError:
            return web.Response(status=408)
        if body is None:
            return web.Response(status=413)
        if not self._signatures.are_good(request.headers, body):
            return web.Response(status=401)
        try:
            taken = bolt_request(request, body)
        except Nonsense as error:
            logger.warning("a signed request was refused: %s", error)
            return web.Response(status=400, text=f"{error}\n")
        return await to_aiohttp_response(await self._app.async_dispatch(taken))

    # --- answering ---

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> Surface:
        """Raises SurfaceGone where a private answer's right to be shown has expired: it is never made public."""
        target, workspace = target_of(incoming), await self._workspace(incoming)
        api = workspace.api
        if (team := unchecked_team(incoming)) is not None:
            await self._check(workspace, incoming, team, capability)
        if incoming.visibility == "private":
            if capability is None or capability.expires_at <= self._clock.now():
                raise SurfaceGone("the right to answer privately has expired")
            return EphemeralSurface(
                api, capability.secret, target.user, reply_id, placeholder=self._may_hold_place(incoming)
            )
        asked_by_command = not target.since and bool(incoming.text)
        above = heading(incoming.speaker, incoming.text) if asked_by_command else ""
        again = incoming.action in ("regenerate", "shorter")  # into a message that stands already: streams cannot
        if incoming.direct and target.thread:
            return StreamedSurface(
                api,
                target,
                workspace.streaming,
                may_start=not again and workspace.streaming.take(),
                on_user_stop=lambda: self._stopped_by_user(incoming),
                is_ours=lambda ts: self._is_ours(target.workspace, target.channel, ts),
                on_closed=lambda code: _tell_elsewhere(workspace, incoming, code),
            )
        return EditedSurface(
            api, target, heading=above, on_closed=lambda code: _tell_elsewhere(workspace, incoming, code)
        )

    async def _check(
        self, workspace: Workspace, incoming: Incoming, team: str, capability: ReplyCapability | None
    ) -> None:
        """Decide what could not be decided when it was asked. Raises SurfaceBusy, or SurfaceGone where it is no."""
        if workspace.dispatcher is None:
            raise SurfaceBusy("Slack is not connected", retry_after_s=2.0)
        handlers, user, channel = workspace.dispatcher.handlers, incoming.user.user, incoming.conversation.channel
        why = await handlers.refusal(user, channel=channel, direct=incoming.direct, team=team)
        if why is None:
            raise SurfaceBusy("Slack does not say yet who asks", retry_after_s=5.0)
        if not why:
            return
        if capability:
            handlers.later(handlers.say(Secret(capability.secret), sentence_for(NotAllowed(why))))
        else:
            handlers.later(handlers.explain(why, user, channel, incoming.address.get("thread", "")))
        raise SurfaceGone("whoever asks may not ask here")

    def _may_hold_place(self, incoming: Incoming) -> bool:
        """Whether to whisper a placeholder: to who asked just now, not again with every later attempt, and where what
        replaces it cannot take the place of something else: an answer that is done anew, or one of our own messages
        that a shortcut was used on."""
        if incoming.action in ("regenerate", "shorter") or incoming.address.get("on_own"):
            return False
        return self._clock.now() - incoming.received_at < _JUST_NOW_S

    async def _stopped_by_user(self, incoming: Incoming) -> None:
        """The press itself may have been lost in a reconnect; the refused append tells the same."""
        try:
            if self._intake:
                await self._intake.stop(incoming.conversation, incoming.user)
        except StorageError as error:
            logger.warning("could not note that a stream was stopped: %s", error)

    async def _is_ours(self, workspace: str, channel: str, ts: str) -> bool:
        try:
            known = await self._intake.conversation_of("slack", channel, ts) if self._intake else None
            return known is not None and known.workspace == workspace
        except StorageError as error:
            raise SurfaceBusy("which messages are ours cannot be looked up now") from error

    async def fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncGenerator[bytes, None]:
        files = (await self._workspace(incoming)).files
        if files is None:
            raise SurfaceBusy("Slack is not connected", retry_after_s=2.0)
        async for chunk in files.fetch(attachment):
            yield chunk

    async def captions(self, attachment: Attachment, incoming: Incoming) -> str:
        """Slack's own preview of what is said in a voice clip, "" where it has none."""
        try:
            files = (await self._workspace(incoming)).files
        except SurfaceError:
            return ""
        return await files.captions(attachment) if files else ""

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        try:
            workspace = await self._workspace(incoming)
        except SurfaceError:
            return ()
        asks_about_it = incoming.purpose in ("summarise", "extract") or not incoming.text
        if workspace.me is None or (self._settings.distribution == "unlisted" and not asks_about_it):
            return ()
        return await read_context(
            workspace.api, workspace.users, workspace.me, incoming, channel_messages=channel_messages
        )

    def health(self) -> AdapterHealth:
        able = self._api.abilities
        if self._state == "connected" and able.shut_out:
            return self._health("down", f"token refused ({able.shut_out})")
        if self._state == "connected" and self._settings.over_socket and not (self._socket and self._socket.alive):
            return self._health("down", "no socket")
        if self._state == "connected" and self._signatures.trouble:
            return self._health("down", self._signatures.trouble)
        return self._health(self._state, self._detail or (f"may not {able.off}" if able.off else ""))

    def _health(self, state: _State, detail: str) -> AdapterHealth:
        heartbeat = self._event_in_at
        if self._settings.over_socket:
            heartbeat = self._socket.pong_at if self._socket else None
        delivered_at = self._workspaces.delivered_at if self._workspaces else self._api.delivered_at
        return AdapterHealth(state, detail, heartbeat, self._event_in_at, delivered_at)


def _tell_elsewhere(workspace: Workspace, incoming: Incoming, code: str) -> None:
    """Somebody asked where nothing of ours can stand: they hear so in their direct messages."""
    if workspace.dispatcher:
        handlers = workspace.dispatcher.handlers
        said = handlers.tell_directly("closed", cannot_write_there(CLOSED[code]), incoming.user.user)
        handlers.later(said)


def _not_taken(why: str) -> BoltResponse:
    """Meant, and no defect: without an acknowledgement Slack delivers it again."""
    logger.warning("a delivery waits to come again: %s", why)
    return BoltResponse(status=503)


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception of a group whose tasks fail one at a time; a cancellation yields to a cause."""
    leaves = [_only(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((leaf for leaf in leaves if not isinstance(leaf, asyncio.CancelledError)), leaves[0])
