"""What goes wrong around the house while it works: the platforms, their sockets, the clock on the wall."""

from __future__ import annotations

import asyncio
from random import Random

from tests.fakes.discord import Fault as DiscordFault
from tests.fakes.slack import Fault as SlackFault
from tests.torture.plan import Plan
from tests.torture.world import House, Worlds

_SLACK_WRITES = ("chat.postMessage", "chat.update", "chat.startStream", "chat.appendStream", "chat.stopStream")
_SLACK_READS = ("conversations.replies", "users.info", "conversations.info", "assistant.threads.setStatus")
_DISCORD_CALLS = (("POST", r"/messages$"), ("PATCH", r"/messages/\d+$"), ("POST", "/typing"), ("GET", r"/messages"))


async def make_trouble(plan: Plan, worlds: Worlds, house: House) -> None:
    """Run until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_platforms(plan, worlds))
        group.create_task(_sockets(plan, worlds))
        group.create_task(_clock(plan, house))
        group.create_task(signs_of_life(worlds))


async def _platforms(plan: Plan, worlds: Worlds) -> None:
    random = plan.random("platforms")
    while True:
        await asyncio.sleep(random.expovariate(1 / plan.troubles.platform_every_s))
        if random.random() < 0.5:
            _slack_call(plan, worlds, random)
        else:
            _discord_call(plan, worlds, random)


def _slack_call(plan: Plan, worlds: Worlds, random: Random) -> None:
    method = random.choice(_SLACK_WRITES + _SLACK_READS)
    name, fault = random.choice((
        ("500", SlackFault(status=500)),
        ("502", SlackFault(status=502)),
        ("503 after doing", SlackFault(status=503, after_doing=True)),
        ("429", SlackFault(status=429, retry_after_s=random.choice((1, 3, 12)))),
        ("reply lost", SlackFault(drop=True, after_doing=True)),
        ("cut", SlackFault(drop=True)),
        ("slow", SlackFault(delay_s=random.uniform(1, 6), status=500, after_doing=True)),
        ("internal_error", SlackFault(error="internal_error")),
        ("fatal_error", SlackFault(error="fatal_error", after_doing=True)),
    ))  # fmt: skip
    plan.fault(f"slack {name}")
    worlds.slack.fault(method, fault)


def _discord_call(plan: Plan, worlds: Worlds, random: Random) -> None:
    method, path = random.choice(_DISCORD_CALLS)
    name, fault = random.choice((
        ("500", DiscordFault(method, path, "status", status=500)),
        ("502", DiscordFault(method, path, "status", status=502, times=2)),
        ("429", DiscordFault(method, path, "rate_limited", after_s=random.uniform(0.2, 6))),
        ("429 cloudflare", DiscordFault(method, path, "cloudflare", after_s=random.uniform(1, 10))),
        ("reply lost", DiscordFault(method, path, "lost")),
        ("cut", DiscordFault(method, path, "cut", times=random.choice((1, 3)))),
        ("hang", DiscordFault(method, path, "hang", after_s=random.uniform(1, 20))),
    ))  # fmt: skip
    plan.fault(f"discord {name}")
    worlds.discord.faults.append(fault)


async def _sockets(plan: Plan, worlds: Worlds) -> None:
    random = plan.random("sockets")
    gateway, deliveries = worlds.discord.gateway, worlds.slack.deliveries
    while True:
        await asyncio.sleep(random.expovariate(1 / plan.troubles.socket_every_s))
        what = random.choice(
            ("slack cut", "slack refresh", "discord close", "discord cut", "discord repeat", "discord forgets")
        )
        plan.fault(what)
        match what:
            case "slack cut":
                await deliveries.cut()
            case "slack refresh":
                await deliveries.disconnect()
            case "discord close":
                await gateway.close()
            case "discord cut":
                gateway.cut()
            case "discord repeat":
                gateway.repeat = not gateway.repeat
            case "discord forgets":
                await gateway.forget_sessions()


async def _clock(plan: Plan, house: House) -> None:
    random = plan.random("clock")
    while True:
        await asyncio.sleep(random.expovariate(1 / plan.troubles.clock_every_s))
        plan.fault("clock jump")
        house.clock.off_s = random.choice((-30.0, -2.0, 0.0, 2.0, 30.0, 90.0, -90.0))


async def signs_of_life(worlds: Worlds) -> None:
    """The library's own heartbeats come from a thread in real time, which here is too slow for it."""
    while True:
        await asyncio.sleep(10)
        await worlds.discord.gateway.dispatch("TYPING_START", {"channel_id": "1", "user_id": "1", "timestamp": 0})
