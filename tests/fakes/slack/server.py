"""The fake as a server: `async with FakeSlack() as slack:` and point an app at `slack.api_url`."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web

from tests.fakes.slack.checks import Refused, check_blocks, parts_of, pings_in
from tests.fakes.slack.deliveries import Deliveries, Delivery
from tests.fakes.slack.methods import Methods
from tests.fakes.slack.rates import Rates
from tests.fakes.slack.world import JSON, Fault, Message, Person, Place, World

BOT_TOKEN = "xoxb-fake-bot"
APP_TOKEN = "xapp-fake-app"
SIGNING_SECRET = "fake-signing-secret"

ALL_EVENTS = frozenset({
    "app_mention", "message.channels", "message.groups", "message.im", "message.mpim", "app_home_opened",
    "agent_session_stopped", "tokens_revoked", "app_uninstalled", "reaction_added",
})  # fmt: skip

SCOPES = frozenset({
    "app_mentions:read", "assistant:write", "channels:history", "channels:read", "chat:write", "commands", "files:read",
    "files:write", "groups:history", "groups:read", "im:history", "im:read", "im:write", "mpim:history", "mpim:read",
    "reactions:read",
    "users:read",
})  # fmt: skip

LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in</body></html>"


@dataclass
class File:
    """A file that somebody shared; `serve` says how its address answers."""

    id: str
    name: str
    mime: str
    content: bytes = b""
    subtype: str = ""
    duration_ms: int | None = None
    check_file_info: bool = False
    """Slack Connect: the event carries neither address nor type (facts/slack.md 1.7)."""
    serve: Callable[[web.Request], AsyncIterator[bytes] | web.StreamResponse] | None = None
    url: str = ""
    size: int | None = None
    transcription: JSON | None = None
    """Slack's own, as far as it has got (facts/slack.md 1.7)."""

    def as_json(self, origin: str) -> JSON:
        url = self.url or f"{origin}/files/{self.id}/{self.name}"
        size = len(self.content) if self.size is None else self.size
        file: JSON = {"id": self.id, "name": self.name, "mimetype": self.mime, "size": size, "mode": "hosted"}
        if self.subtype:
            file["subtype"] = self.subtype
        if self.duration_ms is not None:
            file["duration_ms"] = self.duration_ms
        if self.transcription is not None:
            file["transcription"] = self.transcription
        return file | {"url_private": url, "url_private_download": f"{url}?download=1", "file_access": "visible"}

    def in_event(self, origin: str) -> JSON:
        if self.check_file_info:
            return {"id": self.id, "mode": "file_access", "file_access": "check_file_info"}
        return self.as_json(origin)


@dataclass
class Upload:
    name: str
    length: int
    content: bytes = b""


@dataclass
class ResponseUrl:
    """Good for five uses in thirty minutes (facts/slack.md 1.6)."""

    channel: str
    user: str
    made_at: float
    uses: int = 0
    messages: list[Message] = field(default_factory=list)
    pressed: bool = False
    """It came with the press of a button, whose message it replaces in any case."""


