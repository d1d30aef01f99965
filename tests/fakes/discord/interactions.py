"""Slash commands, context menus and button presses: a token for fifteen minutes, three seconds to say "heard"
(facts/discord.md 1.5)."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.discord.checks import EDIT_KEYS, EPHEMERAL, LOADING, POST_KEYS, check_message
from tests.fakes.discord.errors import ApiError, unknown
from tests.fakes.discord.world import Channel, Message, Person

if TYPE_CHECKING:
    from tests.fakes.discord.server import FakeDiscord

ACK_S = 3.0
TOKEN_S = 15 * 60.0
MAX_USER_INSTALL_FOLLOWUPS = 5


@dataclass(eq=False)
class Interaction:
    """One use of a command or button, as its user sees it."""

    id: int
    token: str = field(repr=False)
    kind: int
    """2 command, 3 button, 4 autocomplete."""
    channel: Channel
    person: Person
    user_install: bool
    made_at: float
    answered: dict[str, Any] | None = None
    """The callback's payload."""
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)
    message: Message | None = None
    """The message a pressed button stands under."""
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    expired: bool = False

    @property
    def private(self) -> bool:
        return self.original is not None and self.original.ephemeral

    @property
    def pages(self) -> list[Message]:
        """What the user sees of the answer, in order."""
        shown = [self.original] if self.original is not None else []
        return [message for message in shown + self.followups if not message.flags & LOADING]

    @property
    def choices(self) -> list[str]:
        """What autocomplete offered."""
        return [choice["value"] for choice in (self.answered or {}).get("data", {}).get("choices", [])]


