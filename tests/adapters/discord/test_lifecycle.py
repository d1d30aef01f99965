"""Connecting, losing, resuming, catching up, leaving: through the real library's gateway."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from typing import Any

import aiohttp
import pytest

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.client import API, GATEWAY, Client, intents, point_at
from adapters.discord.connection_health import START_S, ConnectionHealth
from adapters.discord.settings import DiscordSettings
from core.base.clock import SystemClock
from core.domain.errors import SettingsError, StorageFull, SurfaceBusy
from core.ports.platform import Controls
from tests.adapters.discord.conftest import Bot, Ear, Notes, StartBot, settings, words
from tests.fakes.clock import FakeClock, settle
from tests.fakes.desk import FakeCommands, FakeIntake
from tests.fakes.discord import FakeDiscord, Fault, until


async def run_to_its_end(discord: FakeDiscord, **changes: object) -> None:
    adapter = DiscordAdapter(settings(discord, **changes), SystemClock(), Notes(), Ear())
    async with asyncio.timeout(10):
        await adapter.run(FakeIntake(), FakeCommands())


async def test_only_the_needed_intents_are_asked_for(bot: Bot) -> None:
    """Servers, their messages, direct messages; nothing privileged."""
    assert bot.discord.gateway.intents == [4609]


def test_content_intent_is_asked_for_where_it_is_wanted() -> None:
    """DISCORD_MESSAGE_CONTENT adds one bit."""
    assert intents(DiscordSettings("t", message_content=True)).value == 4609 | 1 << 15


async def test_refused_token_says_what_to_do(discord: FakeDiscord) -> None:
    """401 at login is final and names the setting."""
    with pytest.raises(SettingsError, match="DISCORD_BOT_TOKEN"):
        await run_to_its_end(discord, token="wrong")


async def test_refused_intent_says_what_to_do(discord: FakeDiscord) -> None:
    """4014 is final and names the switch."""
    with pytest.raises(SettingsError, match="DISCORD_MESSAGE_CONTENT"):
        await run_to_its_end(discord, message_content=True)


async def test_unreachable_discord_may_be_tried_again(discord: FakeDiscord) -> None:
    """A REST outage at start is no crash of the library's but a reason to come back."""
    discord.faults.append(Fault("GET", "users/@me", "status", status=503))

    with pytest.raises(SurfaceBusy):
        await run_to_its_end(discord)


async def test_run_can_be_called_again_after_it_failed(discord: FakeDiscord) -> None:
    """The supervisor's second attempt connects."""
    discord.faults.append(Fault("GET", "users/@me", "status", status=503))
    adapter = DiscordAdapter(settings(discord), SystemClock(), Notes(), Ear())
    intake = FakeIntake()
    with pytest.raises(SurfaceBusy):
        await adapter.run(intake, FakeCommands())

    task = asyncio.create_task(adapter.run(intake, FakeCommands()))
    await until(lambda: adapter.health().state == "connected")
    ada = discord.person("Ada")
    await discord.say(discord.dm(ada), ada, "hello")
    await until(lambda: intake.accepted)
    task.cancel()
    await asyncio.wait({task})

    assert intake.accepted[0].text == "hello"


async def test_reset_token_ends_the_bot_with_a_reason(bot: Bot) -> None:
    """The gateway's 4004 after a reset in the portal is final."""
    bot.discord.token = "another"
    await bot.discord.gateway.forget_sessions()

    with pytest.raises(SettingsError, match="4004"):
        await asyncio.wait_for(bot.task, 10)


async def test_leaving_closes_the_gateway_with_1000(bot: Bot) -> None:
    """The bot goes offline at once, and nothing is left running."""
    await bot.leave()
    await until(lambda: bot.discord.gateway.closes)

    assert bot.discord.gateway.closes == [1000]
    assert bot.adapter.health().state == "off"


async def test_closed_intake_leaves_surfaces_and_buttons_alive(bot: Bot) -> None:
    """While draining, new messages are left for the next start and replies in flight go on."""
    surface = await bot.ask("first")
    await bot.adapter.close_intake()

    await bot.discord.say(bot.channel, bot.ada, "too late", mention=True)
    ref = await surface.post(0, words("still here"), "n0")
    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="stored")
    await bot.accepted(2)
    await until(lambda: used.answered)

    assert bot.channel.messages[int(ref)].content == "still here"
    assert [incoming.text for incoming in bot.intake.accepted] == ["first", "stored"]


