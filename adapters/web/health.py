"""GET /healthz (the event loop turns), /readyz (work can be taken) and /metrics (Prometheus)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

from adapters.web.auth import Auth
from core.base.clock import Clock
from core.ports.platform import AdapterHealth

REMEMBERED_S = 2.0
"""Who asks within this time reads what the last write said: anybody may ask, and each write costs the disk."""

DATABASE_TIMEOUT_S = 2.0
"""A database that cannot take one small write in this time is not writable."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What /readyz asks. Each answer is when something really happened, not what somebody set."""

    intake_open: Callable[[], bool]
    database_writable: Callable[[], Awaitable[bool]]
    """Tries a small write; may raise."""
    adapters: Callable[[], Mapping[str, AdapterHealth]]
    sunsets: Callable[[], Sequence[tuple[str, str, int]]] = tuple
    """(model id, ISO date of its published shutdown, days left), soonest first."""


@dataclass(slots=True)
class HealthRoutes:
    auth: Auth
    readiness: Readiness
    metrics: CollectorRegistry
    clock: Clock
    _written: tuple[float, bool] | None = None
    """(when the small write was tried last, whether it went through)."""
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.show_metrics),
        ]

    async def healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(self, request: web.Request) -> web.Response:
        """Everything, or one adapter: /readyz?adapter=slack."""
        self.auth.refuse_other_sites(request)
        adapters = {name: self._adapter(health) for name, health in self.readiness.adapters().items()}
        wanted = request.query.get("adapter")
        if wanted is not None:
            if wanted not in adapters:
                return _answer({"ready": False, "adapter": wanted[:40], "detail": "no such adapter"}, status=404)
            ready = adapters[wanted]["state"] == "connected"
            return _answer({"ready": ready, "adapter": wanted, **adapters[wanted]}, status=200 if ready else 503)
        checks: dict[str, Any] = {
            "intake_open": self.readiness.intake_open(),
            "database_writable": await self._database_writable(),
            "page_served": True,  # by the server that is answering just now
        }
        ready = all(checks.values())
        body = {
            "ready": ready,
            **checks,
            "page_off": self.auth.off_because or None,
            "adapters": adapters,
            "sunsets": [
                {"model": model, "shutdown_at": date, "days_left": days}
                for model, date, days in self.readiness.sunsets()
            ],
        }
        return _answer(body, status=200 if ready else 503)

    async def show_metrics(self, request: web.Request) -> web.Response:
        await self.auth.enter(request)
        return web.Response(body=generate_latest(self.metrics), headers={"Content-Type": CONTENT_TYPE_PLAIN_1_0_0})

    async def _database_writable(self) -> bool:
        async with self._writing:  # those who ask at once wait for one write
            if self._written is None or self.clock.monotonic() - self._written[0] >= REMEMBERED_S:
                writable = await self._try_write()
                self._written = (self.clock.monotonic(), writable)
            return self._written[1]

    async def _try_write(self) -> bool:
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                return await self.readiness.database_writable()
        except Exception:  # noqa: BLE001 (whatever went wrong, the answer is no; storage logs the reason)
            return False

    def _adapter(self, health: AdapterHealth) -> dict[str, Any]:
        now = self.clock.now()

        def age(at: float | None) -> float | None:
            return None if at is None else round(max(0.0, now - at), 1)

        return {
            "state": health.state,
            "detail": health.detail,
            "heartbeat_age_s": age(health.heartbeat_at),
            "event_in_age_s": age(health.event_in_at),
            "delivered_age_s": age(health.delivered_at),
        }


def _answer(body: dict[str, Any], *, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
