"""The inbox over a real database: what people see, and what the rows say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import wording
from core.domain.incoming import UserKey
from core.domain.runs import RunRules
from core.inbox.inbox import InboxLimits
from core.ports.platform import Receipt
from tests.core.front_desk import ANN, BOB, Desk, conversation, desk, message
from tests.fakes.clock import FakeClock, settle


@pytest.fixture
async def house(folder: Path, clock: FakeClock) -> AsyncIterator[Desk]:
    async with desk(folder, clock) as it:
        yield it


def small(folder: Path, clock: FakeClock, **limits: int) -> AbstractAsyncContextManager[Desk]:
    """A desk with tighter limits."""
    return desk(folder, clock, limits=InboxLimits(**limits))


# --- at the door ---


async def test_accepted_message_is_answered(house: Desk) -> None:
    """What is accepted is answered on the platform, and its run says so."""
    receipt = await house.say("What is a tern?")

    await house.until_state(receipt, "answered")
    assert house.pages(receipt) == ["Answer to What is a tern?"]


async def test_redelivery_is_no_second_message(house: Desk) -> None:
    """The same message, delivered again, keeps its run and its reply and is not answered twice."""
    first = await house.say(message_id="m")
    again = await house.say(message_id="m")

    await house.until_state(first, "answered")
    assert (again.state, again.run_id, again.reply_id) == ("duplicate", first.run_id, first.reply_id)
    assert len(house.chat.asked) == 1


async def test_accepting_works_without_a_running_inbox(folder: Path, clock: FakeClock) -> None:
    """A message accepted before the inbox runs is kept and answered when it does."""
    async with desk(folder, clock, run=False) as house:
        receipt = await house.say()
        assert await house.state(receipt) == "accepted"

        await house.start()

        await house.until_state(receipt, "answered")
        await house.die()


async def test_flood_of_one_person_is_refused_with_a_sentence(folder: Path, clock: FakeClock) -> None:
    """Above the limit per minute one person is told when to come back; others are not held up."""
    async with small(folder, clock, messages_per_minute=2) as house:
        await house.say(root="1")
        await house.say(root="2")

        refused = await house.say(root="3")
        other = await house.say(root="4", user=BOB)

        assert refused.state == "refused"
        assert "60 seconds" in refused.sentence
        assert other.state == "accepted"


async def test_refused_person_may_write_again_after_the_minute(folder: Path, clock: FakeClock) -> None:
    """The flood limit looks back one minute and no further."""
    async with small(folder, clock, messages_per_minute=1) as house:
        await house.until_state(await house.say(root="1"), "answered")
        await house.passes(60.5, step_s=20)

        assert (await house.say(root="2")).state == "accepted"


async def test_redelivery_is_told_apart_from_a_flood(folder: Path, clock: FakeClock) -> None:
    """A platform that delivers an accepted message again hears that it is known, also above the limit."""
    async with small(folder, clock, messages_per_minute=1) as house:
        await house.say(message_id="m")

        assert (await house.say(message_id="m")).state == "duplicate"


async def test_full_queue_refuses_and_loses_nothing(folder: Path, clock: FakeClock) -> None:
    """Past the bound a message is refused with a sentence; everything accepted before is still answered."""
    async with small(folder, clock, concurrency=1, queue=2) as house:
        gate = asyncio.Event()
        house.chat.plays([gate, "one"])
        accepted = [await house.say(root=str(number)) for number in range(3)]

        refused = await house.say(root="4")

        assert refused.state == "refused"
        assert "(2)" in refused.sentence
        gate.set()
        for receipt in accepted:
            await house.until_state(receipt, "answered")


async def test_platform_that_takes_nothing_keeps_nobody_else_waiting(folder: Path, clock: FakeClock) -> None:
    """An answer that is complete and not shown yet takes no room from those that are still to be written; there may be
    no more of such than may wait in the queue."""
    async with small(folder, clock, concurrency=1, queue=2) as house:
        house.adapter.platform.latency_s = 5.0
        receipts = []
        for number in range(2):
            receipts.append(await house.say(root=str(number)))
            await house.until(lambda: house.inbox._complete == len(receipts))

        assert (await house.say(root="third")).state == "refused"
        assert len(house.chat.asked) == 2
        for receipt in receipts:
            assert house.pages(receipt) == []
        await house.passes_until(lambda: house.inbox.running == 0)
        for receipt in receipts:
            assert await house.state(receipt) == "answered"


async def test_full_queue_counts_who_is_just_coming(folder: Path, clock: FakeClock) -> None:
    """Messages that come at the same moment find the bound where it is: storing takes a while."""
    async with small(folder, clock, concurrency=1, queue=2) as house:
        gate = asyncio.Event()
        house.chat.plays([gate, "one"])
        await house.say(root="first")

        receipts = await asyncio.gather(*(house.say(root=str(number)) for number in range(6)))

        assert sorted(receipt.state for receipt in receipts) == ["accepted"] * 2 + ["refused"] * 4
        gate.set()
        await house.passes_until(lambda: house.inbox.running + house.inbox.queued == 0)


async def test_place_counts_who_stands_before(folder: Path, clock: FakeClock) -> None:
    """The receipt says where a message stands: 0 when it starts at once, then 1, 2, ..."""
    async with small(folder, clock, concurrency=1) as house:
        gate = asyncio.Event()
        house.chat.plays([gate])

        receipts = [await house.say(root=str(number)) for number in range(3)]

        assert [receipt.place for receipt in receipts] == [0, 1, 2]
        gate.set()


async def test_lone_surrogates_are_no_obstacle(house: Desk) -> None:
    """Text that is no valid Unicode is stored and answered with the broken characters replaced."""
    receipt = await house.say("a\ud800b", speaker="\udfff")

    await house.until_state(receipt, "answered")
    assert house.chat.asked[0].text == "a?b"


# --- order ---


async def test_conversation_is_answered_in_order(house: Desk) -> None:
    """A second message of a conversation starts only when the first is answered."""
    gate = asyncio.Event()
    house.chat.plays([gate, "one"], ["two"])
    first = await house.say("1")
    second = await house.say("2")
    await house.breathe()
    assert [asked.text for asked in house.chat.asked] == ["1"]

    gate.set()

    await house.until_state(second, "answered")
    assert await house.state(first) == "answered"
    assert [asked.text for asked in house.chat.asked] == ["1", "2"]


async def test_conversations_are_answered_side_by_side(house: Desk) -> None:
    """Two conversations do not wait for each other."""
    gate = asyncio.Event()
    house.chat.plays([gate], ["two"])
    await house.say("1", root="a")

    second = await house.say("2", root="b")

    await house.until_state(second, "answered")
    gate.set()


async def test_sign_of_a_queue_stands_below_the_answer_ahead(house: Desk) -> None:
    """In one conversation a waiting message shows its place only once the answer before it stands on the platform:
    else that answer would stand below it for good."""
    gate, more, second_gate = asyncio.Event(), asyncio.Event(), asyncio.Event()
    house.chat.plays([gate, "one", more, " and more"], [second_gate, "two"])
    first, second, third = [await house.say() for _ in range(3)]

    await house.passes(5)
    assert house.pages(second) == house.pages(third) == []

    gate.set()
    await house.passes_until(lambda: house.signs(second, third) == [wording.queued(1), wording.queued(2)])

    more.set()
    second_gate.set()
    await house.until_state(third, "answered")
    assert [house.pages(run) for run in (first, second, third)] == [
        ["one and more"],
        ["two"],
        ["Answer to What is a tern?"],
    ]


async def test_no_more_run_than_allowed(folder: Path, clock: FakeClock) -> None:
    """The concurrency cap holds however many messages come at once."""
    async with small(folder, clock, concurrency=2) as house:
        gate = asyncio.Event()
        house.chat.plays(*[[gate, "done"]] * 8)

        receipts = await asyncio.gather(*(house.say(root=str(number)) for number in range(8)))

        await house.until(lambda: house.chat.answering == 2)
        await house.breathe()
        gate.set()
        for receipt in receipts:
            await house.until_state(receipt, "answered")
        assert house.chat.most_at_once == 2


async def test_waiting_message_shows_its_place(folder: Path, clock: FakeClock) -> None:
    """After a second in the queue a message says where it stands, and the same page becomes its answer."""
    async with small(folder, clock, concurrency=1) as house:
        gate, second_gate = asyncio.Event(), asyncio.Event()
        house.chat.plays([gate, "one"], [second_gate, "two"], ["three"])
        await house.say(root="1")
        second, third = await house.say(root="2"), await house.say(root="3")

        await house.passes_until(lambda: house.signs(third) == [wording.queued(2)])
        gate.set()
        await house.until_state(second, "running")
        await house.passes_until(lambda: house.signs(third) == [wording.queued(1)])
        second_gate.set()
        await house.until_state(third, "answered")
        assert house.pages(third) == ["three"]
        assert house.adapter.surfaces[third.reply_id].posts == 1


# --- stop ---


async def running(house: Desk, *script: str, user: UserKey = ANN) -> Receipt:
    """A message whose answer has said *script* and goes on."""
    house.chat.plays([*script, asyncio.Event()])
    receipt = await house.say(user=user)
    await house.until(lambda: house.pages(receipt) == ["".join(script)] if script else house.chat.answering == 1)
    return receipt


async def test_stopped_answer_keeps_what_was_said(house: Desk) -> None:
    """A stop by the asker ends the answer where it is and says so; what was said stays in the history."""
    receipt = await running(house, "Terns are")

    said = await house.inbox.press(receipt.reply_id, "stop", ANN)

    await house.until_state(receipt, "stopped")
    assert said == ""
    [page] = house.adapter.surfaces[receipt.reply_id].shown
    assert (page.text, page.footer) == ("Terns are", wording.STOPPED)
    turns = await house.storage.history.recent(conversation(), max_tokens=100, max_turns=10)
    assert [turn.turn.text for turn in turns] == ["What is a tern?", "Terns are"]


async def test_stop_before_the_first_word_says_so(house: Desk) -> None:
    """Nothing was written yet: one sentence, nothing in the history."""
    receipt = await running(house)

    await house.inbox.press(receipt.reply_id, "stop", ANN)

    await house.until_state(receipt, "stopped")
    assert house.pages(receipt) == [wording.STOPPED_BEFORE_TEXT]
    assert not await house.storage.history.recent(conversation(), max_tokens=100, max_turns=10)


async def test_strangers_cannot_stop_an_answer(house: Desk) -> None:
    """Only the asker and moderators stop, regenerate or shorten; others get a sentence."""
    receipt = await running(house, "Terns")

    refused = await house.inbox.press(receipt.reply_id, "stop", BOB)
    allowed = await house.inbox.press(receipt.reply_id, "stop", BOB, moderator=True)

    assert refused == wording.NOT_YOURS_TO_STOP
    assert allowed == ""
    await house.until_state(receipt, "stopped")


async def test_stop_in_a_conversation_ends_ones_own_answers(house: Desk) -> None:
    """`stop` finds what runs for the person who says it, and says when there was nothing."""
    receipt = await running(house, "Terns")

    assert not await house.inbox.stop(conversation(), BOB)
    assert await house.inbox.stop(conversation(), ANN)

    await house.until_state(receipt, "stopped")
    assert not await house.inbox.stop(conversation(), ANN)


async def test_stop_told_to_another_process_is_heard(house: Desk, folder: Path, clock: FakeClock) -> None:
    """A button press that reaches another replica stops the answer within a look at the rows."""
    receipt = await running(house, "Terns")

    async with desk(folder, clock, owner="two", run=False) as other:
        await other.inbox.press(receipt.reply_id, "stop", ANN)
        await house.passes(1.5)

        await house.until_state(receipt, "stopped")
    assert house.pages(receipt) == ["Terns"]


async def test_queued_message_that_nobody_saw_is_stopped_without_a_word(folder: Path, clock: FakeClock) -> None:
    """A stop before anything was shown settles the run at once."""
    async with small(folder, clock, concurrency=1) as house:
        gate = asyncio.Event()
        house.chat.plays([gate])
        await house.say(root="1")
        queued = await house.say(root="2")

        await house.inbox.press(queued.reply_id, "stop", ANN)

        assert await house.state(queued) == "stopped"
        assert house.pages(queued) == []
        gate.set()


async def test_queued_message_that_shows_its_place_says_that_it_was_stopped(folder: Path, clock: FakeClock) -> None:
    """The page that said "queued" says "stopped" then."""
    async with small(folder, clock, concurrency=1) as house:
        gate = asyncio.Event()
        house.chat.plays([gate])
        await house.say(root="1")
        queued = await house.say(root="2")
        await house.passes_until(lambda: house.signs(queued) == [wording.queued(1)])

        await house.inbox.press(queued.reply_id, "stop", ANN)

        await house.until_state(queued, "stopped")
        assert house.pages(queued) == [wording.STOPPED_BEFORE_TEXT]
        gate.set()


# --- edited, deleted, once more ---


async def test_edited_question_is_answered_in_the_same_reply(house: Desk) -> None:
    """An edit ends the running answer and puts the new one in its page; the history has only that."""
    receipt = await running(house, "Terns are")
    house.chat.plays(["Gulls are bigger."])

    revised = await house.inbox.revise(message("And gulls?", message_id=house.chat.asked[0].message_id))

    await house.until_state(receipt, "answered")
    assert revised.reply_id == receipt.reply_id
    assert house.pages(receipt) == ["Gulls are bigger."]
    turns = await house.storage.history.recent(conversation(), max_tokens=100, max_turns=10)
    assert [turn.turn.text for turn in turns] == ["And gulls?", "Gulls are bigger."]


async def test_edit_that_changes_no_word_is_nothing(house: Desk) -> None:
    """An unfurled link raises an edit too; it is a duplicate."""
    receipt = await house.say("Same", message_id="m")
    await house.until_state(receipt, "answered")

    revised = await house.inbox.revise(message("Same", message_id="m"))

    assert revised.state == "duplicate"
    assert len(house.chat.asked) == 1


async def test_edit_of_an_unknown_message_is_a_message(house: Desk) -> None:
    """A question that became one by its edit (a mention was added) is accepted."""
    revised = await house.inbox.revise(message("New"))

    assert revised.state == "accepted"
    await house.until_state(revised, "answered")


async def test_deleted_question_takes_its_answer_along(house: Desk) -> None:
    """After a deletion neither the answer's page nor a row nor a turn is left, and back-fill knows it as seen."""
    receipt = await house.say(message_id="m")
    await house.until_state(receipt, "answered")

    await house.inbox.withdraw("discord", "guild", "channel", "m")

    await house.until_state(receipt, "gone")
    assert house.pages(receipt) == []
    assert not await house.storage.history.recent(conversation(), max_tokens=100, max_turns=10)
    assert await house.inbox.seen("discord", "guild", "channel", "m")
    assert (await house.say(message_id="m")).state == "duplicate"


