"""Commands over real stores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import wording
from core.chat.commands import ChatCommands
from core.chat.personas import Persona, Personas
from core.domain.errors import BadRequest, UnknownModel
from core.domain.requests import Usage
from core.gateway.registry import load_registry
from tests.core.front_desk import ANN, BOB, Desk, conversation, desk
from tests.fakes.clock import FakeClock


@dataclass
class Counter:
    """How often what is in memory was dropped."""

    purged: int = 0

    async def purge(self) -> None:
        self.purged += 1


@dataclass
class Office:
    house: Desk
    commands: ChatCommands
    memory: Counter


@pytest.fixture
async def office(folder: Path, clock: FakeClock) -> AsyncIterator[Office]:
    async with desk(folder, clock) as house:
        storage, memory = house.storage, Counter()
        personas = Personas({"pirate": Persona("Talk like a pirate.")})
        commands = ChatCommands(
            load_registry(),
            lambda: personas,
            storage.preferences,
            storage.usage,
            storage.archive,
            house.inbox,
            clock,
            memory.purge,
        )
        yield Office(house, commands, memory)


async def test_models_begin_with_auto(office: Office) -> None:
    """The wishes first, then every model that chats; what only hears or speaks is no choice."""
    names = [name for name, _ in await office.commands.models()]

    assert names[:3] == ["auto", "speed", "quality"]
    assert "openai/gpt-oss-120b" in names
    assert not [name for name in names if "whisper" in name]


async def test_choice_of_a_model_is_kept(office: Office) -> None:
    """Each person has their own."""
    said = await office.commands.set_model(ANN, "quality")

    assert "**quality**" in said.text
    assert await office.commands.choice(ANN) == ("quality", "")
    assert await office.commands.choice(BOB) == ("auto", "")


async def test_retired_model_becomes_its_successor(office: Office) -> None:
    """Whoever asks for a model that is gone gets the one that took over, and is told."""
    said = await office.commands.set_model(ANN, "llama-3.3-70b-versatile")

    model, _ = await office.commands.choice(ANN)
    assert model in said.text
    assert "retired" in said.text
    assert model != "llama-3.3-70b-versatile"


async def test_unknown_choices_change_nothing(office: Office) -> None:
    """A model or persona that does not exist is refused with those that do."""
    with pytest.raises(UnknownModel, match="openai/gpt-oss-20b"):
        await office.commands.set_model(ANN, "gpt-99")
    with pytest.raises(BadRequest, match="pirate"):
        await office.commands.set_persona(ANN, "nobody")

    assert await office.commands.choice(ANN) == ("auto", "")


async def test_persona_and_model_are_chosen_apart(office: Office) -> None:
    """One choice leaves the other alone; the empty persona takes it back."""
    await office.commands.set_model(ANN, "speed")
    await office.commands.set_persona(ANN, "pirate")
    assert await office.commands.choice(ANN) == ("speed", "pirate")

    await office.commands.set_persona(ANN, "")

    assert await office.commands.choice(ANN) == ("speed", "")


async def test_usage_tells_today_and_the_month(office: Office) -> None:
    """With each model's share."""
    now = office.house.clock.now()
    await office.house.storage.usage.add("1", ANN, "", "fast", Usage(1_000, 0, 500, cost_usd=0.25), now)
    await office.house.storage.usage.add("2", ANN, "", "old", Usage(10, 0, 5, cost_usd=1), now - 5 * 86_400)

    said = await office.commands.usage(ANN)

    assert said.text.splitlines() == [
        "Today (UTC): 1 request, 1,500 tokens, $0.2500",
        "Last 30 days: 2 requests, 1,515 tokens, $1.2500",
        "- old: 1 request, 15 tokens, $1.0000",
        "- fast: 1 request, 1,500 tokens, $0.2500",
    ]


async def test_forgetting_oneself_stops_and_removes(office: Office) -> None:
    """What runs for the person ends first; then rows, memory and choices are gone."""
    house = office.house
    await office.commands.set_model(ANN, "speed")
    house.chat.plays(["Terns are", asyncio.Event()])
    receipt = await house.say()
    await house.until(lambda: house.pages(receipt) == ["Terns are"])

    forgetting = asyncio.create_task(office.commands.forget(ANN))
    while not forgetting.done():
        await house.breathe()
        await house.clock.advance(0.05)

    assert "Forgotten" in forgetting.result().text
    assert await house.state(receipt) == "gone"
    assert house.inbox.running == 0
    assert office.memory.purged == 2  # before the rows, for what ends meanwhile, and after them
    assert await office.commands.choice(ANN) == ("auto", "")
    assert (await office.commands.forget(ANN)).text == wording.FORGOTTEN_NOTHING


async def test_whoever_began_a_conversation_forgets_all_of_it(office: Office) -> None:
    """Its other people keep their part only as long."""
    house = office.house
    for user in (ANN, BOB):
        await house.until_state(await house.say(user=user), "answered")

    await office.commands.forget(ANN, conversation())

    assert not await house.storage.history.recent(conversation(), max_tokens=99, max_turns=9)


async def test_others_forget_their_own_part(office: Office) -> None:
    """Nobody removes what somebody else said in a conversation that is not theirs."""
    house = office.house
    for user in (ANN, BOB):
        await house.until_state(await house.say(str(user.user), user=user), "answered")

    await office.commands.forget(BOB, conversation())

    turns = await house.storage.history.recent(conversation(), max_tokens=99, max_turns=9)
    assert [turn.turn.text for turn in turns] == ["ann", "Answer to ann"]


async def test_export_is_a_dated_file(office: Office) -> None:
    """JSON, named by the day; a stranger to a conversation gets only their own part."""
    house = office.house
    await house.until_state(await house.say("words of Ann"), "answered")

    said = await office.commands.export(ANN)
    other = await office.commands.export(BOB, conversation())

    assert said.file_name == "tern-export-2027-01-15.json"
    assert json.loads(said.file)["messages"][0]["message"]["text"] == "words of Ann"
    assert json.loads(other.file)["messages"] == []


@pytest.mark.parametrize(("platform", "sign"), [("slack", "/tern forget"), ("discord", "/forget"), ("web", "/forget")])
def test_help_names_the_commands_as_the_platform_writes_them(office: Office, platform: str, sign: str) -> None:
    """Each command as one would type it there."""
    assert f"`{sign}`" in office.commands.help(platform, ["forget"]).text


async def test_stop_ends_what_one_asked_for_in_a_channel(office: Office) -> None:
    """`stop` ends one's own answers there, threads included, and nobody else's; where nothing runs it says so."""
    house = office.house
    never = asyncio.Event()
    house.chat.plays(["Words", never], ["Words", never])
    mine = await house.say("a", user=ANN)
    other = await house.say("b", user=BOB, root="other")
    await house.until_state(other, "running")

    elsewhere = await office.commands.stop(ANN, channel="another channel")
    said = await office.commands.stop(ANN, channel=conversation().channel)

    await house.until_state(mine, "stopped")
    assert (elsewhere.text, said.text) == (wording.NOTHING_RUNS, wording.STOPPING)
    assert await house.state(other) == "running"