@pytest.mark.parametrize("way", ["closed", "cut", "asked"])
async def test_events_of_a_short_outage_are_replayed_once(bot: Bot, way: str) -> None:
    """A resume brings what was missed; the library resumes after a close, a cut and a request to reconnect."""
    gateway = bot.discord.gateway
    gateway.mute = True
    await bot.discord.say(bot.channel, bot.ada, "during the outage", mention=True)
    gateway.mute = False
    match way:
        case "closed":
            await gateway.close()
        case "cut":
            gateway.cut()
        case "asked":
            await gateway.ask_to_reconnect()

    await bot.accepted()
    await bot.quiet()

    assert [incoming.text for incoming in bot.intake.accepted] == ["during the outage"]
    assert gateway.resumes >= 1


async def test_failed_resume_is_made_good_by_reading_back(bot: Bot) -> None:
    """Op 9 loses the events; mentions in channels and talk in known direct messages are found over REST, once."""
    dm = bot.discord.dm(bot.ada)
    await bot.discord.say(dm, bot.ada, "before")
    await bot.accepted()
    bot.discord.gateway.mute = True
    await bot.discord.say(bot.channel, bot.ada, "in the channel", mention=True)
    await bot.discord.say(bot.channel, bot.ada, "not for the bot")
    await bot.discord.say(dm, bot.ada, "directly")
    bot.discord.gateway.mute = False

    await bot.discord.gateway.forget_sessions()
    await bot.accepted(3)
    await bot.quiet()

    assert sorted(incoming.text for incoming in bot.intake.accepted) == ["before", "directly", "in the channel"]


async def test_messages_of_a_downtime_are_answered_once(start: StartBot, discord: FakeDiscord) -> None:
    """What was written while no process ran is taken in by the next one, threads included."""
    async with start() as bot:
        first = await discord.say(bot.channel, bot.ada, "before", mention=True)
        await bot.accepted()
        intake, notes = bot.intake, bot.notes
    thread = await discord.thread(first)
    await discord.say(bot.channel, bot.ada, "while away", mention=True, deliver=False)
    await discord.say(thread, bot.ada, "in the thread", mention=True, deliver=False)

    async with start(intake=intake, notes=notes) as again:
        await again.accepted(3)
        await again.quiet()

    found = {incoming.text: incoming.conversation.root for incoming in intake.accepted}
    assert set(found) == {"before", "while away", "in the thread"}
    assert found["in the thread"] == str(thread.id)


async def test_missed_messages_are_checked_for_roles_too(start: StartBot, discord: FakeDiscord) -> None:
    """What is read over REST comes without its author's roles; they are asked for."""
    guild = discord.guild()
    channel, ada, bob = discord.channel(guild), discord.person("Ada"), discord.person("Bob")
    guild.roles[ada.id] = [77]
    for person in (bob, ada):
        await discord.say(channel, person, f"from {person.name}", mention=True, deliver=False)
    notes = Notes({f"discord:alive:{discord.application_id}": str(time.time() - 60)})

    async with start(notes=notes, allow_roles=frozenset({77})) as bot:
        await bot.accepted()

    assert [incoming.text for incoming in bot.intake.accepted] == ["from Ada"]


async def test_looking_back_is_bounded(start: StartBot, discord: FakeDiscord) -> None:
    """Nothing older than the set hours, and not more than the set number, is read."""
    guild = discord.guild()
    channel, ada = discord.channel(guild), discord.person("Ada")
    now = time.time()
    await discord.say(channel, ada, "two days ago", mention=True, deliver=False, at=now - 48 * 3600)
    for number in range(5):
        await discord.say(channel, ada, f"missed {number}", mention=True, deliver=False, at=now - 100 + number)
    notes = Notes({f"discord:alive:{discord.application_id}": str(now - 72 * 3600)})

    async with start(notes=notes, backfill_messages=3) as bot:
        await bot.accepted(3)
        await bot.quiet()

    assert [incoming.text for incoming in bot.intake.accepted] == ["missed 0", "missed 1", "missed 2"]


async def test_first_start_ever_answers_no_old_messages(start: StartBot, discord: FakeDiscord) -> None:
    """Without a sign of an earlier life there is nothing to make good."""
    channel, ada = discord.channel(discord.guild()), discord.person("Ada")
    await discord.say(channel, ada, "long before the bot", mention=True, deliver=False)

    async with start() as bot:
        await bot.quiet()

    assert bot.intake.accepted == []


