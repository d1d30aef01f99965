"""Equal deterministic questions get one answer: from memory, from the database, or from the call in flight."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field, fields

import msgspec
from cachetools import TTLCache

from core.base.clock import Clock
from core.domain.errors import NoModelLeft, Stalled, StorageError, StreamBroken
from core.domain.events import Event, Restarted, Send, Started, TextDelta
from core.domain.incoming import UserKey
from core.domain.requests import ChatRequest, Finish, Image, Reply, Usage
from core.ports.gateway import Handler
from core.ports.storage import CacheStore

FORMAT = 2
"""Part of every key; raise it when the meaning of a stored answer changes."""

_NOT_SHAPING = frozenset(
    {
        "request_id",
        "user",
        "conversation",
        "tz",
        "deadline_at",
        "editable",
        "fresh",
        "private",
        "contributors",
        "channel_key",
    }
)
"""Fields of a request that do not shape its answer (the conversation and the zone are there for tools, and where
tools are nothing is cached). A field added later shapes the answer until it is listed here."""

_SHAPING = tuple(
    f.name for f in fields(ChatRequest) if f.name not in _NOT_SHAPING and f.name not in ("turns", "audience")
)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    entries: int = 500
    """In memory; the database keeps what the memory has dropped until it expires."""
    ttl_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is kept of a reply."""

    text: str
    model: str
    provider: str
    finish: Finish


def cacheable(request: ChatRequest) -> bool:
    """Deterministic, without tools, and nobody's private files in it."""
    return request.temperature == 0 and not request.tools and not request.private


def cache_key(request: ChatRequest) -> str:
    """Return the SHA-256, in hex, of everything that shapes the answer."""
    turns = [
        (turn.role, [(type(part).__name__, _picture(part) if isinstance(part, Image) else part) for part in turn.parts])
        for turn in request.turns
    ]
    readers = sorted(msgspec.msgpack.encode(scope) for scope in request.audience.of)
    shape = (FORMAT, turns, readers, [getattr(request, name) for name in _SHAPING])
    return hashlib.sha256(msgspec.msgpack.encode(shape, order="deterministic")).hexdigest()


def _picture(image: Image) -> tuple[str, str | bytes]:
    """A picture is its content, wherever it was kept."""
    return image.mime, image.data or image.url or image.ref


class Cache:
    """A stage that answers equal deterministic requests once.

    Requests in flight are shared too: followers get the leader's events from the first to the last, as they come. Only
    success is shared; when the leader is refused, stopped, out of time or out of models, one of its followers asks for
    itself and the others follow that one. A follower, like a hit, costs nothing and is marked `from_cache`.

    Only answers given without trouble are kept: what a stand-in said is not what the key describes.

    Weakness: the memory is this process's own; another process finds an answer through the database only.
    """

    def __init__(
        self, handler: Handler, store: CacheStore, clock: Clock, settings: CacheSettings = CacheSettings()
    ) -> None:
        self._handler = handler
        self._store = store
        self._clock = clock
        self._settings = settings
        self._memory: TTLCache[str, tuple[Answer, frozenset[UserKey]]] = TTLCache(
            settings.entries, settings.ttl_s, timer=clock.monotonic
        )
        self._flights: dict[tuple[str, bool], _Flight] = {}

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        if not cacheable(request):
            return await self._handler(request, send)
        key = cache_key(request)
        if request.fresh:
            flight = _Flight(request)
            reply = await self._handler(request, send)
            await self._keep(key, flight, reply)
            return reply
        if (answer := await self._find(key)) is not None:
            await send(Started(answer.model, answer.provider))
            await send(TextDelta(answer.text))
            return _shared(answer)
        return await self._fly(key, request, send)

    def purge(self, user: UserKey) -> int:
        """Forget every answer in memory that *user*'s words are in, those in flight included; returns how many.

        The database's rows go with everything else that `Archive.forget` removes.
        """
        theirs = [key for key, (_, contributors) in self._memory.items() if user in contributors]
        for key in theirs:
            self._memory.pop(key, None)
        for flight in self._flights.values():
            flight.storable = flight.storable and user not in flight.contributors
        return len(theirs)

    def clear(self) -> None:
        """Forget every answer in memory, those in flight included: where it is not known whose words must go."""
        self._memory.clear()
        for flight in self._flights.values():
            flight.storable = False

    async def _find(self, key: str) -> Answer | None:
        if (known := self._memory.get(key)) is not None:
            return known[0]
        try:
            row = await self._store.get(key)
            return None if row is None else msgspec.json.decode(row, type=Answer)
        except (StorageError, msgspec.MsgspecError):
            return None  # a cache that cannot be read is an empty one

    async def _keep(self, key: str, flight: _Flight, reply: Reply) -> None:
        trouble = any(attempt.outcome != "ok" for attempt in reply.attempts)
        if trouble or not flight.storable or not reply.text or reply.finish not in ("stop", "length"):
            return
        answer = Answer(reply.text, reply.model, reply.provider, reply.finish)
        contributors = frozenset(flight.contributors)
        self._memory[key] = (answer, contributors)
        expires_at = self._clock.now() + self._settings.ttl_s
        with suppress(StorageError):  # the answer is given; only the next start will not know it
            await self._store.put(key, msgspec.json.encode(answer), expires_at=expires_at, contributors=contributors)

    async def _fly(self, key: str, request: ChatRequest, send: Send) -> Reply:
        """Follow whoever asks already, lead where nobody does. Surfaces that can and cannot edit fly apart, because
        what may be taken back differs."""
        place = (key, request.editable)
        reader: _Reader | None = None
        while (flight := self._flights.get(place)) is not None:
            reader = reader or _Reader(send, editable=request.editable)
            reply = await self._follow(flight, request, reader)
            if reply is not None:
                await reader.settle()
                return _shared(Answer(reply.text, reply.model, reply.provider, reply.finish))
            reader.begin_again()
        flight = self._flights[place] = _Flight(request)
        try:
            reply = await self._handler(request, flight.tee(reader or send))
            flight.land(reply)
        finally:
            del self._flights[place]
            flight.close()
        if reader is not None:
            await reader.settle()
        await self._keep(key, flight, reply)
        return reply

    async def _follow(self, flight: _Flight, request: ChatRequest, reader: _Reader) -> Reply | None:
        """Pass the leader's events on as they come. None when the leader came to nothing."""
        flight.join(request)
        left_s = None if request.deadline_at is None else max(0.0, request.deadline_at - self._clock.now())
        try:
            async with asyncio.timeout(left_s) as limit:
                position = 0
                while True:
                    while position < len(flight.events):
                        await reader(flight.events[position])
                        position += 1
                    if flight.closed:
                        return flight.reply
                    await flight.changed()
        except TimeoutError:
            if not limit.expired():
                raise
            raise NoModelLeft([Stalled("the deadline has passed")], partial_text=reader.text) from None


