"""A small house around the web adapter: everything it is handed, faked, and the server on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeAlias

import aiohttp
from prometheus_client import CollectorRegistry, Counter

from adapters.web import Readiness, WebAdapter, WebServer, WebSettings, build_web_app
from adapters.web.api.audio import Listener
from core.base.clock import Clock, SystemClock
from core.domain.errors import StorageError, Unreadable
from core.domain.events import Event, Send, Started, TextDelta, ToolCallDelta
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Finish, Reply, ToolCall, Usage
from core.ports.platform import AdapterHealth
from core.ports.storage import ApiKeyStore, ConversationSummary, ShownTurn
from tests.fakes.clock import LoopClock
from tests.fakes.desk import FakeCommands, FakeIntake
from tests.fakes.provider import a_model

USAGE = Usage(prompt_tokens=11, cached_tokens=3, output_tokens=7, reasoning_tokens=2, cost_usd=0.000_123)

Step: TypeAlias = str | Event | Exception | asyncio.Event


class ScriptedHandler:
    """The middleware stack, scripted: text to say, events to send, gates to wait at, errors to raise."""

    def __init__(self) -> None:
        self.steps: list[Step] = ["Hello", " there", "."]
        self.requests: list[ChatRequest] = []
        self.finish: Finish = "stop"
        self.cancelled = 0
        self.running = 0

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        self.requests.append(request)
        self.running += 1
        try:
            return await self._play(send)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _play(self, send: Send) -> Reply:
        text = ""
        calls: dict[int, ToolCall] = {}
        await send(Started("openai/gpt-oss-20b", "groq"))
        for step in self.steps:
            match step:
                case str():
                    text += step
                    await send(TextDelta(step))
                    await asyncio.sleep(0)
                case asyncio.Event():
                    await step.wait()
                case Exception():
                    raise step
                case ToolCallDelta():
                    known = calls.get(step.index, ToolCall(step.id, step.name, ""))
                    calls[step.index] = replace(known, arguments=known.arguments + step.arguments)
                    await send(step)
                case _:
                    await send(step)
        finish: Finish = "tool_calls" if calls else self.finish
        return Reply(text, "openai/gpt-oss-20b", "groq", USAGE, finish, tuple(calls.values()))

    @property
    def last(self) -> ChatRequest:
        return self.requests[-1]


class FakeConversations:
    """Stored turns in memory, newest last."""

    def __init__(self) -> None:
        self.turns: dict[ConversationKey, list[ShownTurn]] = {}
        self.fails: StorageError | None = None

    async def conversations(self, user: UserKey, *, limit: int = 100) -> Sequence[ConversationSummary]:
        mine = [
            ConversationSummary(key, turns[0].text[:40], turns[-1].at)
            for key, turns in self.turns.items()
            if key.channel == user.user and turns
        ]
        return sorted(mine, key=lambda one: -one.updated_at)[:limit]

    async def messages(self, conversation: ConversationKey, *, limit: int = 200) -> Sequence[ShownTurn]:
        if self.fails:
            raise self.fails
        return self.turns.get(conversation, [])[-limit:]

    def put(self, conversation: ConversationKey, turn: ShownTurn) -> None:
        """Add *turn*, or replace the one of the same reply or question."""
        turns = self.turns.setdefault(conversation, [])
        for index, known in enumerate(turns):
            if known.role == turn.role and known.message_id == turn.message_id:
                turns[index] = turn
                return
        turns.append(turn)


class MemoryResponses:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, UserKey], bytes] = {}

    async def save(self, response_id: str, user: UserKey, body: bytes) -> None:
        self.kept[response_id, user] = body

    async def load(self, response_id: str, user: UserKey) -> bytes | None:
        return self.kept.get((response_id, user))

    async def delete(self, response_id: str, user: UserKey) -> bool:
        return self.kept.pop((response_id, user), None) is not None


class FakeBlobs:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.owners: set[tuple[str, UserKey]] = set()

    async def put(self, content: bytes, *, mime: str, owner: UserKey) -> str:
        import hashlib

        ref = f"blob:{hashlib.sha256(content).hexdigest()}"
        self.kept[ref] = content
        self.owners.add((ref, owner))
        return ref

    async def owned(self, ref: str, owner: UserKey) -> bool:
        return (ref, owner) in self.owners

    async def get(self, ref: str) -> bytes:
        if ref not in self.kept:
            raise Unreadable("the file", "it is no longer stored")
        return self.kept[ref]


@dataclass
class House:
    """What a test reaches for."""

    settings: WebSettings
    handler: ScriptedHandler
    adapter: WebAdapter
    intake: FakeIntake
    commands: FakeCommands
    conversations: FakeConversations
    blobs: FakeBlobs
    http: aiohttp.ClientSession
    url: str = ""
    models: list[ModelSpec] = field(default_factory=list)
    database_ok: bool = True
    database_writes: int = 0
    intake_open: bool = True
    adapters: dict[str, AdapterHealth] = field(default_factory=dict)
    banner: str = ""
    request_ids: list[str] = field(default_factory=list)
    server: WebServer | None = None

    @property
    def open_connections(self) -> int:
        return self.server.open_connections if self.server else 0

    def incoming(self, message_id: str = "message-0001", conversation: str = "conversation-1") -> Incoming:
        user = UserKey("web", "", "local")
        key = ConversationKey("web", "", "local", conversation)
        return Incoming(message_id, message_id, user, key, "hi", received_at=1.0, direct=True)


@asynccontextmanager
async def a_house(
    settings: WebSettings | None = None,
    *,
    intake: FakeIntake | None = None,
    commands: FakeCommands | None = None,
    conversations: FakeConversations | None = None,
    clock: Clock | None = None,
    listener: Listener | None = None,
    local_stands_in: bool = True,
    keys: ApiKeyStore | None = None,
) -> AsyncIterator[House]:
    """A running server on a free port of loopback, its adapter running, a client session."""
    settings = replace(settings or WebSettings(), port=0)
    metrics = CollectorRegistry()
    Counter("tern_answers", "Answers", registry=metrics).inc()
    numbers = count(1)
    conversations = conversations or FakeConversations()
    blobs = FakeBlobs()
    adapter = WebAdapter(clock=SystemClock(), conversations=conversations, blobs=blobs)
    async with aiohttp.ClientSession() as http:
        house = House(
            settings,
            ScriptedHandler(),
            adapter,
            intake or FakeIntake(),
            commands or FakeCommands(),
            conversations,
            blobs,
            http,
        )
        house.models = [a_model("openai/gpt-oss-20b"), a_model("openai/gpt-oss-120b")]
        house.adapters = {"web": AdapterHealth("connected", heartbeat_at=1.0), "slack": AdapterHealth("off")}

        def new_id() -> str:
            house.request_ids.append(f"req{next(numbers):05}")
            return house.request_ids[-1]

        async def writable() -> bool:
            house.database_writes += 1
            return house.database_ok

        app = build_web_app(
            settings,
            adapter=adapter,
            handler=house.handler,
            models=lambda: house.models,
            readiness=Readiness(
                lambda: house.intake_open,
                writable,
                lambda: house.adapters,
                lambda: [("qwen/qwen3.8-27b", "2026-12-01", 8)],
            ),
            metrics=metrics,
            clock=clock or SystemClock(),
            banner=lambda: house.banner,
            new_id=new_id,
            listener=listener,
            local_stands_in=local_stands_in,
            keys=keys,
            responses=MemoryResponses(),
        )
        # the socket is always on loopback; what the settings say decides who may come in
        async with WebServer(app, replace(settings, host="127.0.0.1"), LoopClock()) as server:
            house.url, house.server = server.url, server
            running = asyncio.create_task(adapter.run(house.intake, house.commands))
            await asyncio.sleep(0)
            yield house
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
