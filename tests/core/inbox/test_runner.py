"""How a run ends: what the reader sees, what the rows keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core import wording
from core.domain.errors import (
    BadRequest,
    ContextTooLong,
    LimitReached,
    NoModelLeft,
    Overloaded,
    StorageBusy,
    SurfaceBusy,
    SurfaceGone,
)
from core.domain.events import Notice
from core.domain.requests import Attempt, Reply, Usage
from core.domain.runs import Claim, ReplyCapability, RunRules, Settlement
from core.inbox.inbox import InboxLimits
from core.inbox.runner import RunnerSettings, backoff_s, tokens_per_s
from tests.core.front_desk import ANN, BOB, Desk, conversation, desk, message
from tests.fakes.clock import FakeClock

HURRIED = InboxLimits(rules=RunRules(reply_deadline_s=30))


@pytest.fixture
async def house(folder: Path, clock: FakeClock) -> AsyncIterator[Desk]:
    async with desk(folder, clock) as it:
        yield it


async def facts_of(house: Desk, root: str = "root") -> dict[str, object]:
    """The figures of the newest answer, as a page lists them."""
    shown = await house.storage.conversations.messages(conversation(root))
    return dict(shown[-1].facts)


# --- answered ---


async def test_answer_comes_with_its_figures(house: Desk) -> None:
    """Model, speed, cost and the like are stored with the answer."""
    receipt = await house.say()

    await house.until_state(receipt, "answered")
    facts = await facts_of(house)
    assert facts["model"] == "fast"
    assert facts["provider"] == "groq"
    assert facts["cost_usd"] == 0.001
    assert facts["tokens_per_s"] == 20.0
    assert facts["first_text_s"] == 0.0
    assert facts["outcome"] == "ok"
    assert (facts["from_cache"], facts["attempts"], facts["fallback"]) == (False, 1, False)


async def test_fallback_is_among_the_figures(house: Desk) -> None:
    """What the reader was told about another model is kept with the answer."""
    house.chat.plays([Notice("fallback", {"model": "other"}), "Hi"])

    receipt = await house.say()

    await house.until_state(receipt, "answered")
    assert (await facts_of(house))["fallback"] is True


async def test_observers_hear_of_every_answer(house: Desk) -> None:
    """One record for each visible answer, with its run's id."""
    receipt = await house.say()

    await house.until_state(receipt, "answered")
    [record] = house.watcher.records
    assert (record.request_id, record.outcome, record.pages) == (receipt.run_id, "ok", 1)


# --- no model ---


def busy(wait_s: float | None = None) -> NoModelLeft:
    return NoModelLeft([LimitReached("busy", retry_after_s=wait_s), Overloaded("down")])


async def test_message_waits_for_a_model_and_is_answered_in_place(house: Desk) -> None:
    """When no model answers a sentence says so; later the answer stands in its very page."""
    house.chat.plays([busy()], [busy()], ["Terns are birds."])
    receipt = await house.say()
    await house.until_state(receipt, "waiting")
    deadline = house.chat.deadlines[0]
    assert house.pages(receipt) == [wording.waiting(deadline)]

    await house.passes(30, step_s=1)

    await house.until_state(receipt, "answered")
    assert house.pages(receipt) == ["Terns are birds."]
    assert house.adapter.surfaces[receipt.reply_id].posts == 1
    assert house.chat.deadlines == [deadline] * 3


async def test_what_waits_for_a_model_is_tried_when_one_answers_again(house: Desk) -> None:
    """Whoever notices that a model is back wakes all that wait, however long their own pauses; nothing else."""
    house.chat.plays([busy(600)], [busy(600)], ["one"], ["two"])
    receipts = [await house.say("1"), await house.say("2")]
    for receipt in receipts:
        await house.until_state(receipt, "waiting")

    await house.inbox.retry_waiting()
    await house.passes(0.1)

    for receipt in receipts:
        await house.until_state(receipt, "answered")