def _shared(answer: Answer) -> Reply:
    return Reply(answer.text, answer.model, answer.provider, usage=Usage(), finish=answer.finish, from_cache=True)


@dataclass(slots=True, eq=False)
class _Flight:
    """One call in flight: what was sent so far, and who waits for more."""

    first: ChatRequest
    events: list[Event] = field(default_factory=list)
    reply: Reply | None = None
    closed: bool = False
    storable: bool = True
    contributors: set[UserKey] = field(default_factory=set)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.join(self.first)

    def join(self, request: ChatRequest) -> None:
        self.contributors |= {request.user, *request.contributors}

    def tee(self, send: Send) -> Send:
        def teed(event: Event) -> Awaitable[None]:
            self.events.append(event)
            if self._waiting:
                self._wake()
            return send(event)

        return teed

    def land(self, reply: Reply) -> None:
        self.reply = reply

    def close(self) -> None:
        self.closed = True
        self._wake()

    async def changed(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class _Reader:
    """A follower's `send`: knows what its reader has, and repeats nothing when another leader begins again.

    Deterministic answers mostly begin alike, so the new leader's text is swallowed as far as it agrees. Where it
    differs the rest is taken back; an append-only reader gets an error instead.
    """

    def __init__(self, send: Send, *, editable: bool) -> None:
        self._send = send
        self._editable = editable
        self._model = ""
        self.text = ""
        self._agreed: int | None = None
        """How much of `text` the new leader has said too; None when it has said it all."""

    def begin_again(self) -> None:
        self._agreed = 0 if self.text else None

    async def __call__(self, event: Event) -> None:
        match event:
            case TextDelta(text) if self._agreed is not None:
                await self._compare(text, self._agreed)
                return
            case TextDelta(text):
                self.text += text
            case Restarted(keep_chars=keep) if self._agreed is not None:
                self._agreed = min(keep, self._agreed)
                return
            case Restarted(keep_chars=keep):
                self.text = self.text[:keep]
            case Started(model=model):
                self._model = model
            case _:
                pass
        await self._send(event)

    async def settle(self) -> None:
        """The answer is complete: what stands beyond it goes."""
        if self._agreed is not None:
            await self._take_back(self._agreed)

    async def _compare(self, text: str, agreed: int) -> None:
        standing = self.text[agreed : agreed + len(text)]
        same = next((i for i, char in enumerate(standing) if char != text[i]), len(standing))
        self._agreed = agreed + same
        if same < len(text) and self._agreed < len(self.text):
            await self._take_back(self._agreed)
        if self._agreed is not None and self._agreed == len(self.text):
            self._agreed = None
        if same < len(text):
            self.text += text[same:]
            await self._send(TextDelta(text[same:]))

    async def _take_back(self, keep_chars: int) -> None:
        self._agreed = None
        if keep_chars == len(self.text):
            return
        if not self._editable:
            raise NoModelLeft([StreamBroken("the answer changed when it was asked again")], partial_text=self.text)
        self.text = self.text[:keep_chars]
        await self._send(Restarted(self._model, keep_chars))
