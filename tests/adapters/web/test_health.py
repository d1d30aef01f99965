"""Liveness, readiness, metrics."""

from __future__ import annotations

import asyncio
import time

from core.ports.platform import AdapterHealth
from tests.adapters.web.house import House, a_house
from tests.fakes.clock import FakeClock


async def get(house: House, path: str):
    async with house.http.get(house.url + path) as response:
        return response.status, await response.json()


async def test_liveness_is_the_event_loop_only(house):
    """A broken database and a closed intake do not make the process look dead."""
    house.database_ok = house.intake_open = False

    assert await get(house, "/healthz") == (200, {"alive": True})


async def test_ready_means_intake_database_and_page():
    """All three together, and each alone takes readiness away."""
    clock = FakeClock()
    async with a_house(clock=clock) as house:
        await _each_takes_readiness_away(house, clock)


async def _each_takes_readiness_away(house: House, clock: FakeClock) -> None:
    status, body = await get(house, "/readyz")
    assert (status, body["ready"]) == (200, True)
    assert (body["intake_open"], body["database_writable"], body["page_served"]) == (True, True, True)

    house.database_ok = False
    await clock.advance(2)
    assert (await get(house, "/readyz"))[0] == 503
    house.database_ok, house.intake_open = True, False
    await clock.advance(2)
    assert (await get(house, "/readyz"))[0] == 503


async def test_looks_in_quick_succession_share_one_write():
    """Anybody may ask without a key, so one small write to the database serves two seconds, and all who ask at once."""
    clock = FakeClock()
    async with a_house(clock=clock) as house:
        await asyncio.gather(*(get(house, "/readyz") for _ in range(10)))
        await clock.advance(1.9)
        await get(house, "/readyz")
        assert house.database_writes == 1

        await clock.advance(0.1)
        await get(house, "/readyz")

        assert house.database_writes == 2


async def test_adapters_stand_in_the_body_with_their_ages(house):
    """Each adapter says how long ago its heartbeat, its last event and its last answer were."""
    now = time.time()
    house.adapters = {"slack": AdapterHealth("connected", "", now - 3, now - 60, None)}

    _, body = await get(house, "/readyz")

    slack = body["adapters"]["slack"]
    assert slack["state"] == "connected"
    assert 2 < slack["heartbeat_age_s"] < 10
    assert 50 < slack["event_in_age_s"] < 70
    assert slack["delivered_age_s"] is None


async def test_a_broken_adapter_does_not_take_readiness_away_but_can_be_asked_for(house):
    """Slack being down leaves the bot ready; asked for alone it is a 503, an unknown name a 404."""
    house.adapters = {"slack": AdapterHealth("down", "socket closed"), "web": AdapterHealth("connected")}

    assert (await get(house, "/readyz"))[0] == 200
    assert (await get(house, "/readyz?adapter=slack"))[0] == 503
    assert (await get(house, "/readyz?adapter=web"))[0] == 200
    assert (await get(house, "/readyz?adapter=irc"))[0] == 404


async def test_models_about_to_be_shut_down_are_announced(house):
    """A published shutdown stands in the body with the days left."""
    _, body = await get(house, "/readyz")

    assert body["sunsets"] == [{"model": "qwen/qwen3.8-27b", "shutdown_at": "2026-12-01", "days_left": 8}]


async def test_metrics_are_prometheus_text(house):
    """The registry that was handed in is shown in Prometheus' form."""
    async with house.http.get(f"{house.url}/metrics") as response:
        text = await response.text()

    assert response.headers["Content-Type"].startswith("text/plain")
    assert "tern_answers_total 1.0" in text


async def test_the_adapter_says_when_it_last_heard_and_delivered(house):
    """Starting, connected with real moments, closing."""
    assert house.adapter.health().state == "connected"
    assert house.adapter.health().event_in_at is None

    body = {"message_id": "message-0001", "text": "hi"}
    async with house.http.post(f"{house.url}/page/conversations/conversation-1/messages", json=body):
        pass
    surface = await house.adapter.surface(house.incoming(), "reply1", None)
    await surface.close()
    health = house.adapter.health()
    assert health.event_in_at is not None
    assert health.delivered_at is not None

    await house.adapter.close_intake()
    assert house.adapter.health().state == "down"