async def test_who_keeps_an_eye_on_the_models_hears_that_one_is_missed(house: Desk) -> None:
    """Each run that begins to wait says so."""
    house.chat.plays([busy(600)], ["fine"])

    await house.until_state(await house.say("1"), "waiting")
    await house.until_state(await house.say("2"), "answered")

    assert house.missed == 1


async def test_later_messages_pass_a_waiting_one(house: Desk) -> None:
    """A message that waits for a model does not hold up its conversation."""
    house.chat.plays([busy(600)], ["two"])
    first = await house.say("1")
    await house.until_state(first, "waiting")

    second = await house.say("2")

    await house.until_state(second, "answered")
    assert await house.state(first) == "waiting"


async def test_provider_that_names_a_moment_is_asked_then(house: Desk) -> None:
    """A wait that a provider asked for is kept, also where it is longer than ours."""
    house.chat.plays([NoModelLeft([LimitReached("minute", retry_after_s=40)])])
    receipt = await house.say()
    await house.until_state(receipt, "waiting")

    await house.passes(38, step_s=2)
    assert len(house.chat.asked) == 1
    await house.passes(4)

    await house.until_state(receipt, "answered")


async def test_waiting_ends_at_the_deadline(folder: Path, clock: FakeClock) -> None:
    """After the deadline the reader is told that it was given up."""
    async with desk(folder, clock, limits=HURRIED) as house:
        house.chat.plays(*[[busy()]] * 9)
        receipt = await house.say()

        await house.passes(32, step_s=2)

        await house.until_state(receipt, "failed")
        assert house.pages(receipt) == [wording.gave_up(1_800_000_000.0)]


async def test_waiting_message_can_be_stopped(house: Desk) -> None:
    """A stop reaches a message that nobody works on, and its page says so."""
    house.chat.plays([busy(600)])
    receipt = await house.say()
    await house.until_state(receipt, "waiting")

    await house.inbox.press(receipt.reply_id, "stop", ANN)
    await house.passes(1.5)

    await house.until_state(receipt, "stopped")
    assert house.pages(receipt) == [wording.STOPPED_BEFORE_TEXT]


async def test_press_hurries_a_waiting_message(house: Desk) -> None:
    """Regenerate on a waiting message tries again at once."""
    house.chat.plays([busy(600)], ["now"])
    receipt = await house.say()
    await house.until_state(receipt, "waiting")

    await house.inbox.press(receipt.reply_id, "regenerate", ANN)
    await house.passes(1.5)

    await house.until_state(receipt, "answered")
    assert house.pages(receipt) == ["now"]


@pytest.mark.parametrize("error", [NoModelLeft(missing="vision"), NoModelLeft([ContextTooLong("long")])])
async def test_what_no_wait_can_mend_is_told_at_once(house: Desk, error: NoModelLeft) -> None:
    """A capability nobody has, a text nobody can hold: a sentence, and the run is over."""
    house.chat.plays([error])

    receipt = await house.say()

    await house.until_state(receipt, "failed")
    assert house.pages(receipt) == [wording.sentence_for(error, receipt.run_id)]


async def test_broken_answer_keeps_its_beginning_while_it_waits(house: Desk) -> None:
    """What was said before every model broke off stays visible above the sentence."""
    house.chat.plays(["Terns are", NoModelLeft([Overloaded("down")], partial_text="Terns are")])

    receipt = await house.say()

    await house.until_state(receipt, "waiting")
    [page] = house.adapter.surfaces[receipt.reply_id].shown
    assert page.text == "Terns are"
    assert page.footer == wording.waiting(house.chat.deadlines[0])


# --- other ends ---


async def test_askers_mistake_is_told(house: Desk) -> None:
    """A request that cannot be used ends with what to change; nothing enters the history."""
    house.chat.plays([BadRequest("the message is empty")])

    receipt = await house.say()

    await house.until_state(receipt, "failed")
    assert house.pages(receipt) == [wording.sentence_for(BadRequest("the message is empty"))]
    assert (await facts_of(house))["sentence"] == house.pages(receipt)[0]
    assert not await house.storage.history.recent(conversation(), max_tokens=100, max_turns=10)