async def test_deleted_question_stops_its_answer(house: Desk) -> None:
    """A deletion in mid-answer ends it and removes its page."""
    receipt = await running(house, "Terns are")

    await house.inbox.withdraw("discord", "guild", "channel", house.chat.asked[0].message_id)

    await house.until_state(receipt, "gone")
    assert house.pages(receipt) == []


async def test_deleting_what_nobody_knows_is_nothing(house: Desk) -> None:
    """A deletion of somebody else's message passes unnoticed."""
    await house.inbox.withdraw("discord", "guild", "channel", "unknown")

    assert not await house.inbox.seen("discord", "guild", "channel", "unknown")


async def test_deletion_may_come_before_its_message(house: Desk) -> None:
    """Where a platform delivers a lost message again after its deletion, it is not answered."""
    await house.inbox.withdraw("discord", "guild", "channel", "m", may_come=True)

    assert (await house.say(message_id="m")).state == "duplicate"
    assert house.chat.asked == []


@pytest.mark.parametrize("action", ["regenerate", "shorter"])
async def test_another_answer_replaces_the_first(house: Desk, action: str) -> None:
    """Regenerate and Shorter answer the same message again, in the same page; the history keeps the newest."""
    house.chat.plays(["first"], ["second"])
    receipt = await house.say("Q")
    await house.until_state(receipt, "answered")

    said = await house.inbox.press(receipt.reply_id, action, ANN)  # type: ignore[arg-type]

    await house.until(lambda: house.pages(receipt) == ["second"])
    await house.until_state(receipt, "answered")
    assert said == ""
    assert [asked.action for asked in house.chat.asked] == ["ask", action]
    turns = await house.storage.history.recent(conversation(), max_tokens=100, max_turns=10)
    assert [turn.turn.text for turn in turns] == ["Q", "second"]


