"""POST /v1/chat/completions, GET /v1/models and audio.py's routes, also under /openai/v1, where groq's client looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from adapters.web.api.audio import Audio
from adapters.web.api.parse import chat_request, parse_body
from adapters.web.api.parts import Parts
from adapters.web.api.pictures import Pictures
from adapters.web.api.responses import Responses
from adapters.web.api.stream import stream_answer
from adapters.web.api.types import ChatBody
from adapters.web.api.wire import ChunkWriter, completion, encode, joined, model_json, models_json
from adapters.web.auth import REQUEST_ID, Auth, read_body
from adapters.web.concurrency import Concurrency
from adapters.web.errors import ApiError, TurnedAway
from adapters.web.settings import WebSettings
from adapters.web.sse import OpenStream
from core.base.clock import Clock
from core.domain.errors import TernError
from core.domain.events import Event, Send
from core.domain.incoming import UserKey
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply
from core.gateway.tokens import estimate_request
from core.ports.gateway import Handler
from core.ports.storage import ResponseStore

PREFIXES = ("/v1", "/openai/v1")


@dataclass(frozen=True, slots=True)
class Api:
    """The API's routes over the stack. A caller who leaves cancels the request."""

    settings: WebSettings
    auth: Auth
    slots: Concurrency
    handler: Handler
    models: Callable[[], Sequence[ModelSpec]]
    clock: Clock
    audio: Audio | None = None
    """None: nobody here can hear."""
    pictures: Pictures | None = None
    """None: pictures are passed on as they came."""
    local_stands_in: bool = True
    """Whether the local model answers while nobody else does; who asks for it by its name gets it anyway."""
    parts: Parts | None = None
    """None: recordings and files inside messages are refused."""
    responses: ResponseStore | None = None
    """Keeps responses that may be gone on from; None keeps none."""

    def routes(self) -> list[web.RouteDef]:
        """Each also with a slash at its end, as some clients write addresses."""
        responses = Responses(
            self.settings, self.auth, self.slots, self._prepared, self._ask, self.responses, self.clock
        )
        return [
            route
            for prefix in PREFIXES
            for route in (
                web.post(f"{prefix}/chat/completions", self.chat),
                web.get(f"{prefix}/models", self.list_models),
                web.get(prefix + "/models/{id:.+}", self.show_model),
                *responses.routes(prefix),
                *(self.audio.routes(prefix) if self.audio else ()),
            )
            for route in (route, web.route(route.method, f"{route.path}/", route.handler, **route.kwargs))
        ]

    async def chat(self, request: web.Request) -> web.StreamResponse:
        user = UserKey("api", "", await self.auth.enter(request, takes_json=True))
        body = parse_body(await read_body(request))
        request_id = request[REQUEST_ID]
        with self.slots.hold(f"api:{user.user}"):
            wanted = await self._prepared(body, user, request_id)
            if body.stream:
                return await self._stream(request, body, wanted)
            replies = await self._several(wanted, body.n or 1)
        made = [completion(reply, request_id=request_id, created=int(self.clock.now())) for reply in replies]
        return _json(encode(joined(made)))

    async def list_models(self, request: web.Request) -> web.Response:
        await self.auth.enter(request)
        return _json(encode(models_json(self.models())))

    async def show_model(self, request: web.Request) -> web.Response:
        await self.auth.enter(request)
        wanted = request.match_info["id"]
        for model in self.models():
            if model.id == wanted:
                return _json(encode(model_json(model)))
        for requested_model in models_json(())["data"]:
            if requested_model["id"] == wanted:
                return _json(encode(requested_model))
        raise TurnedAway(
            ApiError(
                404, f"The model {wanted!r} is not known here.", "invalid_request_error", "model_not_found", "model"
            )
        )

    async def _prepared(self, body: ChatBody, user: UserKey, request_id: str) -> ChatRequest:
        """What *body* asks for, ready for the stack. Raises RequestError."""
        deadline_at = self.clock.now() + self.settings.api_deadline_s
        if self.parts:
            await self.parts.taken_in(body, user, request_id, deadline_at)
        wanted = chat_request(body, request_id=request_id, user=user, deadline_at=deadline_at)
        if body.truncation != "auto":
            self._refuse_too_long(wanted)
        wanted = replace(wanted, allow_local=self.local_stands_in)
        return await self.pictures.prepared(wanted) if self.pictures else wanted

    def _refuse_too_long(self, wanted: ChatRequest) -> None:
        """A program counts on its whole prompt being read; cut, it would get a wrong answer for a right one."""
        largest = max((model.context_window for model in self.models()), default=0)
        tokens = estimate_request(wanted)
        if largest and tokens > largest:
            raise TurnedAway(
                ApiError(
                    400,
                    f"This prompt has about {tokens:,} tokens, and the largest context here is {largest:,}. Send "
                    'less, or have it cut with "truncation": "auto".',
                    "invalid_request_error",
                    "context_length_exceeded",
                    "messages",
                )
            )

    async def _several(self, wanted: ChatRequest, count: int) -> list[Reply]:
        """That many answers to one question, asked at once; each a request of its own for limits and costs."""
        requests = [replace(wanted, request_id=f"{wanted.request_id}.n{n}", fresh=True) for n in range(1, count)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask(each, _unheard)) for each in (wanted, *requests)]
        except* (TernError, TimeoutError) as failures:
            raise failures.exceptions[0] from None  # the first says it for all
        return [task.result() for task in tasks]

    async def _ask(self, wanted: ChatRequest, send: Send) -> Reply:
        async with asyncio.timeout(self.settings.api_deadline_s):
            return await self.handler(wanted, send)

    async def _stream(self, request: web.Request, body: ChatBody, wanted: ChatRequest) -> web.StreamResponse:
        stream = OpenStream(request, write_timeout_s=self.settings.write_timeout_s)
        options = body.stream_options
        chunks = ChunkWriter(
            wanted.request_id,
            created=int(self.clock.now()),
            model=body.model,
            include_usage=bool(options and options.include_usage),
        )
        await stream_answer(
            stream,
            lambda send: self._ask(wanted, send),
            chunks,
            request_id=wanted.request_id,
            keepalive_s=self.settings.keepalive_s,
        )
        return stream.response


async def _unheard(event: Event) -> None:
    """An unstreamed caller reads the reply only."""


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
