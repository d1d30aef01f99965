"""POST /v1/responses, and GET, DELETE and cancel of those that were stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from adapters.web.api.responses_parse import Message, chat_body, own_messages, parse_responses, said
from adapters.web.api.responses_types import ResponsesBody
from adapters.web.api.responses_wire import ResponseWriter, response_json
from adapters.web.api.stream import stream_answer
from adapters.web.api.types import ChatBody
from adapters.web.api.wire import encode
from adapters.web.auth import REQUEST_ID, Auth, read_body
from adapters.web.concurrency import Concurrency
from adapters.web.errors import ApiError, TurnedAway
from adapters.web.settings import WebSettings
from adapters.web.sse import OpenStream
from core.base.clock import Clock
from core.domain.events import Event, Send
from core.domain.incoming import UserKey
from core.domain.requests import ChatRequest, Reply
from core.ports.storage import ResponseStore

MOST_BEFORE = 200
"""Responses that one may go on from, one after the other; who talks longer sends the history as input."""

Ask = Callable[[ChatRequest, Send], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Responses:
    """`prepared` makes a request of a chat body, as for chat completions; `ask` answers it."""

    settings: WebSettings
    auth: Auth
    slots: Concurrency
    prepared: Callable[[ChatBody, UserKey, str], Awaitable[ChatRequest]]
    ask: Ask
    store: ResponseStore | None
    clock: Clock

    def routes(self, prefix: str) -> Iterator[web.RouteDef]:
        yield web.post(f"{prefix}/responses", self.create)
        yield web.get(prefix + "/responses/{id}", self.show)
        yield web.delete(prefix + "/responses/{id}", self.remove)
        yield web.post(prefix + "/responses/{id}/cancel", self.cancel)

    async def create(self, request: web.Request) -> web.StreamResponse:
        user = UserKey("api", "", await self.auth.enter(request, takes_json=True))
        body = parse_responses(await read_body(request))
        request_id = request[REQUEST_ID]
        response_id, created = f"resp_{request_id}", int(self.clock.now())
        own = own_messages(body)
        chat = chat_body(body, await self._before(body, user), own)
        with self.slots.hold(f"api:{user.user}"):
            wanted = await self.prepared(chat, user, request_id)

            async def answer(send: Send) -> Reply:
                reply = await self.ask(wanted, send)
                # stored before its end is told: whoever has read it may go on from it
                await self._keep(
                    response_json(body, response_id=response_id, created=created, model=reply.model, reply=reply),
                    own,
                    body,
                    user,
                )
                return reply

            if body.stream:
                stream = OpenStream(request, write_timeout_s=self.settings.write_timeout_s)
                writer = ResponseWriter(body, response_id=response_id, created=created)
                keepalive_s = self.settings.keepalive_s
                await stream_answer(stream, answer, writer, request_id=request_id, keepalive_s=keepalive_s)
                return stream.response
            reply = await answer(_unheard)
        return _json(response_json(body, response_id=response_id, created=created, model=reply.model, reply=reply))

    async def show(self, request: web.Request) -> web.Response:
        user = UserKey("api", "", await self.auth.enter(request))
        return _json((await self._stored(request.match_info["id"], user))["response"])

    async def remove(self, request: web.Request) -> web.Response:
        user = UserKey("api", "", await self.auth.enter(request))
        response_id = request.match_info["id"]
        if self.store is None or not await self.store.delete(response_id, user):
            raise _unknown(response_id)
        return _json({"id": response_id, "object": "response", "deleted": True})

    async def cancel(self, request: web.Request) -> web.Response:
        user = UserKey("api", "", await self.auth.enter(request))
        await self._stored(request.match_info["id"], user)
        raise TurnedAway(ApiError(400, "Only a response in the background can be cancelled.", "invalid_request_error"))

    async def _before(self, body: ResponsesBody, user: UserKey) -> list[Message]:
        """What was said in the responses that *body* goes on from, oldest first."""
        turns: list[list[Message]] = []
        before = body.previous_response_id
        while before:
            if len(turns) >= MOST_BEFORE:
                raise TurnedAway(
                    ApiError(
                        400,
                        f"More than {MOST_BEFORE} responses stand before this one; send the history as input.",
                        "invalid_request_error",
                        "context_length_exceeded",
                        "previous_response_id",
                    )
                )
            stored = await self._stored(before, user, param="previous_response_id")
            turns.append([*stored["messages"], *said(stored["response"]["output"])])
            before = stored["response"]["previous_response_id"]
        return [message for turn in reversed(turns) for message in turn]

    async def _stored(self, response_id: str, user: UserKey, *, param: str | None = None) -> dict[str, Any]:
        """Somebody else's is as if it were not there."""
        kept = await self.store.load(response_id, user) if self.store else None
        if kept is None:
            raise _unknown(response_id, param)
        found: dict[str, Any] = msgspec.json.decode(kept)
        return found

    async def _keep(self, response: dict[str, Any], own: list[Message], body: ResponsesBody, user: UserKey) -> None:
        if body.store is not False and self.store is not None:
            kept = encode({"messages": own, "response": response})
            await self.store.save(response["id"], user, kept)


def _unknown(response_id: str, param: str | None = None) -> TurnedAway:
    sentence = f"Response with id '{response_id[:100]}' not found."
    if param is None:
        return TurnedAway(ApiError(404, sentence, "invalid_request_error"))
    code = "previous_response_not_found"
    return TurnedAway(
        ApiError(
            400, f"Previous response with id '{response_id[:100]}' not found.", "invalid_request_error", code, param
        )
    )


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(body=encode(body), content_type="application/json")


async def _unheard(event: Event) -> None:
    """An unstreamed caller reads the response only."""