async def test_unforeseen_error_is_a_sentence_with_a_code(house: Desk) -> None:
    """A bug ends one answer with a code to report, not the house; the next message is answered."""
    house.chat.plays([ZeroDivisionError("secret")])

    receipt = await house.say()

    await house.until_state(receipt, "failed")
    assert house.pages(receipt) == [wording.sentence_for(ZeroDivisionError(), receipt.run_id)]
    await house.until_state(await house.say("next"), "answered")


async def test_answer_that_takes_too_long_is_ended(folder: Path, clock: FakeClock) -> None:
    """Past its deadline an answer is cut, with what it said, even when the stack does not notice."""
    async with desk(folder, clock, limits=HURRIED) as house:
        house.chat.plays(["Terns are", asyncio.Event()])
        receipt = await house.say()
        await house.until(lambda: house.pages(receipt) == ["Terns are"])

        await house.passes(38, step_s=2)

        await house.until_state(receipt, "failed")
        [page] = house.adapter.surfaces[receipt.reply_id].shown
        assert (page.text, page.footer) == ("Terns are", wording.DEADLINE_PASSED)


async def test_vanished_place_settles_the_run(house: Desk) -> None:
    """A channel that was deleted is no reason to try for ever."""
    house.adapter.refuses = SurfaceGone("deleted")

    receipt = await house.say()

    await house.until_state(receipt, "failed")


async def test_place_that_vanishes_in_mid_answer_settles_the_run(house: Desk) -> None:
    """The platform says "gone" at the last edit: the run is over, and no turn claims that it was read."""
    gate = asyncio.Event()
    house.chat.plays(["Terns are", gate, " birds."])
    receipt = await house.say()
    await house.until(lambda: house.pages(receipt) == ["Terns are"])

    house.adapter.surfaces[receipt.reply_id].gone = True
    gate.set()

    await house.until_state(receipt, "failed")
    assert not await house.storage.history.recent(conversation(), max_tokens=100, max_turns=10)


async def test_model_stops_writing_for_a_place_that_is_gone(house: Desk) -> None:
    """The channel deleted, the bot put out of it, the growing message taken away: the model's stream is closed, not
    read and paid to its end."""
    gate, never = asyncio.Event(), asyncio.Event()
    house.chat.plays(["Terns are", gate, " birds", never])
    receipt = await house.say()
    await house.until(lambda: house.pages(receipt) == ["Terns are"])

    house.adapter.surfaces[receipt.reply_id].gone = True
    gate.set()
    await house.passes(10)

    await house.until_state(receipt, "failed")
    assert house.chat.answering == 0


async def test_platform_that_is_down_is_tried_again(house: Desk) -> None:
    """A platform that cannot be reached yet keeps its messages waiting; then they are answered."""
    house.adapter.refuses = SurfaceBusy("no connection")
    receipt = await house.say()
    await house.until_state(receipt, "waiting")

    house.adapter.refuses = None
    await house.passes(8, step_s=1)

    await house.until_state(receipt, "answered")


async def test_adapter_that_is_switched_off_keeps_its_messages_waiting(house: Desk) -> None:
    """Without its adapter a message waits; it is neither lost nor asked."""
    house.adapters.clear()

    receipt = await house.say()

    await house.until_state(receipt, "waiting")
    assert not house.chat.asked


# --- private answers ---


async def test_private_answer_goes_out_by_its_capability(house: Desk) -> None:
    """The right to answer that came with the message is handed to the adapter, whole."""
    right = ReplyCapability("token", house.clock.now() + 900)

    receipt = await house.inbox.accept(message(visibility="private"), right)

    await house.until_state(receipt, "answered")
    assert house.adapter.capabilities == [right]