async def test_regenerate_waits_for_the_answer_under_way(house: Desk) -> None:
    """While an answer is being written there is nothing to regenerate."""
    receipt = await running(house, "Terns")

    assert await house.inbox.press(receipt.reply_id, "regenerate", ANN) == wording.STILL_WRITING


async def test_thumbs_are_kept(house: Desk) -> None:
    """Anybody may say what they think of an answer; it is stored under their name."""
    receipt = await house.say()
    await house.until_state(receipt, "answered")

    said = await house.inbox.press(receipt.reply_id, "thumbs_up", BOB)

    assert said == wording.THANKS
    [kept] = (await house.storage.archive.export(user=BOB))["feedback"]
    assert (kept["reply_id"], kept["verdict"]) == (receipt.reply_id, "thumbs_up")


@pytest.mark.parametrize("alone", [{"direct": True}, {"visibility": "private"}])
async def test_thumbs_under_what_only_its_asker_sees_are_the_askers(house: Desk, alone: dict[str, object]) -> None:
    """Whoever presses under somebody else's private reply has guessed its id: they learn nothing and leave nothing."""
    receipt = await house.say(**alone)
    await house.until_state(receipt, "answered")

    said = await house.inbox.press(receipt.reply_id, "thumbs_down", BOB)

    assert said == await house.inbox.press("no such reply", "thumbs_down", BOB) == wording.FORGOTTEN_REPLY
    assert (await house.storage.archive.export(user=BOB))["feedback"] == []
    assert await house.inbox.press(receipt.reply_id, "thumbs_down", ANN) == wording.THANKS


