"""Discord's REST API as far as bots of our kind use it; what it refuses is in checks.py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from tests.fakes.discord.checks import (
    EDIT_KEYS,
    POST_KEYS,
    SUPPRESS_EMBEDS,
    SUPPRESS_NOTIFICATIONS,
    check_commands,
    check_message,
)
from tests.fakes.discord.errors import ApiError, invalid, unknown
from tests.fakes.discord.faults import Request
from tests.fakes.discord.world import Channel, Message, Person

if TYPE_CHECKING:
    from tests.fakes.discord.server import FakeDiscord


class Rest:
    def __init__(self, fake: FakeDiscord) -> None:
        self._fake = fake

    def routes(self) -> list[web.RouteDef]:
        api = "/api/v10"
        plain = self._fake.plain
        channel = api + "/channels/{channel}"
        return [
            web.get(api + "/users/@me", plain(self._get_me)),
            web.get(api + "/oauth2/applications/@me", plain(self._get_application)),
            web.get(api + "/users/@me/guilds", plain(self._get_guilds)),
            web.get(api + "/applications/{app}/commands", plain(self._get_commands)),
            web.get(api + "/gateway/bot", plain(self._get_gateway)),
            web.get(api + "/users/{user}", plain(self._get_user)),
            web.post(api + "/users/@me/channels", plain(self._open_dm)),
            web.get(api + "/guilds/{guild}/members/{user}", plain(self._get_member)),
            web.get(channel, plain(self._get_channel)),
            web.patch(channel, plain(self._patch_channel)),
            web.post(channel + "/messages", plain(self._post_message)),
            web.get(channel + "/messages", plain(self._get_history)),
            web.get(channel + "/messages/{message}", plain(self._get_message)),
            web.patch(channel + "/messages/{message}", plain(self._patch_message)),
            web.delete(channel + "/messages/{message}", plain(self._delete_message)),
            web.post(channel + "/messages/{message}/threads", plain(self._start_thread)),
            web.post(channel + "/typing", plain(self._post_typing)),
            web.put(api + "/applications/{app}/commands", plain(self._put_commands)),
            web.post(api + "/attachments/refresh-urls", plain(self._refresh_urls)),
            web.get("/cdn/{path:.*}", self._cdn),
        ]

    async def _get_me(self, _: web.Request) -> Any:
        return self._fake.me.payload() | {"bot": True}

    async def _get_user(self, request: web.Request) -> Any:
        person = self._fake.people.get(int(request.match_info["user"]))
        if person is None:
            raise ApiError(404, 10013, "Unknown User")
        return person.payload()

    async def _get_member(self, request: web.Request) -> Any:
        guild, person = self._fake.guilds.get(int(request.match_info["guild"])), int(request.match_info["user"])
        if guild is None or person not in self._fake.people:
            raise ApiError(404, 10007, "Unknown Member")
        return self._fake.member(guild, self._fake.people[person])

    async def _get_application(self, _: web.Request) -> Any:
        return {
            "id": str(self._fake.application_id),
            "name": "Tern",
            "description": "",
            "icon": None,
            "bot_public": True,
            "bot_require_code_grant": self._fake.application.get("bot_require_code_grant", False),
            "owner": Person(1, "owner").payload(),
            "team": None,
            "verify_key": "0" * 64,
            "flags": self._fake.application.get("flags", 0),
            "interactions_endpoint_url": self._fake.application.get("interactions_endpoint_url"),
            "rpc_origins": [],
            "summary": "",
        }

    async def _get_gateway(self, _: web.Request) -> Any:
        return {
            "url": self._fake.gateway_url,
            "shards": 1,
            "session_start_limit": {
                "total": 1000,
                "remaining": self._fake.identifies_left,
                "reset_after": 200,
                "max_concurrency": 1,
            },
        }

    async def _get_guilds(self, _: web.Request) -> Any:
        permissions = str(self._fake.guild_permissions)
        return [
            {"id": str(guild.id), "name": guild.name, "owner": False, "permissions": permissions, "features": []}
            for guild in self._fake.guilds.values()
        ]

    async def _get_commands(self, _: web.Request) -> Any:
        return self._fake.commands

    async def _open_dm(self, request: web.Request) -> Any:
        person = self._fake.people.get(int((await request.json())["recipient_id"]))
        if person is None:
            raise ApiError(400, 50033, "Invalid Recipient(s)")
        return self._fake.dm(person).payload()

    def _place(self, request: web.Request, *needs: str) -> Channel:
        channel = self._fake.channels.get(int(request.match_info["channel"]))
        if channel is None:
            raise unknown("channel")
        if channel.type == 1:
            return channel
        if "view" not in channel.permissions:
            raise ApiError(403, 50001, "Missing Access")
        for need in needs:
            if need not in channel.permissions:
                raise ApiError(403, 50013, "Missing Permissions")
        return channel

    async def _get_channel(self, request: web.Request) -> Any:
        return self._place(request).payload()

    async def _patch_channel(self, request: web.Request) -> Any:
        channel = self._place(request)
        if channel.locked:
            raise ApiError(403, 50013, "Missing Permissions")
        channel.archived = bool((await request.json()).get("archived", channel.archived))
        return channel.payload()

    async def _post_message(self, request: web.Request) -> Any:
        channel = self._place(request)
        self._fake.count("post", str(channel.id))
        need = "send_in_threads" if channel.type == 11 else "send"
        self._place(request, need)
        if channel.locked:
            raise ApiError(400, 160005, "Thread is locked")
        payload, files = await self._fake.body(request)
        check_message(payload, POST_KEYS, files=len(files))
        if payload.get("flags", 0) & ~(SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS):
            raise invalid("flags", "Value is not allowed.")
        if files:
            self._place(request, "attach")
        nonce = payload.get("nonce")
        known = self._fake.nonces.get((channel.id, str(nonce))) if nonce and payload.get("enforce_nonce") else None
        if known is not None:
            return self._fake.payload(known) | {"nonce": nonce}
        reference = payload.get("message_reference")
        if reference:
            reference = self._check_reference(channel, reference)
        channel.archived = False
        message = self._fake.new_message(channel, self._fake.me, payload, files)
        message.nonce = str(nonce) if nonce is not None else None
        if reference:
            message.type = 19
            message.reference = reference
            asked = channel.messages[int(reference["message_id"])]
            allowed = payload.get("allowed_mentions")
            if allowed is None or allowed.get("replied_user"):
                self._fake.pings.append((message.id, f"user:{asked.author.id}"))
        if nonce:
            self._fake.nonces[channel.id, str(nonce)] = message
        await self._fake.announce(message)
        return self._fake.payload(message) | {"nonce": nonce}

    def _check_reference(self, channel: Channel, reference: dict[str, Any]) -> dict[str, Any] | None:
        if "history" not in channel.permissions:
            raise ApiError(403, 160002, "You cannot reply without permission to read message history")
        asked = channel.messages.get(int(reference["message_id"]))
        if asked is None:
            if reference.get("fail_if_not_exists", True):
                raise invalid("message_reference", "Unknown message", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE")
            return None
        if asked.type not in (0, 19, 20, 23):
            raise invalid("message_reference", "Cannot reply to a system message", "REPLIES_CANNOT_REPLY_TO_SYSTEM")
        return {"type": 0, "channel_id": str(channel.id), "message_id": str(asked.id)}

    def _message(self, channel: Channel, request: web.Request) -> Message:
        message = channel.messages.get(int(request.match_info["message"]))
        if message is None:
            raise unknown("message")
        return message

    async def _patch_message(self, request: web.Request) -> Any:
        channel = self._place(request)
        self._fake.count("edit", str(channel.id))
        message = self._message(channel, request)
        barred = message.interaction is not None and not self._fake.own_responses_editable
        if message.author is not self._fake.me or barred:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        if channel.archived:
            raise ApiError(400, 50083, "Thread is archived")
        payload, files = await self._fake.body(request)
        check_message(payload, EDIT_KEYS, files=len(files), new=False)
        self._fake.apply_edit(message, payload, files)
        await self._fake.announce(message, "MESSAGE_UPDATE")
        return self._fake.payload(message)

    async def _start_thread(self, request: web.Request) -> Any:
        """facts/discord-2.md 2.1, 2.2."""
        channel = self._place(request, "create_threads")
        if channel.type != 0:
            raise ApiError(400, 50024, "Cannot execute action on this channel type")
        starter = self._message(channel, request)
        payload = await request.json()
        if not 1 <= len(str(payload.get("name", ""))) <= 100:
            raise invalid("name", "Must be between 1 and 100 in length.", "BASE_TYPE_BAD_LENGTH")
        if payload.get("auto_archive_duration") not in (60, 1440, 4320, 10080):
            raise invalid("auto_archive_duration", "Value must be one of (60, 1440, 4320, 10080).")
        if starter.id in self._fake.channels:
            raise ApiError(400, 160004, "A thread has already been created for this message")
        return (await self._fake.thread(starter, payload["name"])).payload()

    async def _delete_message(self, request: web.Request) -> Any:
        channel = self._place(request)
        message = self._message(channel, request)
        if message.author is not self._fake.me:
            raise ApiError(403, 50013, "Missing Permissions")
        await self._fake.delete(message)
        return None

    async def _get_message(self, request: web.Request) -> Any:
        channel = self._place(request, "history")
        message = self._message(channel, request)
        return self._fake.as_seen(self._fake.payload(message), content=self._fake.content_intent)

    async def _get_history(self, request: web.Request) -> Any:
        channel = self._place(request, "history")
        limit = int(request.query.get("limit", "50"))
        if not 1 <= limit <= 100:
            raise invalid("limit", "int value should be between 1 and 100.")
        ids = sorted(channel.messages)
        if "after" in request.query:
            ids = [found for found in ids if found > int(request.query["after"])][:limit]
        elif "before" in request.query:
            ids = [found for found in ids if found < int(request.query["before"])][-limit:]
        else:
            ids = ids[-limit:]
        shown = [self._fake.payload(channel.messages[found]) for found in reversed(ids)]
        return [self._fake.as_seen(message, content=self._fake.content_intent) for message in shown]

    async def _post_typing(self, request: web.Request) -> Any:
        channel = self._place(request, "send")
        self._fake.typing.append(channel.id)

    async def _put_commands(self, request: web.Request) -> Any:
        payload = await request.json()
        check_commands(payload)
        known = {command["name"] for command in self._fake.commands}
        fresh = [command for command in payload if command["name"] not in known]
        if len(fresh) > self._fake.creates_left:
            raise ApiError(400, 30034, "Max number of daily application command creates has been reached (200)")
        self._fake.creates_left -= len(fresh)
        self._fake.syncs += 1
        self._fake.commands = [
            {"description": "", "options": []}
            | command
            | {"id": str(self._fake.ids.next()), "application_id": str(self._fake.application_id), "version": "1"}
            for command in payload
        ]
        return self._fake.commands

    async def _refresh_urls(self, request: web.Request) -> Any:
        refreshed = []
        for url in (await request.json())["attachment_urls"]:
            path = url.partition("?")[0].partition("/cdn/")[2] or url.partition("?")[0].split("/", 3)[3]
            upload = self._fake.uploads.get(path)
            refreshed.append({"original": url, "refreshed": self._fake.link(upload) if upload else None})
        return {"refreshed_urls": refreshed}

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return web.Response(status=400, text="a token was sent to the CDN")
        fault = self._fake.next_fault(request)
        upload = self._fake.uploads.get(quote(request.match_info["path"]))
        self._fake.requests.append(Request("GET", request.path, None, asyncio.get_running_loop().time()))
        if fault is not None and fault.what == "status":
            return web.Response(status=fault.status, headers={"Location": "http://169.254.169.254/"})
        if upload is None or request.query.get("hm") != self._fake.link_secret:
            return web.Response(status=404, text="This content is no longer available.")
        answer = web.StreamResponse(headers={"Content-Type": upload.mime or "application/octet-stream"})
        await answer.prepare(request)
        for at in range(0, len(upload.content), 65_536):
            await answer.write(upload.content[at : at + 65_536])
        await answer.write_eof()
        return answer