async def test_direct_message_that_slept_for_long_is_looked_at(start: StartBot, discord: FakeDiscord) -> None:
    """Discord tells nothing of direct messages after an outage, so every one that is known is looked at."""
    ada = discord.person("Ada")
    dm = discord.dm(ada)
    async with start() as bot:
        await discord.say(dm, ada, "last week", at=time.time() - 7 * 86_400)
        await bot.accepted()
        intake, notes = bot.intake, bot.notes
    await discord.say(dm, ada, "while away", deliver=False)

    async with start(intake=intake, notes=notes) as again:
        await again.accepted(2)

    assert [incoming.text for incoming in intake.accepted] == ["last week", "while away"]


@pytest.mark.parametrize("kind", [0, 2])
async def test_mention_behind_much_talk_is_found(start: StartBot, discord: FakeDiscord, kind: int) -> None:
    """What people said among themselves uses up nothing of the number that is set; voice channels have a chat too."""
    channel, ada = discord.channel(discord.guild(), kind=kind), discord.person("Ada")
    now = time.time()
    for number in range(130):
        await discord.say(channel, ada, f"talk {number}", deliver=False, at=now - 50 + number / 10)
    await discord.say(channel, ada, "and you?", mention=True, deliver=False, at=now - 20)
    notes = Notes({f"discord:alive:{discord.application_id}": str(now - 60)})

    async with start(notes=notes, backfill_messages=3) as bot:
        await bot.accepted()

    assert [incoming.text for incoming in bot.intake.accepted] == ["and you?"]


@pytest.mark.parametrize(
    ("under_it", "asked_again"),
    [
        (Controls("r1", finished=True), False),
        (Controls("r1", confirm=True), False),
        (Controls("r1", stop=True), True),
        (None, True),
    ],
    ids=["finished", "asks", "still growing", "a sentence"],
)
async def test_question_that_carries_our_answer_is_answered(
    start: StartBot, discord: FakeDiscord, under_it: Controls | None, asked_again: bool
) -> None:
    """Also where the database is younger than the answer. What only grew, or only said "later", is none."""
    async with start() as bot:
        surface = await bot.ask("what is a tern?")
        await surface.post(0, words("A seabird.", controls=under_it), "n0")
        notes = bot.notes
    await discord.say(bot.channel, bot.ada, "and a gull?", mention=True, deliver=False)

    async with start(notes=notes) as again:
        await again.accepted(2 if asked_again else 1)
        await again.quiet()

    questions = ["what is a tern?", "and a gull?"]
    assert [incoming.text for incoming in again.intake.accepted] == questions[not asked_again :]


async def test_message_that_storage_refused_is_said_and_looked_for_again(bot: Bot) -> None:
    """A full disk is no lost message: the asker hears of it, and the message is taken in later."""
    bot.intake.fails = StorageFull("disk full")
    await bot.discord.say(bot.channel, bot.ada, "keep me", mention=True)
    await until(lambda: bot.discord.said(bot.channel))
    (said,) = bot.discord.said(bot.channel)

    bot.intake.fails = None
    await bot.adapter._messages.catch_up()

    assert "no need to send it again" in said.content
    assert [incoming.text for incoming in bot.intake.accepted] == ["keep me"]


async def test_health_is_what_really_happened(bot: Bot) -> None:
    """Connected since the gateway said so; delivered when Discord took a message."""
    before = bot.adapter.health()
    surface = await bot.ask()
    await surface.post(0, words("hi"), "n0")
    after = bot.adapter.health()

    assert before.delivered_at is None
    assert before.event_in_at is not None
    assert after.delivered_at is not None
    assert after.event_in_at is not None
    assert after.event_in_at >= before.event_in_at


async def test_outage_shows_in_health(bot: Bot) -> None:
    """While the gateway refuses, the adapter does not claim to be connected."""
    bot.discord.gateway.refuse = True
    await bot.discord.gateway.close()

    await until(lambda: bot.adapter.health().state == "down")


async def test_gateway_that_never_answers_is_no_start_for_ever(discord: FakeDiscord) -> None:
    """The library would try its first connection again for ever; the adapter gives it up and says so."""
    discord.gateway.refuse = True
    adapter = DiscordAdapter(settings(discord, gateway_patience_s=0.2), SystemClock(), Notes(), Ear())

    with pytest.raises(SurfaceBusy, match="gateway has not answered"):
        await adapter.run(FakeIntake(), FakeCommands())

    assert adapter.health().state == "down"