@pytest.mark.parametrize("action", ["thumbs_up", "thumbs_down", "stop", "regenerate", "confirm", "choose"])
@pytest.mark.parametrize("platform", ["web", "api", "terminal", "discord"])
async def test_over_http_a_reply_of_somebody_else_is_not_there(house: Desk, action: Any, platform: str) -> None:
    """Whoever guesses an id, from the page or elsewhere, changes nothing and learns nothing."""
    receipt = await house.say()
    await house.until_state(receipt, "answered")
    stranger = UserKey(platform, "", "key-2") if platform != "discord" else UserKey("slack", ":T1", "U9")

    said = await house.inbox.press(receipt.reply_id, action, stranger)

    assert said == wording.FORGOTTEN_REPLY
    assert (await house.storage.archive.export(user=stranger))["feedback"] == []


async def test_button_of_a_forgotten_reply_says_so(house: Desk) -> None:
    """A press on a reply that is no longer known gets a sentence."""
    assert await house.inbox.press("nosuchreply", "regenerate", ANN) == wording.FORGOTTEN_REPLY


# --- crashes and other processes ---


async def test_dead_process_leaves_its_run_to_the_next(folder: Path, clock: FakeClock) -> None:
    """When the lease of a dead process is over, another one finishes the answer in the very same page."""
    async with desk(folder, clock, owner="one") as first:
        receipt = await running(first, "Terns are")
        await first.die()

        async with desk(folder, clock, owner="two", adapter=first.adapter) as second:
            second.chat.plays(["Terns are birds."])
            await second.passes(4)
            assert not second.chat.asked, "the lease still holds"
            await second.passes(8)

            await second.until_state(receipt, "answered")
            assert second.pages(receipt) == ["Terns are birds."]
            assert second.adapter.surfaces[receipt.reply_id].posts == 1


