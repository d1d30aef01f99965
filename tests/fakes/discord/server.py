"""A strict Discord on loopback: what the platform refuses it refuses, what it counts it counts (facts/discord.md 4.1).

    async with FakeDiscord() as discord:
        guild = discord.guild(); channel = discord.channel(guild); ada = discord.person("Ada")
        DiscordSettings(token=discord.token, api_url=discord.api_url, gateway_url=discord.gateway_url)
        await discord.say(channel, ada, "hello", mention=True)

Runs in real time; tests shorten the buckets' window instead.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import quote

from aiohttp import web

from tests.fakes.discord.checks import (
    MAX_FILE_BYTES,
    MAX_REQUEST_BYTES,
    pings,
)
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.faults import Fault, Request
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.interactions import ACK_S, Interaction, Interactions
from tests.fakes.discord.limits import Limits
from tests.fakes.discord.rest import Rest
from tests.fakes.discord.world import Channel, Guild, Message, Person, Snowflakes, Upload, stamp

Work = Callable[[web.Request], Awaitable[Any]]


class FakeDiscord:
    """One bot's view of Discord. Async context manager; `api_url` and `gateway_url` are known inside it."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        content_intent: bool = False,
        latency_s: float = 0.0,
        heartbeat_ms: int = 40_000,
    ) -> None:
        self.token = "fake.discord.token-" + secrets.token_hex(4)
        self.ids = Snowflakes()
        self.me = Person(self.ids.next(), "Tern", bot=True)
        self.application_id = self.me.id
        self.limits = limits or Limits(channel_window_s=0.2)
        self.content_intent = content_intent
        """The switch in the portal."""
        self.latency_s = latency_s
        self.heartbeat_ms = heartbeat_ms
        self.ack_s = ACK_S
        self.identifies_left = 1000
        self.application: dict[str, Any] = {}
        """What the portal's pages say beside the defaults."""
        self.guild_permissions = (1 << 52) - 1
        """The bot's in every server."""
        self.upload_limit = MAX_FILE_BYTES
        """Of one file; by the server's boosts (facts/discord-2.md 5.3)."""
        self.own_responses_editable = True
        """Whether the bot may edit an interaction's response as its own message; not documented, so it can be both."""
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.people: dict[int, Person] = {self.me.id: self.me}
        self.gateway = Gateway(self)
        self.interactions = Interactions(self)
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.refusals: list[str] = []
        """Every 429 given: "METHOD path scope"."""
        self.errors: list[str] = []
        """Every other 4xx given."""
        self.pings: list[tuple[int, str]] = []
        """(message id, whom): notifications that went out, and edits that parsed mentions."""
        self.typing: list[int] = []
        """Channel ids."""
        self.commands: list[dict[str, Any]] = []
        self.syncs = 0
        self.creates_left = 200
        self.uploads: dict[str, Upload] = {}
        self.link_secret = secrets.token_hex(4)
        self.nonces: dict[tuple[int, str], Message] = {}
        self._runner: web.AppRunner | None = None
        self.base = ""

    # --- life

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_REQUEST_BYTES + 1)
        app.add_routes(Rest(self).routes() + self.interactions.routes())
        app.router.add_get("/gw{slash:/?}", self.gateway.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        return f"http://{self.base}/api/v10"

    @property
    def gateway_url(self) -> str:
        return f"ws://{self.base}/gw/"

    def plain(self, work: Work) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Wrap a route: authorisation, faults, the fifty a second, errors in Discord's form."""

        async def handle(request: web.Request) -> web.StreamResponse:
            raw = await request.read() if request.content_type == "application/json" else b""
            body = json.loads(raw) if raw else None
            now = asyncio.get_running_loop().time()
            self.requests.append(Request(request.method, request.path, body, now))
            fault = self.next_fault(request)
            if fault is not None and (early := await self._misbehave_before(request, fault)) is not None:
                return early
            try:
                outcome, headers = await self._carry_out(request, work)
                status = 200 if outcome is not None else 204
            except ApiError as error:
                outcome, headers, status = error.body(), {}, error.status
                if error.status == 429:
                    scope = error.headers["X-RateLimit-Scope"] if isinstance(error, _TooMany) else ""
                    self.refusals.append(f"{request.method} {request.path} {scope}")
                    headers = error.headers if isinstance(error, _TooMany) else {}
                else:
                    self.errors.append(f"{request.method} {request.path}: {error}")
            if fault is not None and fault.what in ("lost", "hang"):
                if fault.what == "hang":
                    await asyncio.sleep(fault.after_s)
                else:
                    _abort(request)
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            return _answer(status, outcome, headers)

        return handle

    async def _carry_out(self, request: web.Request, work: Work) -> tuple[Any, dict[str, str]]:
        outside = "/webhooks/" in request.path or "/interactions/" in request.path
        if not outside:
            if request.headers.get("Authorization") != f"Bot {self.token}":
                raise ApiError(401, 0, "401: Unauthorized")
            wait_s = self.limits.global_wait_s()
            if wait_s:
                raise _too_many(wait_s, everywhere=True)
        headers: dict[str, str] = {}
        _headers.set(headers)
        return await work(request), headers

    def count(self, kind: str, place: str) -> None:
        """Take one call from a bucket; a 429 with its headers where there is none left."""
        window = self.limits.window(kind, place)
        fits = window.take()
        _headers.get().update(window.headers())
        if not fits:
            raise _too_many(window.reset_after_s(), headers=window.headers())

    def next_fault(self, request: web.Request) -> Fault | None:
        """The fault that this request is to suffer, used up by it."""
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, request.path):
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    async def _misbehave_before(self, request: web.Request, fault: Fault) -> web.StreamResponse | None:
        match fault.what:
            case "status":
                return web.Response(status=fault.status, text="upstream connect error")
            case "rate_limited":
                self.refusals.append(f"{request.method} {request.path}")
                body = {"message": "You are being rate limited.", "retry_after": fault.after_s, "global": False}
                return _answer(429, body, {"Via": "1.1 google", "Retry-After": str(fault.after_s)})
            case "cloudflare":
                self.refusals.append(f"{request.method} {request.path}")
                return web.Response(status=429, text="error code: 1015", headers={"Retry-After": str(fault.after_s)})
            case "cut":
                _abort(request)
                return web.Response(status=500)
        return None

    # --- people act

    def person(self, name: str) -> Person:
        made = Person(self.ids.next(), name)
        self.people[made.id] = made
        return made

    def guild(self, name: str = "Harbour") -> Guild:
        made = Guild(self.ids.next(), name, bot=self.me.id)
        self.guilds[made.id] = made
        return made

    def channel(self, guild: Guild, name: str = "general", kind: int = 0) -> Channel:
        made = Channel(self.ids.next(), name, kind, guild=guild)
        guild.channels[made.id] = self.channels[made.id] = made
        return made

    def dm(self, person: Person) -> Channel:
        found = next((c for c in self.channels.values() if c.person is person), None)
        if found is None:
            found = Channel(self.ids.next(), person.name, 1, person=person)
            self.channels[found.id] = found
        return found

    async def thread(self, starter: Message, name: str = "thread") -> Channel:
        """Open a thread under *starter*; its id is the starter's (facts/discord.md 1.4)."""
        parent = starter.channel
        assert parent.guild is not None
        made = Channel(starter.id, name, 11, guild=parent.guild, parent=parent)
        parent.guild.channels[made.id] = self.channels[made.id] = made
        pointer = Message(self.ids.next(), made, starter.author, type=21)
        pointer.reference = {"channel_id": str(parent.id), "message_id": str(starter.id), "type": 0}
        made.messages[pointer.id] = pointer
        await self.gateway.dispatch("THREAD_CREATE", made.payload() | {"newly_created": True}, guild=parent.guild.id)
        return made

    async def say(
        self,
        channel: Channel,
        person: Person,
        text: str = "",
        *,
        mention: bool = False,
        reply_to: Message | None = None,
        ping: bool = True,
        everyone: bool = False,
        files: list[Upload] | None = None,
        embeds: list[dict[str, Any]] | None = None,
        forward: Message | None = None,
        deliver: bool = True,
        at: float | None = None,
    ) -> Message:
        """Let *person* write. A reply pings its author unless *ping* is off."""
        content = f"<@{self.me.id}> {text}".strip() if mention else text
        message = Message(self.ids.next(at), channel, person, content, everyone=everyone)
        message.uploads = files or []
        message.embeds = embeds or []
        named = re.findall(r"<@!?(\d+)>", content)
        message.mentions = [self.people[int(user)] for user in named if int(user) in self.people]
        if reply_to is not None:
            message.type = 19
            message.reference = {
                "channel_id": str(reply_to.channel.id),
                "message_id": str(reply_to.id),
                "type": 0,
            }
            if ping and reply_to.author not in message.mentions:
                message.mentions.append(reply_to.author)
        if forward is not None:
            message.reference = {
                "channel_id": str(forward.channel.id),
                "message_id": str(forward.id),
                "type": 1,
            }
            message.snapshots = [{"message": _snapshot(self.payload(forward))}]
        channel.messages[message.id] = message
        if deliver:
            await self.announce(message)
        return message

    def upload(
        self,
        channel: Channel,
        name: str,
        content: bytes,
        mime: str | None = None,
        *,
        duration_s: float | None = None,
    ) -> Upload:
        """A file for `say`; with *duration_s* a voice clip."""
        made = Upload(self.ids.next(), name, mime, content, channel.id, duration_s)
        made.path = f"attachments/{channel.id}/{made.id}/{quote(name)}"
        self.uploads[made.path] = made
        return made

    async def rewrite(self, message: Message, text: str) -> None:
        """Let the author edit a message."""
        message.content = text
        message.edited_at = time.time()
        named = re.findall(r"<@!?(\d+)>", text)
        message.mentions = [self.people[int(user)] for user in named if int(user) in self.people]
        await self.announce(message, "MESSAGE_UPDATE")

    async def preview(self, message: Message) -> None:
        """Discord adds a link preview: an update that edits nothing."""
        message.embeds = [{"type": "link", "title": "A page", "url": "https://example.org"}]
        await self.announce(message, "MESSAGE_UPDATE")

    async def react(self, message: Message, person: Person, emoji: str) -> None:
        """Only sessions with the intent hear of it (facts/discord-2.md 3.1, 3.2)."""
        guild = message.channel.guild
        event: dict[str, Any] = {
            "user_id": str(person.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "message_author_id": str(message.author.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        if guild:
            event |= {"guild_id": str(guild.id), "member": self.member(guild, person)}
        await self.gateway.dispatch(
            "MESSAGE_REACTION_ADD", event, guild=guild.id if guild else None, needs=1 << (10 if guild else 13)
        )

    async def delete(self, message: Message) -> None:
        message.channel.messages.pop(message.id, None)
        event: dict[str, Any] = {"id": str(message.id), "channel_id": str(message.channel.id)}
        guild = message.channel.guild
        if guild:
            event["guild_id"] = str(guild.id)
        await self.gateway.dispatch("MESSAGE_DELETE", event, guild=guild.id if guild else None)

    async def slash(
        self,
        channel: Channel,
        person: Person,
        command: str,
        *,
        user_install: bool = False,
        files: dict[str, Upload] | None = None,
        permissions: int = 0,
        **options: Any,
    ) -> Interaction:
        """Use a slash command and wait until it is acknowledged."""
        kinds = {str: 3, bool: 5, int: 4}
        given = [{"name": key, "type": kinds[type(value)], "value": value} for key, value in options.items()]
        resolved: dict[str, Any] = {}
        for key, upload in (files or {}).items():
            upload.path = f"ephemeral-attachments/{self.application_id}/{upload.id}/{quote(upload.name)}"
            self.uploads[upload.path] = upload
            given.append({"name": key, "type": 11, "value": str(upload.id)})
            resolved.setdefault("attachments", {})[str(upload.id)] = upload.payload(self.link(upload))
        inner = {"id": "1", "name": command, "type": 1, "options": given, "resolved": resolved}
        return await self.interactions.begin(
            2, person, channel, inner, user_install=user_install, permissions=permissions
        )

    async def complete(self, channel: Channel, person: Person, name: str, option: str, typed: str) -> Interaction:
        """Type into an option that autocompletes."""
        focused = {"name": option, "type": 3, "value": typed, "focused": True}
        inner = {"id": "1", "name": name, "type": 1, "options": [focused]}
        return await self.interactions.begin(4, person, channel, inner)

    async def menu(self, target: Message, person: Person, name: str) -> Interaction:
        """Use a message context menu."""
        inner = {
            "id": "2",
            "name": name,
            "type": 3,
            "target_id": str(target.id),
            "resolved": {"messages": {str(target.id): self.payload(target)}},
        }
        return await self.interactions.begin(2, person, target.channel, inner)

    async def press(self, message: Message, person: Person, label: str, *, permissions: int = 0) -> Interaction:
        """Press the button that is labelled so."""
        at = message.labels.index(label)
        inner = {"custom_id": message.buttons[at], "component_type": 2}
        return await self.interactions.begin(
            3, person, message.channel, inner, message=message, permissions=permissions
        )

    def expire_links(self) -> None:
        """Every address given out so far stops working."""
        self.link_secret = secrets.token_hex(4)

    # --- what stands there, as payloads

    def link(self, upload: Upload) -> str:
        return f"http://{self.base}/cdn/{upload.path}?ex={int(time.time() + 86_400):x}&is=0&hm={self.link_secret}"

    def member(self, guild: Guild, person: Person) -> dict[str, Any]:
        return {
            "user": person.payload(),
            "nick": None,
            "roles": [str(role) for role in guild.roles.get(person.id, [])],
            "joined_at": stamp(0),
            "deaf": False,
            "mute": False,
            "flags": 0,
        }

    def payload(self, message: Message, *, depth: int = 1) -> dict[str, Any]:
        channel = message.channel
        body: dict[str, Any] = {
            "id": str(message.id),
            "channel_id": str(channel.id),
            "author": message.author.payload(),
            "content": message.content,
            "timestamp": stamp(time.time()),
            "edited_timestamp": stamp(message.edited_at) if message.edited_at else None,
            "tts": False,
            "mention_everyone": message.everyone,
            "mentions": [person.payload() for person in message.mentions],
            "mention_roles": re.findall(r"<@&(\d+)>", message.content),
            "attachments": [upload.payload(self.link(upload)) for upload in message.uploads],
            "embeds": message.embeds,
            "components": message.components,
            "pinned": False,
            "type": message.type,
            "flags": message.flags,
        }
        if message.webhook:
            body |= {"webhook_id": str(message.webhook), "application_id": str(message.webhook)}
        if message.interaction:
            body["interaction_metadata"] = message.interaction
        if message.snapshots:
            body["message_snapshots"] = message.snapshots
        if message.reference:
            body["message_reference"] = message.reference
            if message.type == 19 and depth:
                source = self.channels.get(int(message.reference["channel_id"]))
                found = source.messages.get(int(message.reference["message_id"])) if source else None
                body["referenced_message"] = self.payload(found, depth=0) if found else None
        return body

    def as_seen(self, event: dict[str, Any], *, content: bool) -> dict[str, Any]:
        """Withhold what an app without the content intent does not get (facts/discord.md 1.2)."""
        if content or "author" not in event:
            return event
        seen = dict(event)
        me = str(self.me.id)
        mine = event["author"]["id"] == me
        direct = self.channels[int(event["channel_id"])].type == 1
        named = any(person["id"] == me for person in event["mentions"])
        if not (mine or direct or named):
            seen |= {"content": "", "attachments": [], "embeds": [], "components": []}
            seen.pop("message_snapshots", None)
        if event.get("referenced_message"):
            seen["referenced_message"] = self.as_seen(event["referenced_message"], content=False)
        return seen

    async def announce(self, message: Message, name: str = "MESSAGE_CREATE") -> None:
        guild = message.channel.guild
        event = self.payload(message)
        if guild:
            event["guild_id"] = str(guild.id)
            event["member"] = {k: v for k, v in self.member(guild, message.author).items() if k != "user"}
        if name == "MESSAGE_CREATE" and message.nonce is not None:
            event["nonce"] = message.nonce
        await self.gateway.dispatch(name, event, guild=guild.id if guild else None)

    # --- REST

    async def body(self, request: web.Request) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
        """A JSON or multipart body: (payload, [(file name, content)])."""
        if request.content_type == "application/json":
            return await request.json(), []
        payload: dict[str, Any] = {}
        files = []
        form = await request.post()
        for name, value in form.items():
            if name == "payload_json":
                payload = json.loads(value if isinstance(value, str) else value.file.read())
            elif isinstance(value, web.FileField):
                content = value.file.read()
                if len(content) > self.upload_limit:
                    raise ApiError(413, 40005, "Request entity too large")
                files.append((value.filename, content))
        return payload, files

    def new_message(
        self,
        channel: Channel,
        author: Person,
        payload: dict[str, Any],
        files: list[tuple[str, bytes]],
        *,
        keep: bool = True,
    ) -> Message:
        content = payload.get("content") or ""
        message = Message(self.ids.next(), channel, author, content)
        message.components = payload.get("components") or []
        message.embeds = payload.get("embeds") or []
        message.flags = payload.get("flags", 0)
        message.uploads = [self.upload(channel, name, body) for name, body in files]
        self._note(message, content)
        self.pings += [(message.id, whom) for whom in pings(content, payload.get("allowed_mentions"))]
        if keep:
            channel.messages[message.id] = message
        return message

    def apply_edit(self, message: Message, payload: dict[str, Any], files: list[tuple[str, bytes]]) -> None:
        if "content" in payload:
            message.content = payload["content"] or ""
        if "components" in payload:
            message.components = payload["components"] or []
        if "embeds" in payload:
            message.embeds = payload["embeds"] or []
        if "flags" in payload:
            message.flags = payload["flags"]
        message.uploads += [self.upload(message.channel, name, body) for name, body in files]
        message.edited_at = time.time()
        message.edits += 1
        self._note(message, message.content)
        # An edit without allowed_mentions is parsed anew with Discord's own allowances (facts/discord.md 1.3).
        self.pings += [(message.id, whom) for whom in pings(message.content, payload.get("allowed_mentions"))]

    def _note(self, message: Message, content: str) -> None:
        if content:
            message.history.append(content)
            message.shown_at.append(asyncio.get_running_loop().time())

    # --- for tests

    def said(self, channel: Channel) -> list[Message]:
        """The bot's messages in a channel, oldest first."""
        return [message for message in channel.messages.values() if message.author is self.me]

    def sent(self, method: str, path: str) -> list[Request]:
        """Requests so far whose path matches."""
        return [r for r in self.requests if r.method == method and re.search(path, r.path)]


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait until *condition* holds; fail loudly when it does not."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within_s
    while not condition():
        if loop.time() > give_up:
            raise AssertionError("it did not come to that")
        await asyncio.sleep(0.005)


_headers: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("headers")
"""Of the response under way: each request runs in its own context."""


def _too_many(wait_s: float, *, everywhere: bool = False, headers: dict[str, str] | None = None) -> _TooMany:
    error = _TooMany(wait_s, everywhere)
    error.headers = {
        **(headers or {}),
        "Via": "1.1 google",
        "Retry-After": f"{wait_s:.3f}",
        "X-RateLimit-Scope": "global" if everywhere else "user",
    }
    return error


class _TooMany(ApiError):
    def __init__(self, wait_s: float, everywhere: bool) -> None:
        super().__init__(429, 0, "You are being rate limited.")
        self.wait_s = wait_s
        self.everywhere = everywhere
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, Any]:
        return {"message": self.message, "retry_after": round(self.wait_s, 3), "global": self.everywhere}


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _answer(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    # Exactly application/json: with a charset behind it the library reads text (facts/discord.md 4.1).
    if status == 204:
        return web.Response(status=204, headers=headers)
    return web.Response(
        status=status, body=json.dumps(body).encode(), headers={**headers, "Content-Type": "application/json"}
    )


def _snapshot(payload: dict[str, Any]) -> dict[str, Any]:
    kept = (
        "content",
        "embeds",
        "attachments",
        "timestamp",
        "edited_timestamp",
        "flags",
        "type",
        "mentions",
        "components",
    )
    return {key: payload[key] for key in kept}
