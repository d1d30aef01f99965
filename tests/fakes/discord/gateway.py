"""The gateway: hello, identify, ready, heartbeats, resume with replay, and its misbehaviour (facts/discord.md 1.12)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from tests.fakes.discord.server import FakeDiscord

MESSAGE_CONTENT = 1 << 15
KNOWN_INTENTS = (1 << 26) - 1


@dataclass(eq=False)
class Session:
    """One gateway session; it outlives its socket, so that a resume replays what was missed."""

    id: str
    intents: int
    shard: tuple[int, int]
    sequence: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None

    @property
    def sees_content(self) -> bool:
        return bool(self.intents & MESSAGE_CONTENT)


class Gateway:
    def __init__(self, fake: FakeDiscord) -> None:
        self._fake = fake
        self.sessions: dict[str, Session] = {}
        self.identifies = 0
        self.resumes = 0
        self.closes: list[int | None] = []
        """Close codes that clients sent; None when a socket just vanished."""
        self.refuse = False
        """Answer new sockets with 503."""
        self.mute = False
        """Deliver no events; they are kept for a resume."""
        self.repeat = False
        """Deliver every event twice (0..N times delivery)."""
        self.intents: list[int] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=503, text="upstream connect error")
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": self._fake.heartbeat_ms}, "s": None, "t": None})
        session: Session | None = None
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                break
            order = json.loads(frame.data)
            match order["op"]:
                case 1:
                    await socket.send_json({"op": 11, "d": None, "s": None, "t": None})
                case 2:
                    session = await self._identify(socket, order["d"])
                    if session is None:
                        break
                case 6:
                    session = await self._resume(socket, order["d"])
        self.closes.append(socket.close_code)
        if session is not None and session.socket is socket:
            session.socket = None
            if socket.close_code in (1000, 1001):
                self.sessions.pop(session.id, None)  # a clean close ends the session for good
        return socket

    async def _identify(self, socket: web.WebSocketResponse, order: dict[str, Any]) -> Session | None:
        self.identifies += 1
        self.intents.append(order["intents"])
        if order["token"] != self._fake.token:
            await socket.close(code=4004, message=b"Authentication failed.")
            return None
        if order["intents"] & ~KNOWN_INTENTS:
            await socket.close(code=4013, message=b"Invalid intent(s).")
            return None
        if order["intents"] & MESSAGE_CONTENT and not self._fake.content_intent:
            await socket.close(code=4014, message=b"Disallowed intent(s).")
            return None
        shard = tuple(order.get("shard", (0, 1)))
        session = Session(f"session{self.identifies}", order["intents"], (shard[0], shard[1]), socket=socket)
        self.sessions[session.id] = session
        guilds = [guild for guild in self._fake.guilds.values() if self._on_shard(session, guild.id)]
        ready = {
            "v": 10,
            "user": self._fake.me.payload() | {"bot": True},
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self._fake.gateway_url,
            "application": {"id": str(self._fake.application_id), "flags": 0},
            "shard": list(shard),
        }
        await self._send(session, "READY", ready)
        for guild in guilds:
            await self._send(session, "GUILD_CREATE", guild.payload())
        return session

    async def _resume(self, socket: web.WebSocketResponse, order: dict[str, Any]) -> Session | None:
        self.resumes += 1
        session = self.sessions.get(order["session_id"])
        if session is None or order["token"] != self._fake.token or order["seq"] is None:
            await socket.send_json({"op": 9, "d": False, "s": None, "t": None})
            return None
        session.socket = socket
        for event in list(session.sent):
            if event["s"] > order["seq"]:
                await socket.send_json(event)
        await self._send(session, "RESUMED", {})
        return session

    async def dispatch(self, name: str, event: dict[str, Any], *, guild: int | None = None, needs: int = 0) -> None:
        """Send an event to the shard it belongs to; direct messages go to shard 0. *needs*: an intent's bit."""
        for session in list(self.sessions.values()):
            if self._on_shard(session, guild) and (not needs or session.intents & needs):
                body = self._fake.as_seen(event, content=session.sees_content) if "MESSAGE" in name else event
                await self._send(session, name, body)

    async def _send(self, session: Session, name: str, event: dict[str, Any]) -> None:
        session.sequence += 1
        frame = {"op": 0, "t": name, "s": session.sequence, "d": event}
        session.sent.append(frame)
        if session.socket is None or session.socket.closed or self.mute:
            return
        for _ in range(2 if self.repeat and name not in ("READY", "GUILD_CREATE", "RESUMED") else 1):
            await session.socket.send_json(frame)

    def _on_shard(self, session: Session, guild: int | None) -> bool:
        index, count = session.shard
        return ((guild or 0) >> 22) % count == index if guild else index == 0

    # --- faults

    async def close(self, code: int = 4000) -> None:
        """Close every socket as Discord does when it restarts a node; sessions can be resumed."""
        for session in list(self.sessions.values()):
            if session.socket is not None:
                socket, session.socket = session.socket, None
                await socket.close(code=code)

    def cut(self) -> None:
        """Drop every connection without a farewell."""
        for session in list(self.sessions.values()):
            if session.socket is not None and session.socket._req is not None and session.socket._req.transport:
                session.socket._req.transport.abort()
                session.socket = None

    async def forget_sessions(self) -> None:
        """Make the next resume fail (op 9 false), and end the sockets."""
        sockets = [session.socket for session in self.sessions.values() if session.socket is not None]
        self.sessions.clear()
        for socket in sockets:
            await socket.close(code=4000)

    async def ask_to_reconnect(self) -> None:
        for session in self.sessions.values():
            if session.socket is not None:
                await session.socket.send_json({"op": 7, "d": None, "s": None, "t": None})

    async def connected(self, count: int = 1) -> None:
        """Wait until *count* sessions have a socket."""
        while sum(session.socket is not None for session in self.sessions.values()) < count:
            await asyncio.sleep(0.005)