class FakeSlack:
    """One workspace with the people Ada, Bob and the guest Gil, and the bot in #general.

    Knobs are plain attributes; everything that happened is in `calls`, `pings`, `violations`, `rates.refused` and the
    world's messages. Time is the running loop's, so that virtual time works.
    """

    def __init__(self, *, team: str = "T1", enterprise: str = "", org_install: bool = False) -> None:
        self.world = World(team=team, enterprise=enterprise)
        self.org_install = org_install
        self.deliveries = Deliveries(SIGNING_SECRET)
        self.rates = Rates()
        self.calls: list[tuple[str, JSON, float]] = []
        self.pings: list[str] = []
        """Everything the app sent that could have pinged somebody."""
        self.violations: list[str] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.absent_methods: set[str] = set()
        """GovSlack has no streaming methods: they are `unknown_method` (facts/slack.md 1.2)."""
        self.scopes: set[str] = set(SCOPES)
        """What the app was installed with; auth.test names them in a header."""
        self.latency_s = 0.0
        self.stream_lifetime_s = 300.0
        self.stream_lifetime: Literal["total", "idle"] = "total"
        self.stream_cap: Literal["chars", "bytes"] = "chars"
        self.page_size = 1_000
        """15 for apps that are distributed outside the Marketplace (facts/slack.md 1.9)."""
        self.is_agent = True
        self.commands_replace = True
        """Whether replace_original works under a command's response_url; some saw it say one thing more instead
        (https://github.com/slackapi/bolt-python/issues/1268)."""
        self.subscribed: set[str] = set(ALL_EVENTS)
        self.twins: Literal["message first", "mention first"] = "message first"
        self.event_time = 1_800_000_000
        self.echo = True
        """Whether the app hears of its own posts and edits, as it does in Slack."""
        self.valid_bot_token = BOT_TOKEN
        self.valid_app_token = APP_TOKEN
        self.token_error = "invalid_auth"
        self.files: dict[str, File] = {}
        self.uploads: dict[str, Upload] = {}
        self.homes: dict[str, JSON] = {}
        self.prompts: dict[str, list[JSON]] = {}
        self.titles: dict[tuple[str, str], str] = {}
        self.statuses: list[tuple[str, str, str]] = []
        self.sessions: list[tuple[str, str, str]] = []
        """(channel, thread, status) in order."""
        self.response_urls: dict[str, ResponseUrl] = {}
        self.file_requests: list[tuple[str, str]] = []
        """(path, Authorization header) of every download."""
        self.tenants: list[FakeSlack] = []
        """Workspaces that may install the app of this one, each with a world and tokens of its own."""
        self.client = ("1.2", "client-secret")
        self.rotates = False
        """Tokens live for twelve hours and each refresh token is good for one use (facts/slack-2.md 1.5)."""
        self.tokens: deque[tuple[str, float]] = deque(maxlen=2)
        """(token, when it ends) that are good: two at most, a third one kills the oldest."""
        self.refresh_token = ""
        self.refreshes = 0
        self._methods = Methods(self)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._serial = 0
        for person in (Person("U1", "Ada"), Person("U2", "Bob"), Person("U3", "Gil", guest=True)):
            self.person(person)
        self.person(Person("U9", "Eve", team="T9"))
        self.person(Person("U0TERN", "tern", bot=True))
        self.place(Place("C1", "channel"))
        self.place(Place("D1", "im", members=frozenset({"U1"})))

    # --- life ---

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/api/{method}", self._serve_api)
        app.router.add_get("/socket/{ticket}", self.deliveries.serve_socket)
        app.router.add_get("/files/{id}/{name}", self._serve_file)
        app.router.add_post("/upload/{id}", self._serve_upload)
        app.router.add_post("/response/{id}", self._serve_response_url)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.deliveries.close()
        if self._runner:
            await self._runner.cleanup()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_url(self) -> str:
        return f"{self.origin}/api/"

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def next_ts(self) -> str:
        return self.world.next_ts()

    # --- the world ---

    def person(self, person: Person) -> Person:
        self.world.people[person.id] = person
        return person

    def place(self, place: Place) -> Place:
        self.world.places[place.id] = place
        return place

    def dm_of(self, user: str) -> Place:
        place = self.world.places.get(f"D{user}")
        return place or self.place(Place(f"D{user}", "im", members=frozenset({user})))

    def fault(self, method: str, *faults: Fault) -> None:
        """The next calls of *method* go wrong, one fault each."""
        self.faults[method].extend(faults)

    def session(self, channel: str, thread: str, status: str) -> None:
        self.sessions.append((channel, thread, status))

    # --- many workspaces: facts/slack-2.md 1 ---

    def tenant(self, number: int, *, enterprise: str = "", org_install: bool = False) -> FakeSlack:
        """A workspace that shares this one's app and server; ids of channels are its own, as everywhere in Slack."""
        one = FakeSlack(team=f"T{number:04d}", enterprise=enterprise, org_install=org_install)
        one.world.places.clear()
        one.place(Place(f"C{number:04d}", "channel"))
        one.place(Place(f"D{number:04d}", "im", members=frozenset({"U1"})))
        one.deliveries, one._port, one.valid_bot_token, one.echo = self.deliveries, self._port, "", False
        for person in one.world.people.values():
            if person.team == "T1":
                person.team, person.enterprise = one.world.team, enterprise
        self.tenants.append(one)
        return one

    def _oauth(self, given: JSON, request: web.Request) -> web.Response:
        """oauth.v2.access: a code that the fake made ("code-TEAM"), or a refresh token."""
        basic = request.headers.get("Authorization", "").removeprefix("Basic ")
        named = tuple(base64.b64decode(basic).decode().split(":", 1)) if basic else ()
        if (given.get("client_id"), given.get("client_secret")) != self.client and named != self.client:
            return _error("bad_client_secret")
        if given.get("grant_type") == "refresh_token":
            one = next((t for t in self.tenants if t.refresh_token == given.get("refresh_token")), None)
            if one is None:
                return _error("invalid_refresh_token")
            one.refreshes += 1
        else:
            one = next((t for t in self.tenants if f"code-{t.world.team}" == given.get("code")), None)
            if one is None:
                return _error("invalid_code")
        return web.json_response(one.new_tokens())

    def new_tokens(self) -> JSON:
        self._serial += 1
        token = f"xoxb-{self.world.team}-{self._serial}"
        self.tokens.append((token, self.now() + 43_200.0 if self.rotates else float("inf")))
        answer: JSON = {
            "ok": True, "app_id": "A0TERN", "access_token": token, "token_type": "bot", "bot_user_id": "U0TERN",
            "scope": ",".join(sorted(self.scopes)), "authed_user": {"id": "U1"},
            "team": None if self.org_install else {"id": self.world.team, "name": f"Team {self.world.team}"},
            "enterprise": {"id": self.world.enterprise, "name": "Org"} if self.world.enterprise else None,
            "is_enterprise_install": self.org_install,
        }  # fmt: skip
        if self.rotates:
            self.refresh_token = f"xoxe-{self.world.team}-{self._serial}"
            answer |= {"refresh_token": self.refresh_token, "expires_in": 43_200}
        return answer

    def uninstall(self) -> list[Delivery]:
        """Both events come, in any order (facts/slack-2.md 1.4)."""
        self.tokens.clear()
        revoked = {"type": "tokens_revoked", "tokens": {"bot": ["U0TERN"]}}
        return [self.event(event) for event in (revoked, {"type": "app_uninstalled"})]

    # --- what people do ---

    def say(
        self,
        user: str,
        text: str,
        *,
        channel: str = "C1",
        thread: str = "",
        files: Sequence[File] = (),
        subtype: str = "",
        blocks: Sequence[JSON] = (),
        silently: bool = False,
        **extra: Any,
    ) -> Message:
        """Somebody writes. The events go out unless *silently* (lost, or written while nobody listened)."""
        message = Message(
            channel, self.next_ts(), user=user, text=text, thread=thread, blocks=list(blocks), extra=extra
        )
        for file in files:
            self.files[file.id] = file
        message.files = [file.in_event(self.origin) for file in files]
        message.subtype = subtype or ("file_share" if files else "")
        self.world.messages.append(message)
        if not silently:
            self.announce(message)
        return message

    def announce(self, message: Message) -> list[Delivery]:
        """Send the events of a new message: one, or the twins of a mention (facts/slack.md 1.8)."""
        place = self.world.places[message.channel]
        event = message.as_json() | {"channel": place.id, "channel_type": place.kind, "event_ts": message.ts}
        event["team"] = self.world.people[message.user].team if message.user in self.world.people else self.world.team
        if event["team"] != self.world.team:
            event["user_team"] = event["team"]
        events = [self._message_event(place, event)]
        if "<@U0TERN" in message.text and place.kind in ("channel", "group") and "app_mention" in self.subscribed:
            # The app_mention copy has no channel_type (facts/slack.md 1.8).
            mention = {k: v for k, v in event.items() if k not in {"channel_type", "subtype"}} | {"type": "app_mention"}
            events.append(mention)
        if self.twins == "mention first":
            events.reverse()
        return [self.event(event) for event in events if event]

    def _message_event(self, place: Place, event: JSON) -> JSON | None:
        kind = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}[place.kind]
        heard = place.bot_is_member and f"message.{kind}" in self.subscribed
        return event if heard else None

    def event(self, event: JSON) -> Delivery:
        """Wrap and deliver one event."""
        return self.deliveries.send("events_api", self.envelope(event))

    def envelope(self, event: JSON) -> JSON:
        self._serial += 1
        install: JSON = {
            "enterprise_id": self.world.enterprise or None,
            "team_id": None if self.org_install else self.world.team,
            "user_id": "U0TERN", "is_bot": True, "is_enterprise_install": self.org_install,
        }  # fmt: skip
        return {
            "token": "legacy", "team_id": self.world.team, "api_app_id": "A0TERN", "event": event,
            "type": "event_callback", "event_id": f"Ev{self._serial:06d}", "event_time": self.event_time,
            "authorizations": [install], "is_ext_shared_channel": False, "event_context": f"4-{self._serial}",
        }  # fmt: skip

    def edit(self, message: Message, text: str) -> Delivery:
        old = message.as_json()
        message.text = text
        message.extra["edited"] = {"user": message.user, "ts": self.next_ts()}
        return self.changed(message, old)

    def changed(self, message: Message, old: JSON) -> Delivery:
        """message_changed: also raised by replies, unfurls and attachments (facts/slack.md 1.8)."""
        kind = self.world.places[message.channel].kind
        ts = self.next_ts()
        return self.event({
            "type": "message", "subtype": "message_changed", "hidden": True, "channel": message.channel, "ts": ts,
            "event_ts": ts, "channel_type": kind, "message": message.as_json(), "previous_message": old,
        })  # fmt: skip

    def delete(self, message: Message) -> Delivery:
        """A deleted message that has replies is emptied instead of taken away."""
        has_replies = any(m.thread == message.ts for m in self.world.messages)
        old = message.as_json()
        if has_replies:
            message.subtype, message.text, message.user = "tombstone", "This message was deleted.", "USLACKBOT"
            return self.changed(message, old)
        message.deleted = True
        ts = self.next_ts()
        return self.event({
            "type": "message", "subtype": "message_deleted", "hidden": True, "channel": message.channel,
            "ts": ts, "deleted_ts": message.ts, "event_ts": ts, "previous_message": old,
            "channel_type": self.world.places[message.channel].kind,
        })  # fmt: skip

    def react(self, user: str, message: Message, name: str) -> Delivery:
        """No words come with it (facts/slack-2.md 5.1)."""
        return self.event({
            "type": "reaction_added", "user": user, "reaction": name, "item_user": message.user,
            "item": {"type": "message", "channel": message.channel, "ts": message.ts}, "event_ts": self.next_ts(),
        })  # fmt: skip

    def command(self, user: str, text: str, *, channel: str = "C1") -> Delivery:
        self._serial += 1
        return self.deliveries.send("slash_commands", {
            "token": "legacy", "team_id": self.world.people[user].team, "team_domain": "terns", "channel_id": channel,
            "channel_name": "general", "user_id": user, "user_name": user.lower(), "command": "/tern", "text": text,
            "api_app_id": "A0TERN", "is_enterprise_install": "true" if self.org_install else "false",
            "response_url": self.response_url(channel, user), "trigger_id": f"1.2.trigger{self._serial}",
        })  # fmt: skip

    def shortcut(self, user: str, message: Message, callback_id: str) -> Delivery:
        self._serial += 1
        return self.deliveries.send("interactive", {
            "type": "message_action", "token": "legacy", "callback_id": callback_id, "action_ts": "1",
            "trigger_id": f"3.4.t{self._serial}", "team": {"id": self.world.team}, "user": self._user(user),
            "channel": {"id": message.channel, "name": "general"}, "message_ts": message.ts,
            "message": message.as_json(), "response_url": self.response_url(message.channel, user),
        })  # fmt: skip

    def press(self, user: str, message: Message, action_id: str, *, negative: bool = False) -> Delivery:
        """Press what stands under *message*."""
        self._serial += 1
        value = message.buttons[action_id]
        if negative:
            value = value.replace("up:", "down:", 1)
        response_url = self.response_url(message.channel, user)
        if message.ephemeral_for:
            right = self.response_urls[response_url.rsplit("/", 1)[1]]
            right.messages, right.pressed = [message], True
        action = {"type": "button", "action_id": action_id, "block_id": "b", "value": value, "action_ts": "1"}
        container = {
            "type": "message", "message_ts": message.ts, "channel_id": message.channel,
            "is_ephemeral": bool(message.ephemeral_for),
        }  # fmt: skip
        return self.deliveries.send("interactive", {
            "type": "block_actions", "token": "legacy", "trigger_id": f"5.6.t{self._serial}", "user": self._user(user),
            "team": {"id": self.world.team, "domain": "terns"}, "container": container,
            "channel": {"id": message.channel, "name": "general"}, "message": message.as_json(),
            "response_url": response_url, "actions": [action],
        })  # fmt: skip

    def act_at_home(self, user: str, action: JSON) -> Delivery:
        """Use something on the Home tab: no channel, no response_url."""
        self._serial += 1
        return self.deliveries.send("interactive", {
            "type": "block_actions", "token": "legacy", "trigger_id": f"7.8.t{self._serial}", "user": self._user(user),
            "team": {"id": self.world.team, "domain": "terns"}, "container": {"type": "view", "view_id": "V1"},
            "view": {"id": "V1", "type": "home"}, "actions": [action | {"block_id": "b", "action_ts": "1"}],
        })  # fmt: skip

    def open_home(self, user: str) -> Delivery:
        return self.event({"type": "app_home_opened", "user": user, "channel": self.dm_of(user).id, "tab": "home"})

    def open_messages(self, user: str) -> Delivery:
        return self.event({"type": "app_home_opened", "user": user, "channel": self.dm_of(user).id, "tab": "messages"})

    def press_native_stop(self, user: str, channel: str, thread: str) -> Delivery:
        """Slack's own Stop (facts/slack.md 1.1): later appends fail, the app is told."""
        streaming = [m for m in self.world.messages if m.channel == channel and m.thread == thread and m.stream]
        for message in streaming:
            assert message.stream is not None
            message.stream.stopped_by_user = True
        return self.event({
            "type": "agent_session_stopped", "channel": channel, "thread_ts": thread, "user": user,
            "streaming_message_ts": [message.ts for message in streaming], "event_ts": self.next_ts(),
        })  # fmt: skip

    def _user(self, user: str) -> JSON:
        return {"id": user, "username": user.lower(), "name": user.lower(), "team_id": self.world.people[user].team}

    # --- what a reader sees ---

    def answers(self, channel: str = "C1", thread: str = "") -> list[Message]:
        """The bot's messages, oldest first; of one thread where one is given."""
        found = [
            m for m in self.world.messages if m.bot and m.channel == channel and not m.deleted and not m.ephemeral_for
        ]
        return [m for m in found if not thread or m.thread == thread]

    def whispers(self, user: str) -> list[Message]:
        """What only *user* sees, oldest first."""
        return [m for m in self.world.messages if m.ephemeral_for == user and not m.deleted]

    def count(self, method: str) -> int:
        return sum(name == method for name, _, _ in self.calls)

    # --- own posts come back as events ---

    def on_own(self, message: Message) -> None:
        if self.echo and not message.ephemeral_for and self._reachable:
            place = self.world.places[message.channel]
            event = message.as_json() | {"channel": place.id, "channel_type": place.kind, "event_ts": message.ts}
            self.event(event)

    def on_own_changed(self, message: Message, old: JSON) -> None:
        if self.echo and self._reachable:
            self.changed(message, old)

    @property
    def _reachable(self) -> bool:
        return bool(self.deliveries.target or self.deliveries.sockets)

    # --- HTTP ---

    async def _serve_api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        given = await _arguments(request)
        came_at = self.now()
        self.calls.append((method, given, came_at))
        fault = self.faults[method].popleft() if self.faults[method] else None
        carried_out = fault is None or fault.after_doing
        # Counted as it comes: a call that is slow to be answered is not measured against those that came after it.
        wait_s = self.rates.take(method, given.get("channel", ""), came_at) if carried_out else 0
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if fault and fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault and not carried_out:
            return self._failed(request, fault)
        answer = self._answer(method, given, request, wait_s)
        if fault:
            return self._failed(request, fault)
        return answer

    def _answer(self, method: str, given: JSON, request: web.Request, wait_s: int) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or given.pop("token", "")
        given.pop("token", None)
        if method == "oauth.v2.access":
            return self._oauth(given, request)
        for tenant in self.tenants:
            ends_at = dict(tenant.tokens).get(token)
            if ends_at is not None:
                if ends_at <= self.now():
                    return _error("token_expired")
                tenant.valid_bot_token = token
                tenant.calls.append((method, given, self.now()))
                wait_s = tenant.rates.take(method, given.get("channel", ""), self.now())
                return tenant._answer(method, given, request, wait_s)
        if self.tenants and method != "apps.connections.open":
            self.violations.append(f"{method} came with a token of nobody")
            return _error(self.token_error)
        wanted = self.valid_app_token if method == "apps.connections.open" else self.valid_bot_token
        if not token:
            return _error("not_authed")
        if token != wanted:
            return _error(self.token_error)
        if wait_s:
            return web.json_response(
                {"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": str(wait_s)}
            )
        headers = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))}
        try:
            return web.json_response(self._methods.call(method, given), headers=headers)
        except Refused as refused:
            return web.json_response({"ok": False, "error": str(refused), **refused.more}, headers=headers)
        except (KeyError, TypeError) as error:
            self.violations.append(f"{method}: {error!r}")
            return _error("invalid_arguments")

    def _failed(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.drop:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        headers = dict(fault.headers)
        if fault.retry_after_s:
            headers["Retry-After"] = str(fault.retry_after_s)
        if fault.status >= 500:
            return web.Response(status=fault.status, text="upstream trouble", headers=headers)
        return web.json_response(
            {"ok": False, "error": fault.error or "ratelimited"}, status=fault.status, headers=headers
        )

    async def _serve_file(self, request: web.Request) -> web.StreamResponse:
        self.file_requests.append((request.path_qs, request.headers.get("Authorization", "")))
        file = self.files.get(request.match_info["id"])
        if file is None:
            return web.Response(status=404)
        if request.headers.get("Authorization") != f"Bearer {self.valid_bot_token}":
            # Without the right token Slack answers 200 with its login page (facts/slack.md 1.7).
            return web.Response(body=LOGIN_PAGE, content_type="text/html")
        if file.serve:
            answer = file.serve(request)
            if isinstance(answer, web.StreamResponse):
                return answer
            response = web.StreamResponse()
            await response.prepare(request)
            async for piece in answer:
                await response.write(piece)
            return response
        return web.Response(body=file.content, content_type=file.mime or "application/octet-stream")

    def new_upload(self, name: str, length: int) -> JSON:
        self._serial += 1
        upload_id = f"F{self._serial:05d}UP"
        self.uploads[upload_id] = Upload(name, length)
        return {"file_id": upload_id, "upload_url": f"{self.origin}/upload/{upload_id}"}

    async def _serve_upload(self, request: web.Request) -> web.Response:
        upload = self.uploads[request.match_info["id"]]
        upload.content = await request.read()
        if request.content_type.startswith("multipart/"):
            return web.Response(status=400, text="raw bytes expected")
        return web.Response(text=f"OK - {len(upload.content)}")

    def new_socket_url(self) -> str:
        self._serial += 1
        return f"ws://127.0.0.1:{self._port}/socket/{self._serial}"

    def response_url(self, channel: str, user: str) -> str:
        self._serial += 1
        key = f"r{self._serial}"
        made_at = self.now() if _in_loop() else 0.0
        self.response_urls[key] = ResponseUrl(channel, user, made_at)
        return f"{self.origin}/response/{key}"

    async def _serve_response_url(self, request: web.Request) -> web.StreamResponse:
        """Facts/slack.md 1.6: five uses in thirty minutes, from places too where the bot is no member."""
        if self.faults["response_url"]:
            return self._failed(request, self.faults["response_url"].popleft())
        right = self.response_urls.get(request.match_info["id"])
        if right is None or right.uses >= 5 or self.now() - right.made_at > 1_800:
            return web.json_response({"ok": False, "error": "used_url" if right else "not_found"}, status=404)
        given = await request.json()
        right.uses += 1
        self.calls.append(("response_url", given, self.now()))
        if set(given) - {"text", "blocks", "response_type", "replace_original", "delete_original", "thread_ts"}:
            self.violations.append(f"response_url was given {sorted(given)}")
        try:
            check_blocks(given.get("blocks", []))
        except Refused as refused:
            return web.json_response({"ok": False, "error": str(refused)}, status=400)
        replace = given.get("replace_original") and (right.pressed or self.commands_replace) and right.messages
        message = right.messages[-1] if replace else Message(right.channel, self.next_ts(), user="U0TERN", bot=True)
        if not replace:
            if given.get("response_type", "ephemeral") == "ephemeral":
                message.ephemeral_for = right.user
            right.messages.append(message)
            self.world.messages.append(message)
        if given.get("delete_original"):
            message.deleted = True
        message.text, message.blocks = given.get("text", ""), given.get("blocks", [])
        message.history.append((self.now(), message.shown))
        for part in parts_of(message.blocks, message.text):
            self.pings += pings_in(part)
        return web.Response(text="ok")


async def _arguments(request: web.Request) -> JSON:
    if request.content_type == "application/json":
        return dict(await request.json())
    given: JSON = dict(request.query) | dict(await request.post())
    for key in ("blocks", "metadata", "prompts", "view", "files", "loading_messages"):
        if isinstance(given.get(key), str):
            given[key] = json.loads(given[key])
    return given


def _error(error: str) -> web.Response:
    return web.json_response({"ok": False, "error": error})


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
