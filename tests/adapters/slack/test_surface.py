"""Answers in channels: one message that is edited, through the house's own LiveReply and Pacer."""

from __future__ import annotations

import asyncio

import pytest

from core.domain.errors import SurfaceBusy, SurfaceGone
from core.ports.platform import Controls, Shown
from tests.adapters.slack.conftest import LONG_ANSWER, House, in_pieces, open_house, squeezed
from tests.fakes.slack import FakeSlack, Fault
from tests.fakes.surface import FakeLedger

HELLO = in_pieces("Hello **world**, nice to meet you. " * 10)


async def test_an_answer_grows_in_one_message_under_the_question(house: House) -> None:
    """The answer stands in the question's thread, as one message that was edited while it grew."""
    incoming = await house.asked()

    await house.answer(incoming, HELLO, every_s=0.2)

    (answer,) = house.slack.answers(thread=incoming.message_id)
    assert answer.shown == "".join(HELLO).strip()
    assert answer.edits > 2
    assert not answer.was_streamed


async def test_the_blocks_come_with_a_text_for_notifications(house: House) -> None:
    """Notifications and screen readers get the words too; above 4,000 characters Slack would refuse the edit."""
    incoming = await house.asked()

    await house.answer(incoming, in_pieces("word " * 2_000, 200), every_s=0.1)

    (answer,) = house.slack.answers()
    assert answer.text.startswith("word word")
    assert len(answer.text) < 4_000
    assert answer.shown == ("word " * 2_000).strip()


async def test_a_long_answer_is_whole_and_in_order(house: House) -> None:
    """Ten thousand characters with fences and tables lose not a word, and every page closes its fences."""
    incoming = await house.asked()

    await house.answer(incoming, in_pieces(LONG_ANSWER, 60), every_s=0.05)

    pages = [message.shown for message in house.slack.answers()]
    assert squeezed("".join(pages)) == squeezed(LONG_ANSWER)
    assert all(page.count("```") % 2 == 0 for page in pages)


async def test_a_very_long_answer_stands_on_several_pages(house: House) -> None:
    """Beyond the markdown block's limit the answer goes on in a next message; buttons stand under the last alone."""
    incoming = await house.asked()

    await house.answer(incoming, in_pieces(LONG_ANSWER * 3, 400), every_s=0.05)

    pages = house.slack.answers()
    assert len(pages) > 2
    assert squeezed("".join(page.shown for page in pages)) == squeezed(LONG_ANSWER * 3)
    assert [bool(page.buttons) for page in pages] == [False] * (len(pages) - 1) + [True]


async def test_controls(house: House) -> None:
    """Stop stands under a growing answer; Regenerate, Shorter and the thumbs under a finished one."""
    incoming = await house.asked()
    answering = asyncio.ensure_future(house.answer(incoming, HELLO, every_s=0.5))
    while not house.slack.answers():
        await house.clock.sleep(0.1)
    growing = set(house.slack.answers()[0].buttons)

    await answering

    assert growing == {"tern_stop"}
    assert set(house.slack.answers()[0].buttons) == {"tern_regenerate", "tern_shorter", "tern_feedback"}


async def test_four_answers_share_the_workspace_without_a_429(slack: FakeSlack) -> None:
    """Four answers at once stay within the published tiers, and each one's last words come within what the pending
    finals need at the bucket's rate, plus a round trip."""
    slack.latency_s = 0.1
    async with open_house(slack) as house:
        asked = [await house.asked(f"<@U0TERN> question {number}") for number in range(4)]
        pieces = in_pieces("The quick brown fox jumps over the lazy dog. " * 100)

        records = await asyncio.gather(*(house.answer(one, pieces, every_s=0.05) for one in asked))

    assert slack.rates.refused == []
    assert [message.shown for message in slack.answers()] == ["".join(pieces).strip()] * 4
    assert max(record.last_lag_s or 0.0 for record in records) <= 4 * 60 / 50 + 2 * slack.latency_s


async def test_a_storm_of_429_delays_and_loses_nothing(house: House) -> None:
    """Whatever is refused for a while, the whole answer stands there in the end, once."""
    incoming = await house.asked()
    house.slack.fault("chat.postMessage", Fault(status=429, retry_after_s=3))
    house.slack.fault("chat.update", *[Fault(status=429, retry_after_s=5)] * 4)

    await house.answer(incoming, HELLO)

    (answer,) = house.slack.answers()
    assert answer.shown == "".join(HELLO).strip()