async def test_gateway_that_stays_away_ends_the_connection(start: StartBot, discord: FakeDiscord) -> None:
    """The library's pauses grow to 17 minutes; whoever runs the adapter comes back sooner."""
    async with start(gateway_patience_s=1.5) as bot:
        discord.gateway.refuse = True
        await discord.gateway.close()

        with pytest.raises(SurfaceBusy, match="gateway has not answered"):
            await asyncio.wait_for(bot.task, 10)

    assert bot.adapter.health().state == "down"


async def test_start_that_takes_too_long_is_an_outage() -> None:
    """ "Starting" is a promise that ends after fifteen seconds."""
    clock = FakeClock()
    life = ConnectionHealth(clock, Notes())
    life.became("starting")

    states = [life.health(None).state]
    await clock.advance(START_S + 1)
    states.append(life.health(None).state)

    assert states == ["starting", "down"]


async def test_one_lost_shard_is_named_until_it_is_back() -> None:
    """Some servers are then without a bot, whatever the other shards do; only without any is the bot cut off."""
    clock = FakeClock()
    life = ConnectionHealth(clock, Notes())
    life.became("starting")
    for shard in range(3):
        life.shard_connected(shard)

    life.shard_lost(1)
    await clock.advance(60)
    seen = (life.health(None).state, life.health(None).detail, life.cut_off_s)
    life.shard_connected(1)

    assert seen == ("down", "the connection of shards [1] was lost", 0.0)
    assert (life.health(None).state, life.health(None).detail) == ("connected", "")


async def test_identifies_keep_their_gap_and_wait_no_longer() -> None:
    """Two shards are five seconds apart; a reconnect an hour later waits for nothing."""
    clock = FakeClock()
    nobody: Any = None
    trace = aiohttp.TraceConfig()
    client = Client(DiscordSettings("t"), nobody, nobody, nobody, clock, http_trace=trace, slot=nullcontext)
    begun: list[float] = []

    async def identify(shard: int) -> None:
        await client.before_identify_hook(shard, initial=shard == 0)
        begun.append(clock.monotonic())

    async with asyncio.TaskGroup() as shards:
        shards.create_task(identify(0))
        shards.create_task(identify(1))
        await settle()
        await clock.advance(3600)
        await identify(1)

    assert begun == [0.0, 5.0, 3600.0]


async def test_used_up_identifies_are_waited_for(discord: FakeDiscord) -> None:
    """Where Discord allows no more connections today, the bot waits instead of losing its token."""
    discord.identifies_left = 0
    adapter = DiscordAdapter(settings(discord), SystemClock(), Notes(), Ear())

    task = asyncio.create_task(adapter.run(FakeIntake(), FakeCommands()))
    await until(lambda: "used up" in adapter.health().detail)
    identified_before = discord.gateway.identifies
    await until(lambda: adapter.health().state == "connected")
    task.cancel()
    await asyncio.wait({task})

    assert identified_before == 0


async def test_shards_are_taken_from_the_settings(start: StartBot, discord: FakeDiscord) -> None:
    """Two shards in one process: both connect, and a server's messages come through its own."""
    async with start(shard_count=2) as bot:
        await discord.gateway.connected(2)
        await bot.ask("hello")

    assert bot.intake.accepted[0].text == "hello"


async def test_process_of_other_shards_leaves_the_commands_alone(start: StartBot, discord: FakeDiscord) -> None:
    """Only the process with shard 0 registers commands, so that several do not race."""
    guild = discord.guild()
    shard = (guild.id >> 22) % 2
    async with start(shard_ids=(shard,), shard_count=2, guild=guild) as bot:
        await bot.ask("hello")
        if shard == 0:
            await until(lambda: discord.syncs)

    assert discord.syncs == (1 if shard == 0 else 0)


def test_addresses_go_back_to_discords_own() -> None:
    """Settings without addresses undo what others set."""
    point_at(DiscordSettings("t", api_url="http://127.0.0.1:1/api/v10", gateway_url="ws://127.0.0.1:1/"))
    point_at(DiscordSettings("t"))

    from discord.gateway import DiscordWebSocket
    from discord.http import Route

    assert (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY) == (API, GATEWAY)


def test_token_is_in_no_repr() -> None:
    """Settings may be logged."""
    assert "secret" not in repr(DiscordSettings("secret"))