async def test_living_process_keeps_its_runs(house: Desk, folder: Path, clock: FakeClock) -> None:
    """Leases are renewed while an answer takes long: another process does not take it."""
    receipt = await running(house, "Terns")

    async with desk(folder, clock, owner="two") as other:
        for _ in range(30):
            await clock.advance(1.0)
            await house.breathe()
            await other.breathe()

        assert not other.chat.asked
        assert await house.state(receipt) == "running"


async def test_run_that_was_taken_over_is_let_go(house: Desk, folder: Path, clock: FakeClock) -> None:
    """Whoever slept through its lease writes nothing more once another process has the run."""
    receipt = await running(house, "Terns are")
    async with desk(folder, clock, owner="two", run=False) as other:
        clock.jump(60)  # the first process was suspended: its lease is over before it can renew

        claims = await other.storage.inbox.claim([receipt.run_id])
        await house.passes(4)

        await house.until_quiet()
        assert [claim.fence for claim in claims] == [2]
        assert await house.state(receipt) == "running"
        assert house.pages(receipt) == ["Terns are"]


@pytest.mark.parametrize("starts", [3, 4, 5])
async def test_message_that_kills_the_process_is_quarantined(folder: Path, clock: FakeClock, starts: int) -> None:
    """After three starts without an end a message gets one sentence and is not tried again; a sentence that was killed
    is said anew."""
    async with desk(folder, clock, run=False) as house:
        receipt = await house.say()
        for _ in range(starts):
            await house.storage.inbox.claim([receipt.run_id])
            clock.jump(60)
        house.chat.plays(["must not be asked"])

        await house.start()

        await house.until_state(receipt, "quarantined")
        assert house.pages(receipt) == [wording.QUARANTINED]
        assert not house.chat.asked
        assert await house.inbox.press(receipt.reply_id, "regenerate", ANN) == wording.QUARANTINED
        await house.die()