class Interactions:
    def __init__(self, fake: FakeDiscord) -> None:
        self._fake = fake
        self._by_token: dict[str, Interaction] = {}
        self.all: list[Interaction] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v10/interactions/{id}/{token}/callback", self._fake.plain(self._callback)),
            web.post("/api/v10/webhooks/{app}/{token}", self._fake.plain(self._followup)),
            web.get("/api/v10/webhooks/{app}/{token}/messages/{message}", self._fake.plain(self._get)),
            web.patch("/api/v10/webhooks/{app}/{token}/messages/{message}", self._fake.plain(self._edit)),
            web.delete("/api/v10/webhooks/{app}/{token}/messages/{message}", self._fake.plain(self._delete)),
        ]

    async def begin(
        self,
        kind: int,
        person: Person,
        channel: Channel,
        inner: dict[str, Any],
        *,
        user_install: bool = False,
        message: Message | None = None,
        permissions: int = 0,
    ) -> Interaction:
        made = Interaction(
            id=self._fake.ids.next(),
            token=secrets.token_urlsafe(12),
            kind=kind,
            channel=channel,
            person=person,
            user_install=user_install,
            made_at=asyncio.get_running_loop().time(),
            message=message,
        )
        self._by_token[made.token] = made
        self.all.append(made)
        guild = channel.guild
        owners = {"1": str(person.id)} if user_install else {"0": str(guild.id if guild else 0)}
        event: dict[str, Any] = {
            "id": str(made.id),
            "application_id": str(self._fake.application_id),
            "type": kind,
            "token": made.token,
            "version": 1,
            "data": inner,
            "channel": channel.payload(),
            "channel_id": str(channel.id),
            "app_permissions": "0",
            "locale": "de",
            "attachment_size_limit": self._fake.upload_limit,
            "authorizing_integration_owners": owners,
            "entitlements": [],
            "context": 0 if guild else 1,
        }
        if guild:
            event |= {
                "guild_id": str(guild.id),
                "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
                "guild_locale": "en-US",
                "member": self._fake.member(guild, person) | {"permissions": str(permissions)},
            }
        else:
            event["user"] = person.payload()
        if message is not None:
            event["message"] = self._fake.payload(message)
        await self._fake.gateway.dispatch("INTERACTION_CREATE", event, guild=guild.id if guild else None)
        return made

    async def _callback(self, request: web.Request) -> Any:
        made = self._by_token.get(request.match_info["token"])
        if made is None or str(made.id) != request.match_info["id"]:
            raise unknown("interaction")
        if asyncio.get_running_loop().time() - made.made_at > self._fake.ack_s:
            raise unknown("interaction")
        if made.answered is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        payload, files = await self._fake.body(request)
        kind = payload["type"]
        inner = payload.get("data") or {}
        if kind == 4:
            check_message(inner, POST_KEYS, files=len(files))
            made.original = self._message(made, inner, files)
        elif kind == 5:
            if inner.get("flags", 0) & ~EPHEMERAL:
                raise ApiError(400, 50035, "Invalid Form Body")
            made.original = self._message(made, {"flags": inner.get("flags", 0) | LOADING}, [])
        elif kind == 6 and made.kind == 3:
            made.original = made.message
        elif kind == 8 and made.kind == 4:
            if len(inner["choices"]) > 25:
                raise ApiError(400, 50035, "Invalid Form Body")
        else:
            raise ApiError(400, 50035, "Invalid Form Body")
        made.answered = payload
        made.acked.set()
        if request.query.get("with_response") not in ("1", "true"):
            return None
        message = made.original
        answer: dict[str, Any] = {"interaction": {"id": str(made.id), "type": made.kind}}
        if message is not None:
            answer["interaction"] |= {
                "response_message_id": str(message.id),
                "response_message_loading": kind == 5,
                "response_message_ephemeral": message.ephemeral,
            }
        if kind in (4, 5) and message is not None:
            answer["resource"] = {"type": kind, "message": self._fake.payload(message)}
            if not message.ephemeral:
                await self._fake.announce(message)
        return answer

    async def _followup(self, request: web.Request) -> Any:
        made = self._open(request)
        payload, files = await self._fake.body(request)
        check_message(payload, POST_KEYS, files=len(files))
        if made.user_install and len(made.followups) >= MAX_USER_INSTALL_FOLLOWUPS:
            raise ApiError(400, 40094, "Too many follow-up messages for this interaction")
        message = self._message(made, payload, files)
        made.followups.append(message)
        if not message.ephemeral:
            await self._fake.announce(message)
        return self._fake.payload(message)

    async def _get(self, request: web.Request) -> Any:
        return self._fake.payload(self._which(request))

    async def _edit(self, request: web.Request) -> Any:
        message = self._which(request)
        payload, files = await self._fake.body(request)
        check_message(payload, EDIT_KEYS, files=len(files), new=False)
        message.flags &= ~LOADING
        self._fake.apply_edit(message, payload, files)
        if not message.ephemeral:
            await self._fake.announce(message, "MESSAGE_UPDATE")
        return self._fake.payload(message)

    async def _delete(self, request: web.Request) -> Any:
        message = self._which(request)
        made = self._open(request)
        if message in made.followups:
            made.followups.remove(message)
        elif message is made.original:
            made.original = None
        message.channel.messages.pop(message.id, None)
        return None

    def _open(self, request: web.Request) -> Interaction:
        made = self._by_token.get(request.match_info["token"])
        if made is None or made.answered is None:
            raise unknown("webhook")
        if made.expired or asyncio.get_running_loop().time() - made.made_at > TOKEN_S:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        self._fake.count("interaction", made.token)
        return made

    def _which(self, request: web.Request) -> Message:
        made = self._open(request)
        wanted = request.match_info["message"]
        if wanted == "@original":
            found = made.original
        else:
            mine = ([made.original] if made.original else []) + made.followups
            found = next((message for message in mine if str(message.id) == wanted), None)
        if found is None:
            raise unknown("message")
        return found

    def _message(self, made: Interaction, payload: dict[str, Any], files: list[tuple[str, bytes]]) -> Message:
        message = self._fake.new_message(made.channel, self._fake.me, payload, files, keep=False)
        message.type = 20
        message.webhook = self._fake.application_id
        message.flags = payload.get("flags", 0)
        message.interaction = {"id": str(made.id), "type": made.kind, "user": made.person.payload()}
        if not message.ephemeral:
            made.channel.messages[message.id] = message
        return message
