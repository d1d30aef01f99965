"""What the page asks of the server: conversations, messages, controls, commands. JSON in, JSON or an event stream out.

Every route is the caller's own: a conversation's key holds the caller's user id as its channel, so that nobody can
name somebody else's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from adapters.web.adapter import Desk, WebAdapter
from adapters.web.auth import Auth, read_body
from adapters.web.concurrency import Concurrency
from adapters.web.errors import ApiError, TurnedAway
from adapters.web.settings import WebSettings
from adapters.web.sse import KEEPALIVE, OpenStream, frame
from core.base.clock import Clock
from core.domain.errors import BadRequest, TooLarge, Unreadable
from core.domain.incoming import Attachment, AttachmentKind, ConversationKey, Incoming, UserKey
from core.ports.platform import Receipt, Said
from core.wording import FORGOTTEN_NOTHING, SHUTTING_DOWN, queued

encode = msgspec.json.encode

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
MAX_TURNS = 100
"""Of one conversation, newest first, sent when it is opened; the page asks for more when somebody scrolls up."""
MAX_ATTACHMENTS = 20


class UploadedFile(Struct, forbid_unknown_fields=True):
    ref: Annotated[str, Meta(pattern=r"^blob:[0-9a-f]{64}$")]
    name: Annotated[str, Meta(max_length=255)]
    mime: Annotated[str, Meta(max_length=127)]
    size_bytes: Annotated[int, Meta(ge=0)]


class MessageBody(Struct, forbid_unknown_fields=True):
    message_id: Id
    """Made by the page, so that sending twice is the same as once."""
    text: str
    tz: Annotated[str, Meta(max_length=64)] = ""
    attachments: Annotated[list[UploadedFile], Meta(max_length=MAX_ATTACHMENTS)] = []


class PressBody(Struct, forbid_unknown_fields=True):
    action: Literal["stop", "regenerate", "shorter", "thumbs_up", "thumbs_down", "confirm", "decline"]


class ChoiceBody(Struct, forbid_unknown_fields=True):
    model: Annotated[str, Meta(max_length=200)] | None = None
    persona: Annotated[str, Meta(max_length=200)] | None = None


@dataclass(frozen=True, slots=True)
class PageRoutes:
    """`banner` is a sentence for the top of the page, "" for none."""

    settings: WebSettings
    auth: Auth
    slots: Concurrency
    adapter: WebAdapter
    banner: Callable[[], str]
    clock: Clock

    def routes(self) -> list[web.RouteDef]:
        conversation = "/page/conversations/{conversation}"
        return [
            web.get("/page/state", self.state),
            web.get("/page/conversations", self.list_conversations),
            web.get(f"{conversation}/events", self.events, allow_head=False),
            web.post(f"{conversation}/messages", self.send),
            web.post(f"{conversation}/stop", self.stop),
            web.delete(conversation, self.forget_conversation),
            web.post("/page/replies/{reply}/press", self.press),
            web.post("/page/choice", self.choose),
            web.get("/page/usage", self.usage),
            web.get("/page/export", self.export),
            web.post("/page/forget", self.forget_me),
            web.post("/page/uploads", self.upload),
            web.get("/page/files/{ref}", self.file),
        ]

    async def state(self, request: web.Request) -> web.Response:
        """Everything the page needs to draw itself, but the conversations."""
        user = await self._user(request)
        await self.adapter.warm_up()  # whoever has opened the page will ask, and must not wait for it then
        commands = self._desk().commands
        requested_model, persona = await commands.choice(user)
        return _json(
            {
                "user": user.user,
                "banner": self.banner(),
                "models": await commands.models(),
                "personas": await commands.personas(),
                "model": requested_model,
                "persona": persona,
                "uploads": self.adapter.blobs is not None,
                "max_message_chars": self.settings.max_message_chars,
                "max_upload_bytes": self.settings.max_upload_bytes,
            }
        )

    async def list_conversations(self, request: web.Request) -> web.Response:
        found = await self.adapter.conversations.conversations(await self._user(request))
        return _json([{"id": one.key.root, "title": one.title, "updated_at": one.updated_at} for one in found])

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Everything that stands in a conversation, then every change, until the reader leaves."""
        user = await self._user(request)
        conversation = _conversation(request, user)
        limit = _limit(request)
        stream = OpenStream(request, write_timeout_s=self.settings.write_timeout_s)
        with self.slots.hold(f"page:{user.user}"), self.adapter.hub.watch(conversation) as watcher:
            # watched before it is read, so that nothing can fall between the two
            turns = await self.adapter.conversations.messages(conversation, limit=limit)
            snapshot = {"turns": await self.adapter.turns.render_all(turns), "more": len(turns) >= limit}
            try:
                await stream.write(frame("snapshot", encode(snapshot)))
                while not self.adapter.hub.closed:
                    await stream.write(await watcher.news(self.settings.keepalive_s) or KEEPALIVE)
                await stream.end()
            except ConnectionError:
                pass  # the reader left
            return stream.response

    async def send(self, request: web.Request) -> web.Response:
        user = await self._user(request, takes_json=True)
        conversation = _conversation(request, user)
        if not self.adapter.takes_messages:
            raise TurnedAway(ApiError(503, SHUTTING_DOWN, "server_error", "closing", None, 5.0))
        body = await _decode(request, MessageBody)
        if len(body.text) > self.settings.max_message_chars:
            raise TooLarge("your message", limit=self.settings.max_message_chars, unit="characters")
        text = _visible(body.text)
        if not text.strip() and not body.attachments:
            raise BadRequest("there is nothing in it", param="text")
        for one in body.attachments:
            if self.adapter.blobs is None or not await self.adapter.blobs.owned(one.ref, user):
                raise BadRequest(f"the file {_file_name(one.name)!r} was not uploaded by you", param="attachments")
        incoming = Incoming(
            message_id=body.message_id,
            event_id=body.message_id,
            user=user,
            conversation=conversation,
            text=text,
            received_at=self.clock.now(),
            attachments=tuple(_attachment(one) for one in body.attachments),
            visibility="private",
            direct=True,
            locale=request.headers.get("Accept-Language", "").split(",")[0][:35],
            tz=body.tz,
        )
        receipt = await self._desk().intake.accept(incoming)
        if receipt.state == "refused":
            raise TurnedAway(ApiError(429, receipt.sentence, "rate_limit_error", "refused"))
        if receipt.state == "accepted":
            self.adapter.heard()
            self.adapter.hub.tell(conversation, "question", _question(incoming, receipt))
        return _json({"state": receipt.state, "reply_id": receipt.reply_id, "waiting": _waiting(receipt)}, status=202)

    async def stop(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        return _json({"stopped": await self._desk().intake.stop(_conversation(request, user), user)})

    async def press(self, request: web.Request) -> web.Response:
        user = await self._user(request, takes_json=True)
        body = await _decode(request, PressBody)
        sentence = await self._desk().intake.press(request.match_info["reply"], body.action, user)
        return _json({"sentence": sentence})

    async def choose(self, request: web.Request) -> web.Response:
        user = await self._user(request, takes_json=True)
        body = await _decode(request, ChoiceBody)
        commands = self._desk().commands
        said = Said("")
        if body.model is not None:
            said = await commands.set_model(user, body.model)
        if body.persona is not None:
            said = await commands.set_persona(user, body.persona)
        return self._said(said)

    async def usage(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        return self._said(await self._desk().commands.usage(user))

    async def export(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        said = await self._desk().commands.export(user)
        return web.Response(
            body=said.file or said.text.encode(),
            content_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="tern-export.json"'},
        )

    async def forget_me(self, request: web.Request) -> web.Response:
        """Everything of the page's user, and of the API's under the same key: it is the same person."""
        user = await self._user(request, takes_json=True)
        commands = self._desk().commands
        on_page = await commands.forget(user)
        over_api = await commands.forget(replace(user, platform="api"))
        return self._said(over_api if on_page.text == FORGOTTEN_NOTHING else on_page)

    async def forget_conversation(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        conversation = _conversation(request, user)
        said = await self._desk().commands.forget(user, conversation)
        self.adapter.hub.forget(conversation)
        return self._said(said)

    async def upload(self, request: web.Request) -> web.Response:
        """Keep one file: its bytes are the body. Answers what the next message's `attachments` wants."""
        user = await self._user(request)
        if self.adapter.blobs is None:
            raise TurnedAway(ApiError(404, "Files are not taken here.", "invalid_request_error", "no_uploads"))
        mime = request.content_type
        content = await self._read_upload(request)
        ref = await self.adapter.blobs.put(content, mime=mime, owner=user)
        name = _file_name(request.query.get("name", ""))
        return _json({"ref": ref, "name": name, "mime": mime, "size_bytes": len(content)}, status=201)

    async def file(self, request: web.Request) -> web.Response:
        """A kept file of the caller's own, always as a download: nothing uploaded is ever shown as a page of ours."""
        user = await self._user(request)
        ref = request.match_info["ref"]
        if self.adapter.blobs is None or not re.fullmatch(r"blob:[0-9a-f]{64}", ref):
            raise web.HTTPNotFound
        if not await self.adapter.blobs.owned(ref, user):
            raise web.HTTPNotFound  # as if it were not there: that it is would be news already
        try:
            content = await self.adapter.blobs.get(ref)
        except Unreadable as error:
            raise web.HTTPNotFound from error
        return web.Response(
            body=content,
            content_type="application/octet-stream",
            headers={"Content-Disposition": "attachment", "Cache-Control": "private, max-age=3600"},
        )

    async def _read_upload(self, request: web.Request) -> bytes:
        limit = self.settings.max_upload_bytes
        too_large = TooLarge("the file", limit=limit, unit="bytes")
        if (request.content_length or 0) > limit:
            raise too_large
        content = bytearray()
        try:
            async with asyncio.timeout(self.settings.upload_timeout_s):
                async for chunk in request.content.iter_chunked(64 * 1024):
                    content += chunk
                    if len(content) > limit:
                        raise too_large
        except TimeoutError as error:
            late = ApiError(408, "The file took too long to arrive.", "invalid_request_error", "timeout")
            raise TurnedAway(late) from error
        return bytes(content)

    async def _user(self, request: web.Request, *, takes_json: bool = False) -> UserKey:
        return UserKey("web", "", await self.auth.enter(request, takes_json=takes_json))

    def _desk(self) -> Desk:
        desk = self.adapter.desk
        if desk is None:
            raise TurnedAway(ApiError(503, SHUTTING_DOWN, "server_error", "starting", None, 2.0))
        return desk

    def _said(self, said: Said) -> web.Response:
        return _json({"html": self.adapter.markdown.html(said.text), "text": said.text})


def _conversation(request: web.Request, user: UserKey) -> ConversationKey:
    name = request.match_info["conversation"]
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,64}", name):
        raise BadRequest("a conversation's id is 8 to 64 letters and digits", param="conversation")
    return ConversationKey("web", "", user.user, name)


def _limit(request: web.Request) -> int:
    asked = request.query.get("limit", "")
    return min(int(asked), 1_000) if re.fullmatch(r"0*[1-9][0-9]{0,8}", asked) else MAX_TURNS


async def _decode(request: web.Request, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(str(error)) from error


def _visible(text: str) -> str:
    """*text* without NUL, which no database and no page can show."""
    return text.replace("\0", "")


def _attachment(one: UploadedFile) -> Attachment:
    return Attachment(_kind(one.mime), one.mime, _file_name(one.name), one.size_bytes, one.ref)


def _kind(mime: str) -> AttachmentKind:
    """A first guess by type; whoever reads the bytes judges by content."""
    match mime.partition("/")[0]:
        case "image":
            return "image"
        case "audio" | "video":  # a browser's recorder calls a voice clip video/webm at times
            return "audio"
        case "text":
            return "text"
        case _:
            return "file"


def _file_name(name: str) -> str:
    """A name that is only a name: no folders, no control characters."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(char for char in last if char.isprintable())[:120].strip(". ") or "file"


def _waiting(receipt: Receipt) -> str:
    return queued(receipt.place) if receipt.place else ""


def _question(incoming: Incoming, receipt: Receipt) -> dict[str, Any]:
    return {
        "message_id": incoming.message_id,
        "reply_id": receipt.reply_id,
        "text": incoming.text,
        "at": incoming.received_at,
        "waiting": _waiting(receipt),
        "attachments": [
            {"kind": one.kind, "name": one.name, "mime": one.mime, "ref": one.ref} for one in incoming.attachments
        ],
    }


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json")