async def test_message_whose_farewell_kills_is_buried(folder: Path, clock: FakeClock) -> None:
    """When the sentence took the process down again and again, the message is quarantined without a word."""
    async with desk(folder, clock, run=False) as house:
        receipt = await house.say()
        for _ in range(6):
            await house.storage.inbox.claim([receipt.run_id])
            clock.jump(60)

        await house.start()

        await house.until_state(receipt, "quarantined")
        assert house.pages(receipt) == []
        await house.die()


async def test_answer_to_a_deleted_question_goes_in_spite_of_crashes(house: Desk, clock: FakeClock) -> None:
    """Processes that are killed while they take it away do not make it stand for good."""
    receipt = await house.say(message_id="m")
    await house.until_state(receipt, "answered")
    await house.die()
    await house.inbox.withdraw("discord", "guild", "channel", "m")
    (withdrawal,) = await house.storage.inbox.pending(9)
    for _ in range(5):
        await house.storage.inbox.claim([withdrawal.run_id])
        clock.jump(60)

    await house.start()

    await house.until_state(receipt, "gone")
    assert house.pages(receipt) == []


async def test_pauses_do_not_count_as_crashes(folder: Path, clock: FakeClock) -> None:
    """A run given back in an orderly way is as innocent as before."""
    async with desk(folder, clock, run=False) as house:
        receipt = await house.say()
        for _ in range(5):
            [claim] = await house.storage.inbox.claim([receipt.run_id])
            assert claim.starts == 1
            await house.storage.inbox.release(claim)


async def test_old_backlog_gets_one_apology_per_conversation(folder: Path, clock: FakeClock) -> None:
    """After a long outage a conversation hears one apology, not late answers to everything."""
    async with desk(folder, clock, run=False) as house:
        receipts = [await house.say(str(number), root="a") for number in range(3)]
        elsewhere = await house.say(root="b")
        clock.jump(3_600)
        fresh = await house.say("now", root="a")

        await house.start()

        await house.until_state(fresh, "answered")
        await house.until_state(elsewhere, "failed")
        assert house.pages(receipts[0]) == [wording.backlog(3)]
        assert [house.pages(receipt) for receipt in receipts[1:]] == [[], []]
        assert house.pages(elsewhere) == [wording.backlog(1)]
        assert [await house.state(receipt) for receipt in receipts] == ["failed"] * 3
        await house.die()


# --- the end of a process ---


async def test_drain_lets_answers_finish(house: Desk) -> None:
    """Within the grace period an answer under way is completed, and `run` ends."""
    gate = asyncio.Event()
    house.chat.plays(["Terns", gate, " are birds."])
    receipt = await house.say()
    await house.until(lambda: house.pages(receipt) == ["Terns"])

    draining = asyncio.create_task(house.inbox.drain(30))
    await settle()
    gate.set()

    await house.until(draining.done)
    assert house.pages(receipt) == ["Terns are birds."]
    assert await house.state(receipt) == "answered"
    assert house.task is not None
    assert house.task.done()


