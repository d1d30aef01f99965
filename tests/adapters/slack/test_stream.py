"""Answers in direct messages: Slack's native streaming, and editing from the first sign of trouble on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.slack.surface import update_rate
from core.ports.platform import Shown
from tests.adapters.slack.conftest import LONG_ANSWER, House, in_pieces, open_house, squeezed
from tests.fakes.slack import FakeSlack, Fault, Person
from tests.fakes.surface import FakeLedger

HELLO = in_pieces("Hello **world**, nice to meet you. " * 10)
WHOLE = "".join(HELLO).strip()
CODE = "Look:\n\n```python\nfor n in range(10):\n    print(n)\n```\n\nand **that** is all, *really*."


@pytest.fixture
async def house(slack: FakeSlack) -> AsyncIterator[House]:
    """One transport is enough here: what is tested goes over the Web API alone."""
    async with open_house(slack) as open_one:
        yield open_one


async def test_an_answer_in_a_direct_message_is_streamed(house: House) -> None:
    """The answer arrives by native streaming and is stopped with its buttons, without one edit."""
    incoming = await house.asked(channel="D1")

    await house.answer(incoming, HELLO, every_s=0.1)

    (answer,) = house.slack.answers("D1")
    assert answer.was_streamed
    assert answer.stream is None
    assert answer.edits == 0
    assert answer.markdown.strip() == WHOLE
    assert set(answer.buttons) == {"tern_regenerate", "tern_shorter", "tern_feedback"}


async def test_native_streaming_can_be_off(slack: FakeSlack) -> None:
    """With `native_streaming = false` direct messages are edited like channels."""
    async with open_house(slack, native_streaming=False) as house:
        incoming = await house.asked(channel="D1")

        await house.answer(incoming, HELLO)

    (answer,) = slack.answers("D1")
    assert not answer.was_streamed
    assert answer.shown == WHOLE


async def test_half_open_code_is_not_closed_too_early(house: House) -> None:
    """A growing page closes its fences on the screen; a stream could not take that back, so it leaves it out."""
    incoming = await house.asked(channel="D1")

    await house.answer(incoming, list(CODE), every_s=0.2)

    (answer,) = house.slack.answers("D1")
    assert answer.markdown == CODE
    assert answer.edits == 0


@pytest.mark.parametrize("cap", ["chars", "bytes"])
async def test_a_long_answer_rolls_over_before_the_cap(slack: FakeSlack, cap: str) -> None:
    """Whichever way Slack counts a stream's size, the answer goes on in a next message before it is full."""
    slack.stream_cap = cap  # type: ignore[assignment]
    text = LONG_ANSWER * 2 + "Ünïcödé ✨ текст " * 200
    async with open_house(slack) as house:
        incoming = await house.asked(channel="D1")

        await house.answer(incoming, in_pieces(text, 300), every_s=0.2)

    pages = slack.answers("D1")
    assert len(pages) > 2
    assert squeezed("".join(page.shown for page in pages)) == squeezed(text)
    assert all(page.stream is None for page in pages)


@pytest.mark.parametrize("lifetime", ["total", "idle"])
async def test_a_stream_that_expires_is_finished_by_editing(slack: FakeSlack, lifetime: str) -> None:
    """After Slack's five minutes, counted either way, the same message holds the whole answer."""
    slack.stream_lifetime = lifetime  # type: ignore[assignment]
    async with open_house(slack) as house:
        incoming = await house.asked(channel="D1")

        await house.answer(incoming, [*HELLO[:10], *HELLO[10:]], every_s=31.0 if lifetime == "total" else 301.0)

    (answer,) = slack.answers("D1")
    assert answer.was_streamed
    assert answer.edits > 0
    assert answer.shown == WHOLE


@pytest.mark.parametrize(
    "error",
    ["missing_recipient_user_id", "missing_recipient_team_id", "user_not_found", "team_not_found", "unknown_method",
     "channel_type_not_supported", "not_authorized", "ratelimited", "invalid_chunks"],
)  # fmt: skip
async def test_a_stream_that_cannot_start_is_edited(house: House, error: str) -> None:
    """Whatever keeps a stream from starting, one answer stands there, edited."""
    incoming = await house.asked(channel="D1")
    house.slack.fault("chat.startStream", Fault(error=error, status=429 if error == "ratelimited" else 200))

    await house.answer(incoming, HELLO, every_s=0.2)

    (answer,) = house.slack.answers("D1")
    assert not answer.was_streamed
    assert answer.shown == WHOLE


