"""What doctor says of Discord: each thing that can be wrong, with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.discord.checkup import INVITED_WITH, examine_discord, invite
from tests.adapters.discord.conftest import StartBot, settings
from tests.fakes.discord import FakeDiscord, Fault


@pytest.fixture
async def set_up(discord: FakeDiscord, start: StartBot) -> FakeDiscord:
    """A server with the bot in it, which was started once."""
    async with start() as bot:
        await bot.ask()
    return discord


async def test_all_is_well(set_up: FakeDiscord) -> None:
    """One line, with the invite that asks for what is used and no more."""
    [finding] = await examine_discord(settings(set_up))

    assert finding.level == "ok"
    assert invite(set_up.application_id) in finding.text
    assert f"permissions={INVITED_WITH}" in finding.text
    assert INVITED_WITH == 309_237_763_136  # facts/discord-2.md 2.4


@pytest.mark.parametrize(
    ("wrong", "level", "said", "advice"),
    [
        ("token", "bad", "DISCORD_BOT_TOKEN is refused", "Bot page"),
        ("outage", "bad", "cannot be reached", "discordstatus"),
        ("endpoint", "bad", "slash commands and buttons never reach", "empty it"),
        ("code grant", "bad", "invite links do not work", "switch it off"),
        ("no intent", "bad", "does not grant the message content intent", "Privileged Gateway Intents"),
        ("unused intent", "warn", "DISCORD_MESSAGE_CONTENT is not set", "set it"),
        ("identifies", "warn", "only 3 of the day", "less often"),
        ("no server", "warn", "in no server", "invite it: https://"),
        ("rights", "warn", "in Harbour it lacks: Attach Files", "open the invite once more"),
        ("unknown channel", "warn", "channel 42 of tern.toml does not exist", "take it out"),
        ("closed channel", "warn", "is not open to the bot", "View Channel"),
        ("no id", "bad", "is no channel's id", "copy it"),
        ("old commands", "warn", "not this version's: ask", "start the bot once"),
    ],
)
async def test_what_is_wrong_is_said_with_what_to_do(
    set_up: FakeDiscord, wrong: str, level: str, said: str, advice: str
) -> None:
    """A table of what can be wrong."""
    discord, given = set_up, settings(set_up)
    channels: list[str] = []
    match wrong:
        case "token":
            given = replace(given, token="wrong")
        case "outage":
            discord.faults.append(Fault("GET", "users/@me", "status", status=503))
        case "endpoint":
            discord.application["interactions_endpoint_url"] = "https://example.org/x"
        case "code grant":
            discord.application["bot_require_code_grant"] = True
        case "no intent":
            given = replace(given, message_content=True)
        case "unused intent":
            discord.application["flags"] = 1 << 19
        case "identifies":
            discord.identifies_left = 3
        case "no server":
            discord.guilds.clear()
        case "rights":
            discord.guild_permissions = INVITED_WITH & ~(1 << 15)
        case "unknown channel":
            channels = ["42"]
        case "closed channel":
            [channel] = [one for one in discord.channels.values() if one.type == 0]
            channel.permissions -= {"view"}
            channels = [str(channel.id)]
        case "no id":
            channels = ["general"]
        case "old commands":
            discord.commands = [entry for entry in discord.commands if entry["name"] != "ask"]

    [finding] = await examine_discord(given, channels=channels)

    assert finding.level == level
    assert said in finding.text
    assert advice in finding.advice


async def test_looking_changes_nothing(set_up: FakeDiscord) -> None:
    """No connection is used up, no command registered, nothing said."""
    identifies, syncs, requests = set_up.gateway.identifies, set_up.syncs, len(set_up.requests)

    await examine_discord(settings(set_up))

    assert (set_up.gateway.identifies, set_up.syncs) == (identifies, syncs)
    assert {request.method for request in set_up.requests[requests:]} == {"GET"}
