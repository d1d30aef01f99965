"""How Slack hands things to an app: over sockets or as signed requests, and again where nobody answers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from aiohttp import WSMsgType, web

from tests.fakes.slack.world import JSON

Kind = Literal["events_api", "slash_commands", "interactive"]
ACK_WITHIN_S = 3.0
"""Both transports: facts/slack.md 1.10."""


@dataclass
class Delivery:
    """One thing handed over, with every attempt at it."""

    kind: Kind
    payload: JSON
    attempts: list[float] = field(default_factory=list)
    """When each attempt was made, in loop time."""
    answers: list[int | None] = field(default_factory=list)
    """HTTP status of each attempt (200 for a socket's ack), None where nothing came in time."""
    answer: Any = None
    """What the acknowledgement carried."""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Acknowledged, or given up."""

    @property
    def acked(self) -> bool:
        return 200 in self.answers

    async def over(self) -> Delivery:
        await self.done.wait()
        return self


class Deliveries:
    """The sending half of a fake Slack. Events are tried four times in all; commands and presses once."""

    def __init__(self, signing_secret: str) -> None:
        self._secret = signing_secret
        self.wall_clock: Callable[[], float] = time.time
        """What signatures are stamped with."""
        self.sockets: list[web.WebSocketResponse] = []
        self.target = ""
        """Where signed requests go; "" sends over sockets."""
        self.retry_delays_s: tuple[float, ...] = (0.0, 60.0, 300.0)
        """At once, after a minute, after five: facts/slack.md 1.10."""
        self.log: list[Delivery] = []
        self.socket_count = 0
        """How many sockets were ever opened."""
        self.deaf = False
        """Sockets whose end is not answered."""
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = random.Random(7)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in list(self.sockets):
            await socket.close()
        if self._session:
            await self._session.close()

    def send(self, kind: Kind, payload: JSON) -> Delivery:
        delivery = Delivery(kind, payload)
        self.log.append(delivery)
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return delivery

    async def idle(self) -> None:
        """Wait until nothing is being delivered."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _deliver(self, delivery: Delivery) -> None:
        delays = (0.0, *self.retry_delays_s) if delivery.kind == "events_api" else (0.0,)
        try:
            for attempt, delay_s in enumerate(delays):
                if delay_s:
                    await asyncio.sleep(delay_s)
                delivery.attempts.append(asyncio.get_running_loop().time())
                status = await (self._over_http if self.target else self._over_socket)(delivery, attempt)
                delivery.answers.append(status)
                if status == 200:
                    return
        finally:
            delivery.done.set()

    # --- Socket Mode ---

    async def serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True, autoclose=False)
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": len(self.sockets) + 1})
        self.sockets.append(socket)
        self.socket_count += 1
        try:
            async for frame in socket:
                if frame.type == WSMsgType.TEXT:
                    answer = json.loads(frame.data)
                    waiting = self._waiting.pop(answer["envelope_id"], None)
                    if waiting and not waiting.done():
                        waiting.set_result(answer.get("payload"))
            await (asyncio.sleep(3_600) if self.deaf else socket.close())
        finally:
            if socket in self.sockets:
                self.sockets.remove(socket)
        return socket

    async def _over_socket(self, delivery: Delivery, attempt: int) -> int | None:
        if not self.sockets:
            return None
        socket = self._random.choice(self.sockets)  # each event goes to one random socket: facts/slack.md 1.10
        envelope_id = f"env-{id(delivery):x}-{attempt}"
        envelope: JSON = {
            "envelope_id": envelope_id,
            "type": delivery.kind,
            "payload": delivery.payload,
            "accepts_response_payload": delivery.kind != "events_api",
        }
        if delivery.kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": "timeout" if attempt else ""}
        waiting = self._waiting[envelope_id] = asyncio.get_running_loop().create_future()
        try:
            await socket.send_json(envelope)
            delivery.answer = await asyncio.wait_for(waiting, ACK_WITHIN_S)
        except (TimeoutError, ConnectionError):
            self._waiting.pop(envelope_id, None)
            return None
        return 200

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Tell every socket that it is about to go; the app opens a new one."""
        for socket in list(self.sockets):
            await socket.send_json({"type": "disconnect", "reason": reason})

    async def cut(self) -> None:
        """Close every socket without a word."""
        for socket in list(self.sockets):
            self.sockets.remove(socket)
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.close()

    # --- signed HTTP ---

    async def _over_http(self, delivery: Delivery, attempt: int) -> int | None:
        body, content_type = self._encoded(delivery)
        headers = self.signed(body) | {"Content-Type": content_type}
        if attempt:
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": "http_timeout"}
        try:
            async with (
                asyncio.timeout(ACK_WITHIN_S),
                self._http().post(self.target, data=body, headers=headers) as answer,
            ):
                text = await answer.text()
                if text:
                    delivery.answer = json.loads(text) if text.startswith("{") else text
                return answer.status
        except (TimeoutError, aiohttp.ClientError):
            return None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    def _encoded(self, delivery: Delivery) -> tuple[str, str]:
        match delivery.kind:
            case "events_api":
                return json.dumps(delivery.payload), "application/json"
            case "slash_commands":
                return urllib.parse.urlencode(delivery.payload), "application/x-www-form-urlencoded"
            case "interactive":
                form = urllib.parse.urlencode({"payload": json.dumps(delivery.payload)})
                return form, "application/x-www-form-urlencoded"

    def signed(self, body: str | bytes, *, age_s: float = 0.0, secret: str | None = None) -> dict[str, str]:
        """Slack's signature: HMAC of "v0:TIME:BODY", good for five minutes (facts/slack.md 1.10)."""
        stamp = str(int(self.wall_clock() - age_s))
        key = (self._secret if secret is None else secret).encode()
        raw = body.encode() if isinstance(body, str) else body
        mac = hmac.new(key, f"v0:{stamp}:".encode() + raw, hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}