async def test_where_streaming_does_not_exist_it_is_asked_once(slack: FakeSlack) -> None:
    """GovSlack has no streaming methods; after the first refusal the adapter remembers."""
    slack.absent_methods = {"chat.startStream"}
    async with open_house(slack) as house:
        for number in range(3):
            await house.answer(await house.asked(f"question {number}", channel="D1"), HELLO)

    assert slack.count("chat.startStream") == 1
    assert [answer.shown for answer in slack.answers("D1")] == [WHOLE] * 3


@pytest.mark.parametrize("method", ["chat.startStream", "chat.appendStream"])
async def test_what_fell_back_to_editing_keeps_to_the_tier_of_edits(slack: FakeSlack, method: str) -> None:
    """Streams that break all at once are edited at chat.update's fifty a minute, not at the stream's hundred."""
    async with open_house(slack) as house:
        asked = [await house.asked(f"question {number}", channel="D1") for number in range(8)]
        error = "message_not_in_streaming_state" if method == "chat.appendStream" else "user_not_found"
        slack.fault(method, *[Fault(error=error)] * 8)
        await asyncio.gather(*(house.answer(one, in_pieces("word " * 400, 5), every_s=0.25) for one in asked))

    assert {answer.shown for answer in slack.answers("D1")} == {("word " * 400).strip()}
    assert [bucket for bucket, _ in slack.rates.refused if "update" in bucket or "Stream" in bucket] == []


async def test_a_stream_that_breaks_waits_for_its_edit(slack: FakeSlack) -> None:
    """Where the minute's edits are used up, what has to be edited at once waits all the same: Slack refuses nothing."""
    async with open_house(slack) as house:
        asked = await house.asked(channel="D1")
        for _ in range(50):
            slack.rates.take("chat.update", "", slack.now())
            with house.pacer.count(update_rate(":T1")):
                pass
        slack.fault("chat.appendStream", Fault(error="message_not_in_streaming_state"))
        await house.answer(asked, HELLO, every_s=0.2)

    assert [answer.shown for answer in slack.answers("D1")] == [WHOLE]
    assert slack.rates.refused == []


async def test_a_stop_that_was_refused_delays_the_next(house: House) -> None:
    """The stop of a page that is followed by another may fail, but what Slack says to it holds for the next stop."""
    incoming = await house.asked(channel="D1")
    surface = await house.adapter.surface(incoming, "r1", None)
    await surface.post(0, Shown("one"), "r1-0")
    house.slack.fault("chat.stopStream", Fault(status=429, retry_after_s=30))
    await surface.post(1, Shown("two"), "r1-1")
    began = house.clock.monotonic()
    assert surface.limits.finish

    async with house.pacer.take(surface.limits.finish[0]):
        waited_s = house.clock.monotonic() - began

    await surface.close()
    assert waited_s == pytest.approx(30.0, abs=0.5)


async def test_a_slack_connect_recipient_gets_an_edited_answer(slack: FakeSlack) -> None:
    """Slack refuses to stream to somebody from another organisation."""
    slack.person(Person("U8", "Mia", team="T8"))
    async with open_house(slack, allow_external=True) as house:
        incoming = await house.asked(user="U8", channel="D1")

        await house.answer(incoming, HELLO)

    assert [answer.shown for answer in slack.answers("D1")] == [WHOLE]


@pytest.mark.parametrize("error", ["msg_too_long", "message_not_in_streaming_state", "internal_error"])
@pytest.mark.parametrize("method", ["chat.appendStream", "chat.stopStream"])
async def test_trouble_in_mid_stream_loses_nothing(house: House, method: str, error: str) -> None:
    """An append or stop that fails leaves one message with the whole answer and its buttons."""
    incoming = await house.asked(channel="D1")
    house.slack.fault(method, Fault(error=error))

    await house.answer(incoming, HELLO, every_s=0.2)

    (answer,) = house.slack.answers("D1")
    assert answer.shown == WHOLE
    assert answer.stream is None
    assert "tern_regenerate" in answer.buttons