async def test_expired_private_answer_is_never_public(folder: Path, clock: FakeClock) -> None:
    """Too late for a private answer: declared undeliverable, nothing posted, no model asked."""
    async with desk(folder, clock, run=False) as house:
        right = ReplyCapability("token", clock.now() + 900)
        receipt = await house.inbox.accept(message(visibility="private"), right)
        clock.jump(901)

        await house.start()

        await house.until_state(receipt, "failed")
        assert house.adapter.surfaces == {}
        assert not house.chat.asked
        assert (await facts_of(house))["outcome"] == "undeliverable"
        await house.die()


async def test_expired_capability_of_a_public_answer_is_left_out(folder: Path, clock: FakeClock) -> None:
    """A public answer needs no capability: the adapter posts it by the bot's own right."""
    async with desk(folder, clock, run=False) as house:
        receipt = await house.inbox.accept(message(), ReplyCapability("token", clock.now() + 900))
        clock.jump(901)

        await house.start()

        await house.until_state(receipt, "answered")
        assert house.adapter.capabilities == [None]
        await house.die()


async def test_newer_capability_replaces_the_older(house: Desk) -> None:
    """A button press brings a fresh right to answer; the next answer uses that."""
    receipt = await house.inbox.accept(message(), ReplyCapability("old", house.clock.now() + 900))
    await house.until_state(receipt, "answered")
    fresh = ReplyCapability("new", house.clock.now() + 950)

    await house.inbox.press(receipt.reply_id, "regenerate", ANN, capability=fresh)

    await house.until(lambda: len(house.adapter.capabilities) == 2)
    await house.until_state(receipt, "answered")
    assert house.adapter.capabilities[1] == fresh


async def test_moderators_press_leaves_the_asker_in_charge(house: Desk) -> None:
    """Whoever regenerates, the answer stays the asker's."""
    receipt = await house.say(user=ANN)
    await house.until_state(receipt, "answered")

    await house.inbox.press(receipt.reply_id, "regenerate", BOB, moderator=True)

    await house.until(lambda: len(house.chat.asked) == 2)
    assert house.chat.asked[1].user == ANN


# --- a database that is busy ---


async def test_end_is_written_down_once_the_database_allows(house: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is locked for seconds costs an answer nothing but those seconds."""
    settle, failures = house.storage.inbox.settle, [StorageBusy("locked")] * 3

    async def settle_later(claim: Claim, settlement: Settlement) -> None:
        if failures:
            raise failures.pop()
        await settle(claim, settlement)

    monkeypatch.setattr(house.storage.inbox, "settle", settle_later)

    receipt = await house.say()
    await house.passes(3)

    await house.until_state(receipt, "answered")
    assert len(house.chat.asked) == 1


# --- small decisions ---


def test_pauses_double_up_to_a_cap() -> None:
    """5, 10, 20, 40, 60, 60 seconds; a provider that asks for more gets it."""
    settings = RunnerSettings()

    assert [backoff_s(tries, settings) for tries in range(6)] == [5, 10, 20, 40, 60, 60]
    assert backoff_s(0, settings, 42.0) == 42.0
    assert backoff_s(3, settings, 1.0) == 40.0


def _reply(*attempts: Attempt) -> Reply:
    return Reply("text", "m", "p", Usage(), attempts=attempts)


def test_speed_counts_from_the_first_token() -> None:
    """Waiting for the first token is no writing; without the figures there is no speed."""
    ok = Attempt("p", "m", 0.0, 2.0, 1.0, "ok", Usage(output_tokens=500))
    broken = Attempt("p", "m", 0.0, 2.0, 1.0, "StreamBroken", Usage(output_tokens=500))

    assert tokens_per_s(_reply(broken, ok)) == 500.0
    assert tokens_per_s(_reply(broken)) is None
    assert tokens_per_s(_reply()) is None
    assert tokens_per_s(_reply(Attempt("p", "m", 0.0, 1.0, 1.0, "ok", Usage(output_tokens=5)))) is None