async def test_drain_gives_unfinished_runs_back(folder: Path, clock: FakeClock) -> None:
    """After the grace period the rest is accepted again, free at once for the next process, which finishes it."""
    async with desk(folder, clock, owner="one") as first:
        receipt = await running(first, "Terns are")
        draining = asyncio.create_task(first.inbox.drain(2))
        await first.passes(3)
        await first.until(draining.done)
        assert await first.state(receipt) == "accepted"
        [page] = first.adapter.surfaces[receipt.reply_id].shown
        assert (page.text, page.footer) == ("Terns are", wording.SHUTTING_DOWN)

        async with desk(folder, clock, owner="two", adapter=first.adapter) as second:
            second.chat.plays(["Terns are birds."])

            await second.until_state(receipt, "answered")
            assert second.pages(receipt) == ["Terns are birds."]


async def test_message_during_a_drain_is_kept_for_the_next_process(house: Desk) -> None:
    """Nothing is started any more, and nothing is refused."""
    await running(house, "Terns")
    draining = asyncio.create_task(house.inbox.drain(2))
    await settle()

    late = await house.say(root="late")
    await house.passes(3)
    await house.until(draining.done)

    assert late.state == "accepted"
    assert await house.state(late) == "accepted"
    assert len(house.chat.asked) == 1


async def test_drain_without_a_run_returns(folder: Path, clock: FakeClock) -> None:
    """An inbox that never ran has nothing to wait for."""
    async with desk(folder, clock, run=False) as house:
        await house.inbox.drain(10)


async def test_queued_sign_is_left_alone_by_a_drain(folder: Path, clock: FakeClock) -> None:
    """A message that showed its place is given back at once; the next process goes on in its page."""
    async with small(folder, clock, concurrency=1) as first:
        gate = asyncio.Event()
        first.chat.plays([gate, "one"])
        await first.say(root="1")
        queued = await first.say(root="2")
        await first.passes_until(lambda: first.signs(queued) == [wording.queued(1)])
        draining = asyncio.create_task(first.inbox.drain(10))
        await settle()
        gate.set()
        await first.until(draining.done)
        assert await first.state(queued) == "accepted"

        async with desk(folder, clock, owner="two", adapter=first.adapter) as second:
            await second.until_state(queued, "answered")

            assert second.adapter.surfaces[queued.reply_id].posts == 1


# --- where things are ---


async def test_pages_and_questions_lead_to_their_conversation(house: Desk) -> None:
    """A reply to any page of an answer, or to the question, belongs to the same conversation."""
    receipt = await house.say(message_id="m")
    await house.until_state(receipt, "answered")
    [ref] = house.adapter.surfaces[receipt.reply_id].messages

    found = [await house.inbox.conversation_of("discord", "channel", where) for where in ("m", ref, "other")]

    assert found == [conversation(), conversation(), None]
    assert list(await house.inbox.pages_of("discord", "channel", "m")) == [ref]
    assert not await house.inbox.pages_of("discord", "channel", "other")


async def test_whoever_asked_first_is_known(house: Desk) -> None:
    """`takes_part` names the person who began a conversation, None where the bot has no part."""
    await house.say(user=BOB)
    await house.say(user=ANN)

    assert await house.inbox.takes_part(conversation()) == BOB
    assert await house.inbox.takes_part(conversation("other")) is None


async def test_active_conversations_come_with_their_newest_message(house: Desk) -> None:
    """Back-fill learns where to look and from which message on."""
    await house.say(root="a", message_id="1")
    await house.say(root="a", message_id="2")
    since = house.clock.now() + 5
    await house.passes(10)
    await house.say(root="b", message_id="3")

    assert list(await house.inbox.active_conversations("discord", 0)) == [
        (conversation("a"), "2"),
        (conversation("b"), "3"),
    ]
    assert list(await house.inbox.active_conversations("discord", since)) == [(conversation("b"), "3")]
    assert not await house.inbox.active_conversations("slack", 0)


async def test_lease_rules_are_the_stores_too(folder: Path, clock: FakeClock) -> None:
    """A longer lease is waited for: the rules given to the inbox's limits are those that storage hands out by."""
    limits = replace(InboxLimits(), rules=RunRules(lease_s=60))
    async with desk(folder, clock, owner="one", limits=limits) as first:
        receipt = await running(first, "Terns")
        await first.die()

        async with desk(folder, clock, owner="two", limits=limits, adapter=first.adapter) as second:
            await second.passes(30, step_s=5)
            assert not second.chat.asked
            await second.passes(40, step_s=5)
            await second.until_state(receipt, "answered")