@pytest.mark.parametrize("method", ["chat.appendStream", "chat.stopStream"])
async def test_a_lost_answer_to_an_append_doubles_no_words(house: House, method: str) -> None:
    """An append whose answer was lost may stand there; it is not sent again, the whole text is."""
    incoming = await house.asked(channel="D1")
    house.slack.fault(method, Fault(drop=True, after_doing=True))

    await house.answer(incoming, HELLO, every_s=0.2)

    (answer,) = house.slack.answers("D1")
    assert answer.shown == WHOLE


async def test_a_lost_answer_to_a_start_is_found_again(house: House) -> None:
    """A stream carries no metadata while it grows; the one message of ours that nobody knows is the lost page."""
    first = await house.asked("an earlier question", channel="D1")
    await house.answer(first, ["an earlier answer"])
    house.intake.stands("reply1", house.slack.answers("D1")[0].ts)
    incoming = await house.asked(channel="D1")
    house.slack.fault("chat.startStream", Fault(drop=True, after_doing=True))

    await house.answer(incoming, HELLO, every_s=0.3)

    answers = house.slack.answers("D1", incoming.message_id)
    assert [answer.shown for answer in answers] == [WHOLE]


async def test_a_lost_second_page_is_not_taken_for_the_first(house: House) -> None:
    """Looking for a page that may stand there, the pages that certainly do are passed by."""
    incoming = await house.asked(channel="D1")
    house.slack.fault("chat.appendStream", Fault(error="invalid_chunks"))
    house.slack.fault("chat.postMessage", Fault(status=503))

    await house.answer(incoming, in_pieces(LONG_ANSWER * 2, 400), every_s=0.2)

    pages = house.slack.answers("D1")
    assert len(pages) > 1
    assert squeezed("".join(page.shown for page in pages)) == squeezed(LONG_ANSWER * 2)


async def test_a_stream_that_will_not_stop_is_stopped_later(house: House) -> None:
    """A message cannot be edited while it streams: where stopping fails too, the reply waits instead of ending."""
    incoming = await house.asked(channel="D1")
    house.slack.fault("chat.appendStream", Fault(error="invalid_chunks"))
    house.slack.fault("chat.stopStream", *[Fault(status=503)] * 5)

    await house.answer(incoming, HELLO, every_s=0.2)

    (answer,) = house.slack.answers("D1")
    assert answer.shown == WHOLE
    assert answer.stream is None


async def test_429_on_an_append_is_waited_out(house: House) -> None:
    """A refused append was not applied: the same words go out later, once."""
    incoming = await house.asked(channel="D1")
    house.slack.fault("chat.appendStream", *[Fault(status=429, retry_after_s=2)] * 3)

    await house.answer(incoming, HELLO, every_s=0.2)

    (answer,) = house.slack.answers("D1")
    assert answer.markdown.strip() == WHOLE
    assert answer.edits == 0


async def test_the_native_stop_reaches_the_inbox(house: House) -> None:
    """Slack's own Stop stops the run; an append that is refused because of it says so too."""
    incoming = await house.asked(channel="D1")
    answering = asyncio.ensure_future(house.answer(incoming, HELLO, every_s=0.5))
    while not house.slack.answers("D1"):
        await house.clock.sleep(0.1)

    house.slack.press_native_stop("U1", "D1", incoming.message_id)
    await answering

    assert house.intake.stopped[0] == (incoming.conversation, incoming.user)
    (answer,) = house.slack.answers("D1")
    assert answer.shown == WHOLE
    assert answer.stream is None


async def test_a_stop_with_nothing_running_ends_the_session(house: House) -> None:
    """The session must leave `processing` whatever happened, or the spinner stays for an hour."""
    message = house.slack.say("U1", "hello", channel="D1", silently=True)

    house.slack.press_native_stop("U1", "D1", message.ts)
    await house.settle()

    assert house.slack.sessions[-1] == ("D1", message.ts, "active")


@pytest.mark.parametrize("native_streaming", [True, False])
async def test_a_new_process_completes_a_stream_that_was_left_open(slack: FakeSlack, native_streaming: bool) -> None:
    """A killed process leaves a message in streaming state; the next one stops it and edits it to its end, also where
    it may start no stream itself: they are switched off, or the minute's are used up."""
    ledger = FakeLedger()
    async with open_house(slack) as house:
        incoming, intake = await house.asked(channel="D1"), house.intake
        surface = await house.adapter.surface(incoming, "reply1", None)
        await ledger.posting(0, "reply1-0")
        await ledger.posted(0, await surface.post(0, Shown("Hello **wor", closing_chars=0), "reply1-0"))
        # ... and no more: kill -9 closes nothing.

    async with open_house(slack, intake=intake, native_streaming=native_streaming) as house:
        await house.answer(incoming, HELLO, ledger=ledger)

    (answer,) = slack.answers("D1")
    assert answer.stream is None
    assert answer.shown == WHOLE