async def test_a_lost_answer_to_a_post_does_not_post_twice(house: House) -> None:
    """When Slack took the message but its answer was lost, it is found again by its metadata."""
    incoming = await house.asked()
    house.slack.fault("chat.postMessage", Fault(drop=True, after_doing=True))

    await house.answer(incoming, HELLO, every_s=0.2)

    (answer,) = house.slack.answers()
    assert answer.shown == "".join(HELLO).strip()
    assert house.slack.count("chat.postMessage") == 1


async def test_a_post_that_was_looked_for_keeps_to_the_channels_second(slack: FakeSlack) -> None:
    """Looking for a lost post takes seconds in which others post; what is posted again then takes its turn anew."""
    slack.latency_s = 0.05
    async with open_house(slack) as house:
        asked = [await house.asked(f"<@U0TERN> question {number}") for number in range(6)]
        slack.fault("chat.postMessage", Fault(drop=True))
        slack.fault("conversations.replies", Fault(status=500, delay_s=3.0))

        async def answer(number: int) -> None:
            await house.clock.sleep(2.0 if number else 0.0)
            await house.answer(asked[number], HELLO, every_s=0.2)

        await asyncio.gather(*map(answer, range(6)))

    assert [message.shown for message in slack.answers()] == ["".join(HELLO).strip()] * 6
    assert slack.rates.refused == []


async def test_a_server_error_on_a_post_is_not_retried_blindly(house: House) -> None:
    """After a 502 nobody knows whether the message stands; it is looked for before it is posted again."""
    incoming = await house.asked()
    house.slack.fault("chat.postMessage", Fault(status=502))

    await house.answer(incoming, HELLO, every_s=0.2)

    assert len(house.slack.answers()) == 1
    assert house.slack.count("chat.postMessage") == 2
    assert house.slack.count("conversations.replies") >= 1


async def test_a_refused_layout_goes_out_in_plain_sections(house: House) -> None:
    """A table of 150 rows makes Slack refuse the whole message; it is shown as text, not a word missing."""
    table = "| n | square |\n| --- | --- |\n" + "".join(f"| {n} | {n * n} |\n" for n in range(150))
    incoming = await house.asked()

    await house.answer(incoming, ["Here it is:\n\n", table, "\nThat is all."])

    (answer,) = house.slack.answers()
    assert "149 | 22201" in answer.shown
    assert answer.shown.endswith("That is all.")
    assert "tern_regenerate" in answer.buttons


async def test_a_refused_layout_and_its_plain_form_are_two_calls(house: House) -> None:
    """Slack counts the call that it refused, so the plain sections wait for the channel's next second."""
    table = "| n | square |\n| --- | --- |\n" + "".join(f"| {n} | {n * n} |\n" for n in range(150))
    incoming = await house.asked()

    await house.answer(incoming, [table])

    assert house.slack.count("chat.postMessage") == 2
    assert "149 | 22201" in house.slack.answers()[0].shown
    assert house.slack.rates.refused == []


async def test_msg_too_long_makes_shorter_pages(house: House) -> None:
    """Where Slack counts differently from us, the pages get shorter until it takes them."""
    incoming = await house.asked()
    house.slack.fault("chat.update", Fault(error="msg_too_long"), Fault(error="msg_too_long"))

    await house.answer(incoming, in_pieces(LONG_ANSWER, 500), every_s=0.1)

    assert squeezed("".join(page.shown for page in house.slack.answers())) == squeezed(LONG_ANSWER)


@pytest.mark.parametrize("error", ["channel_not_found", "is_archived", "token_revoked"])
async def test_a_place_that_is_gone_ends_the_reply(house: House, error: str) -> None:
    """Where nothing can be shown any more nothing is tried for ever."""
    incoming = await house.asked()
    house.slack.fault("chat.postMessage", Fault(error=error))

    record = await house.answer(incoming, HELLO)

    assert record.outcome == "SurfaceGone"
    posts = [given["channel"] for method, given, _ in house.slack.calls if method == "chat.postMessage"]
    assert posts.count("C1") == 1


async def test_a_revoked_token_shows_in_the_health(house: House) -> None:
    """Readiness cannot lie: once Slack shuts us out the adapter is down."""
    incoming = await house.asked()
    house.slack.valid_bot_token, house.slack.token_error = "xoxb-other", "token_revoked"

    await house.answer(incoming, HELLO)

    assert house.adapter.health().state == "down"
    assert "token_revoked" in house.adapter.health().detail