@pytest.mark.parametrize("native_streaming", [True, False])
async def test_a_new_process_finds_a_stream_that_nobody_heard_of(slack: FakeSlack, native_streaming: bool) -> None:
    """A process that was killed between Slack's starting the stream and its own reading of that leaves a message
    without a mark; the next one goes on in it, whether it starts streams itself or not."""
    ledger = FakeLedger()
    async with open_house(slack) as house:
        incoming, intake = await house.asked(channel="D1"), house.intake
        surface = await house.adapter.surface(incoming, "reply1", None)
        await ledger.posting(0, "reply1-0")
        await surface.post(0, Shown("Hello **wor", closing_chars=0), "reply1-0")

    async with open_house(slack, intake=intake, native_streaming=native_streaming) as house:
        await house.answer(incoming, HELLO, ledger=ledger)

    (answer,) = slack.answers("D1")
    assert answer.stream is None
    assert answer.shown == WHOLE


async def test_many_answers_in_a_minute_do_not_wait_for_starts(slack: FakeSlack) -> None:
    """Twenty streams a minute are all a workspace has; further answers are edited instead of waiting."""
    async with open_house(slack) as house:
        asked = [await house.asked(f"question {number}", channel="D1") for number in range(36)]
        await asyncio.gather(*(house.answer(one, ["Yes, it ", "is."], every_s=0.5) for one in asked))

    answers = slack.answers("D1")
    assert len(answers) == 36
    assert {answer.shown for answer in answers} == {"Yes, it is."}
    assert sum(answer.was_streamed for answer in answers) == 16
    assert [bucket for bucket, _ in slack.rates.refused if "Stream" in bucket or "setStatus" in bucket] == []


async def test_full_pages_count_as_stops(house: House) -> None:
    """A page that is full in mid-answer is stopped too, and counts among the twenty a minute."""
    incoming = await house.asked(channel="D1")

    await house.answer(incoming, in_pieces(LONG_ANSWER * 3, 900), every_s=0.5)

    (counted,) = [bucket for key, bucket in house.pacer._buckets.items() if key.endswith("stopStream")]
    assert 20 - counted.free(house.clock.monotonic()) == house.slack.count("chat.stopStream") > 2


async def test_closing_a_surface_leaves_no_stream_open(house: House) -> None:
    """On a shutdown the partial answer stands still instead of spinning for minutes."""
    incoming = await house.asked(channel="D1")
    surface = await house.adapter.surface(incoming, "r1", None)
    await surface.post(0, Shown("Half an ans"), "r1-0")

    await surface.close()

    (answer,) = house.slack.answers("D1")
    assert answer.stream is None
    assert house.slack.sessions[-1][2] == "active"


async def test_the_session_shows_slacks_stop_while_it_streams(house: House) -> None:
    """The session stays `processing` until the stream is stopped: only then Slack shows its own Stop."""
    incoming = await house.asked(channel="D1")

    await house.answer(incoming, HELLO, every_s=0.2)

    states = [status for _, thread, status in house.slack.sessions if thread == incoming.message_id]
    assert states == ["processing", "processing", "active"]


async def test_without_agent_features_the_older_status_line_serves(slack: FakeSlack) -> None:
    """An app that is not declared an agent has no sessions; the status line under the thread still works."""
    slack.is_agent = False
    async with open_house(slack) as house:
        incoming = await house.asked(channel="D1")
        surface = await house.adapter.surface(incoming, "r1", None)

        await surface.busy(True)

    assert ("D1", incoming.message_id, "is thinking...") in slack.statuses


async def test_the_recipient_is_named(house: House) -> None:
    """Outside direct messages every stream failed without recipient ids; they are always sent."""
    incoming = await house.asked(channel="D1")

    await house.answer(incoming, HELLO)

    given = next(given for method, given, _ in house.slack.calls if method == "chat.startStream")
    assert (given["recipient_user_id"], given["recipient_team_id"]) == ("U1", "T1")