async def test_a_new_process_completes_the_same_message(slack: FakeSlack) -> None:
    """What a killed process left half written is edited to its end, not posted again."""
    ledger = FakeLedger()
    async with open_house(slack) as house:
        incoming, intake = await house.asked(), house.intake
        answering = asyncio.ensure_future(house.answer(incoming, HELLO, every_s=0.5, ledger=ledger))
        while not slack.answers():
            await house.clock.sleep(0.1)
        answering.cancel()
        await asyncio.wait({answering})

    async with open_house(slack, intake=intake) as house:
        await house.answer(incoming, HELLO, ledger=ledger)

    (answer,) = slack.answers()
    assert answer.shown == "".join(HELLO).strip()


async def test_find_looks_only_at_our_own_nonce(house: House) -> None:
    """Another reply's message in the same thread is not mistaken for ours."""
    incoming = await house.asked()
    surface = await house.adapter.surface(incoming, "r1", None)
    ref = await surface.post(0, Shown("one"), "r1-0")

    assert await surface.find(0, "r1-0") == ref
    assert await surface.find(0, "r2-0") is None


async def test_link_previews_are_off(house: House) -> None:
    """No preview unfolds under an answer (the fake notes it as a violation where one could)."""
    incoming = await house.asked()

    await house.answer(incoming, ["See https://example.org for more."])

    assert house.slack.violations == []


async def test_the_rest_of_an_endless_answer_becomes_a_file(house: House) -> None:
    """A file joins the thread where pages end."""
    incoming = await house.asked()
    surface = await house.adapter.surface(incoming, "r1", None)

    await surface.attach("answer.md", b"# all of it", "The rest")

    (upload,) = house.slack.uploads.values()
    assert (upload.name, upload.content) == ("answer.md", b"# all of it")
    assert house.slack.answers()[0].thread == incoming.message_id


async def test_status_while_thinking(house: House) -> None:
    """Until the first words stand there, Slack shows that somebody is at work."""
    incoming = await house.asked()
    surface = await house.adapter.surface(incoming, "r1", None)

    await surface.busy(True)
    await surface.busy(True)
    await surface.busy(False)

    assert house.slack.statuses == [("C1", incoming.message_id, "is thinking..."), ("C1", incoming.message_id, "")]


async def test_removing_a_page_twice_is_harmless(house: House) -> None:
    """A page that is gone already is gone."""
    incoming = await house.asked()
    surface = await house.adapter.surface(incoming, "r1", None)
    ref = await surface.post(0, Shown("one"), "r1-0")

    await surface.remove(ref, 0)
    await surface.remove(ref, 0)

    assert house.slack.answers() == []


async def test_busy_and_unsure_are_told_apart(house: House) -> None:
    """A 429 was certainly not applied; a dropped connection may have been."""
    incoming = await house.asked()
    surface = await house.adapter.surface(incoming, "r1", None)
    house.slack.fault("chat.postMessage", Fault(status=429, retry_after_s=7), Fault(drop=True))

    with pytest.raises(SurfaceBusy) as limited:
        await surface.post(0, Shown("one"), "r1-0")
    with pytest.raises(SurfaceBusy) as dropped:
        await surface.post(0, Shown("one"), "r1-0")

    assert (limited.value.unsure, limited.value.retry_after_s) == (False, 7.0)
    assert dropped.value.unsure


async def test_an_unknown_message_cannot_be_edited(house: House) -> None:
    """A message that somebody deleted is gone for good."""
    incoming = await house.asked()
    surface = await house.adapter.surface(incoming, "r1", None)

    with pytest.raises(SurfaceGone):
        await surface.edit("1800000000.999999", 0, Shown("one", controls=Controls("r1")))


@pytest.mark.parametrize("ping", ["<!channel>", "&lt;@U1&gt;", "<!\u200bhere>", "```\n<!subteam^S1>\n```"])
@pytest.mark.parametrize("channel", ["C1", "D1"])
async def test_nobody_is_pinged(slack: FakeSlack, ping: str, channel: str) -> None:
    """No order to ping gets through, although it comes in pieces, edited or streamed (more disguises: test_disarm)."""
    async with open_house(slack) as house:
        incoming = await house.asked("<@U0TERN> ping them all", channel=channel)

        await house.answer(incoming, [*f"Sure: {ping}", " done."], every_s=0.3, footer=ping)

    assert slack.pings == []
    assert slack.answers(channel)[0].shown.rstrip("`\n").endswith("done.")
