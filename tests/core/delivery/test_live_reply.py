"""One reply on a platform, against a strict fake of one. On virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from core.delivery.live_reply import LiveReply
from core.delivery.pacing.pacer import Pacer
from core.domain.errors import StaleFence, StorageBusy, StorageFull, SurfaceBusy, SurfaceGone, SurfaceRejected
from core.domain.events import Notice, Restarted, TextDelta
from core.ports.platform import Rate, SurfaceLimits
from core.ports.storage import PostedPage
from core.wording import PART_REFUSED, REST_REFUSED, STOPPED
from tests.fakes.clock import LoopClock
from tests.fakes.surface import DISCORD_LIKE, FakeLedger, FakePlatform, FakeSurface

Run = Callable[[Awaitable[Any]], Any]


@dataclass
class Stage:
    """A reply and everything around it."""

    clock: LoopClock
    limits: SurfaceLimits = DISCORD_LIKE
    latency_s: float = 0.04
    ledger: FakeLedger = field(default_factory=FakeLedger)

    def __post_init__(self) -> None:
        self.platform = FakePlatform(self.clock, latency_s=self.latency_s)
        self.pacer = Pacer(self.clock)
        self.surface = FakeSurface(self.platform, self.limits)

    def reply(self, **changes: Any) -> LiveReply:
        return LiveReply(
            self.surface,
            self.ledger,
            self.pacer,
            self.clock,
            reply_id="r1",
            request_id="q1",
            platform="fake",
            asked_at=self.clock.now(),
            **changes,
        )

    async def say(self, live: LiveReply, text: str, *, pause_s: float = 0.02) -> None:
        for word in text.split(" "):
            await live.send(TextDelta(word + " "))
            await self.clock.sleep(pause_s)


@pytest.fixture
def stage(loop_clock: LoopClock) -> Stage:
    return Stage(loop_clock)


LONG = " ".join(f"word{number}" for number in range(600))
"""About 4,700 characters: three pages of 1,900."""


def test_an_answer_grows_and_is_shown_whole(run_virtual: Run, stage: Stage):
    """The first words appear at once, more follow, and `finish` returns when the last one stands there."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "one two three four five six seven eight nine ten", pause_s=0.3)
            await live.finish()
            assert stage.surface.pages == ["one two three four five six seven eight nine ten"]

    run_virtual(scene())
    [message] = stage.surface.messages.values()
    assert message.history[0][1].text == "one"
    assert 3 <= len(message.history) <= 7
    assert stage.platform.refusals == 0


def test_sending_never_waits_for_the_platform(run_virtual: Run, loop_clock: LoopClock):
    """However slow the platform is, the token loop goes on."""
    stage = Stage(loop_clock, latency_s=30.0)

    async def scene() -> float:
        async with stage.reply() as live:
            for _ in range(1_000):
                await live.send(TextDelta("word "))
            sent_at = loop_clock.monotonic()
            await live.finish()
        return sent_at

    assert run_virtual(scene()) == 0.0


def test_a_long_answer_goes_on_over_pages(run_virtual: Run, stage: Stage):
    """Pages that are full stay, further ones follow, in order and without losing a word."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, LONG)
            await live.finish()

    run_virtual(scene())
    assert len(stage.surface.pages) == 3
    assert " ".join(stage.surface.pages).split() == LONG.split()
    assert [shown.final for shown in stage.surface.shown] == [True] * 3


def test_last_words_do_not_wait_for_earlier_pages(run_virtual: Run, stage: Stage):
    """When an answer of many pages ends, its last words are written next: the pages before stand complete already."""

    async def scene() -> float:
        live = stage.reply()
        async with live:
            await stage.say(live, " ".join(f"word{number}" for number in range(1_500)), pause_s=0.01)
            record = await live.finish()
        assert record.last_lag_s is not None
        return record.last_lag_s

    assert run_virtual(scene()) < 0.5
    assert len(stage.surface.pages) == 7


def test_a_surface_that_changes_its_ways_is_paced_by_its_new_buckets(run_virtual: Run, stage: Stage):
    """Limits are read again before every write: what broke as a stream goes on at the rate of edits."""

    async def scene() -> None:
        live = stage.reply()
        async with live:
            await stage.say(live, "one two three")
            slow = Rate("slow", 1, 60.0)
            stage.surface._limits = replace(DISCORD_LIKE, edit=(slow,))
            with stage.pacer.count(slow):
                pass
            await stage.say(live, "and so on " * 20)
            await live.finish()

    run_virtual(scene())

    assert stage.platform.refusals == 0
    assert stage.platform.calls[-1][0] > 60.0


def test_buttons_stand_under_the_last_page_only(run_virtual: Run, stage: Stage):
    """Stop while it grows, the finished set at the end, always on the last page and nowhere else."""
    growing: list[list[bool]] = []

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, LONG)
            await stage.clock.sleep(10.0)
            growing.append([bool(shown.controls and shown.controls.stop) for shown in stage.surface.shown])
            await live.finish()

    run_virtual(scene())
    assert growing == [[False, False, True]]
    assert [bool(shown.controls and shown.controls.finished) for shown in stage.surface.shown] == [False, False, True]


def test_without_controls_there_are_no_buttons(run_virtual: Run, stage: Stage):
    """A reply may be shown without any."""

    async def scene() -> None:
        async with stage.reply(controls=False) as live:
            await live.send(TextDelta("Hi"))
            await live.finish()

    run_virtual(scene())
    assert [shown.controls for shown in stage.surface.shown] == [None]


def test_what_is_being_done_shows_beside_the_text(run_virtual: Run, stage: Stage):
    """A status is a line of its own and is gone when the answer stands."""
    seen: list[tuple[str, str]] = []

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(Notice("tool", {"label": "Searching"}))
            await stage.clock.sleep(1.0)
            seen.extend((shown.text, shown.status) for shown in stage.surface.shown)
            await live.send(TextDelta("It rains."))
            await live.finish()

    run_virtual(scene())
    assert seen == [("", "Searching ...")]
    assert [(shown.text, shown.status) for shown in stage.surface.shown] == [("It rains.", "")]


def test_footnotes_and_footer_end_the_answer(run_virtual: Run, stage: Stage):
    """What the reader should know stands under the finished answer."""

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("Yes."))
            await live.send(Notice("continued", {"model": "big"}))
            await live.finish(footer="By big.")

    run_virtual(scene())
    [shown] = stage.surface.shown
    assert shown.footer.endswith("By big.")
    assert "big" in shown.footer[:30]


def test_a_footer_that_does_not_fit_gets_room(run_virtual: Run, stage: Stage):
    """A page that is full to the brim gives up some words to a next page rather than exceed the limit."""

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("word " * 379))
            await live.finish(footer="This footer has quite some length.")

    run_virtual(scene())
    assert len(stage.surface.pages) == 2
    assert stage.surface.shown[-1].footer
    assert " ".join(stage.surface.pages).split() == ["word"] * 379


def test_a_stop_keeps_the_text_and_says_so(run_virtual: Run, stage: Stage):
    """The partial answer stays, the sentence stands under it."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "half an answ")
            await live.conclude(STOPPED, keep_text=True, outcome="stopped")

    run_virtual(scene())
    [shown] = stage.surface.shown
    assert (shown.text, shown.footer) == ("half an answ", STOPPED)


def test_an_error_replaces_the_text(run_virtual: Run, stage: Stage):
    """A sentence instead of a text that is worth nothing; the text so far can still be read from the reply."""
    kept: list[str] = []

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "garbage")
            await live.conclude("It failed.", keep_text=False, outcome="NoModelLeft")
            kept.append(live.text)

    run_virtual(scene())
    assert stage.surface.pages == ["It failed."]
    assert kept == ["garbage "]


def test_a_waiting_reply_can_still_be_stopped(run_virtual: Run, stage: Stage):
    """While no model answers, the sentence stands there with Stop; a later process goes on in the same message."""

    async def scene() -> None:
        async with stage.reply() as live:
            await live.conclude("I keep trying.", keep_text=True, outcome="waiting")
        [shown] = stage.surface.shown
        assert shown.controls
        assert shown.controls.stop
        assert not shown.final
        async with stage.reply() as live:
            await live.send(TextDelta("Here it is."))
            await live.finish()

    run_virtual(scene())
    assert stage.surface.pages == ["Here it is."]
    assert stage.surface.posts == 1


def test_a_withdrawn_reply_leaves_nothing(run_virtual: Run, stage: Stage):
    """When the question was deleted every page is taken back, newest first, and the ledger knows."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, LONG)
            await live.withdraw()

    run_virtual(scene())
    assert stage.surface.pages == []
    assert stage.ledger.rows == {}


def test_another_model_may_take_text_back(run_virtual: Run, stage: Stage):
    """After a restart the screen shows the kept beginning and what follows it."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, LONG)
            await live.send(Restarted("m2", len("word0 word1 ")))
            await stage.say(live, "and the end.")
            await live.finish()

    run_virtual(scene())
    assert stage.surface.pages == ["word0 word1 and the end."]
    assert stage.surface.removed == [2, 1]


def test_a_shorter_answer_takes_surplus_pages_away(run_virtual: Run, stage: Stage):
    """A regenerated answer of one page removes the second and third of the old one."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, LONG)
            await live.finish()
        async with stage.reply() as live:
            await live.send(TextDelta("Short."))
            await live.finish()

    run_virtual(scene())
    assert stage.surface.pages == ["Short."]
    assert list(stage.ledger.rows) == [0]


def test_a_very_long_answer_becomes_a_file_beside_its_first_pages(run_virtual: Run, loop_clock: LoopClock):
    """Beyond the last page that may be posted the whole answer is attached, once."""
    stage = Stage(loop_clock, replace(DISCORD_LIKE, max_pages=2))

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, LONG)
            await live.finish()

    run_virtual(scene())
    assert len(stage.surface.pages) == 2
    assert [name for name, _ in stage.surface.files] == ["answer.md"]
    assert stage.surface.files[0][1].decode().split() == LONG.split()


def test_numbered_edits_are_kept_for_the_end(run_virtual: Run, loop_clock: LoopClock):
    """Where only one edit is allowed, the first words are posted and the whole answer replaces them."""
    stage = Stage(loop_clock, replace(DISCORD_LIKE, max_edits=1))

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "one two three four", pause_s=5.0)
            await live.finish()

    run_virtual(scene())
    assert (stage.surface.posts, stage.surface.edits) == (1, 1)
    assert stage.surface.pages == ["one two three four"]


def test_where_nothing_can_be_edited_the_answer_is_posted_once(run_virtual: Run, loop_clock: LoopClock):
    """Without edits nothing is shown before the answer is complete."""
    stage = Stage(loop_clock, replace(DISCORD_LIKE, max_edits=0))

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "one two three four", pause_s=5.0)
            await live.finish()

    run_virtual(scene())
    assert (stage.surface.posts, stage.surface.edits) == (1, 0)


# --- never twice ---


def test_the_ledger_knows_of_a_post_before_the_platform(run_virtual: Run, stage: Stage):
    """`posting` is committed before the post leaves and `posted` after it came back."""
    at_post: list[PostedPage] = []
    post = stage.surface.post

    async def spying_post(page: int, shown: Any, nonce: str) -> str:
        at_post.extend(await stage.ledger.pages())
        return await post(page, shown, nonce)

    stage.surface.post = spying_post  # type: ignore[method-assign]

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("Hi"))
            await live.finish()

    run_virtual(scene())
    assert at_post == [PostedPage(0, "r1-0", None)]
    assert stage.ledger.rows == {0: PostedPage(0, "r1-0", "m0")}


def test_the_first_page_is_announced_while_the_model_thinks(run_virtual: Run, stage: Stage):
    """The first words wait for no commit: the ledger has had the page's row since before they came."""
    before_text: list[PostedPage] = []

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.clock.sleep(0.1)
            before_text.extend(await stage.ledger.pages())
            await live.send(TextDelta("Hi"))
            await live.finish()

    run_virtual(scene())
    assert before_text == [PostedPage(0, "r1-0", None)]
    assert (stage.surface.posts, stage.surface.finds) == (1, 0)


def test_a_page_that_an_earlier_process_posted_is_edited(run_virtual: Run, stage: Stage):
    """After a restart the same message gets the full answer."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "half an answ")
        async with stage.reply() as live:
            await stage.say(live, "half an answer is whole now")
            await live.finish()

    run_virtual(scene())
    assert stage.surface.posts == 1
    assert stage.surface.pages == ["half an answer is whole now"]


def test_a_page_that_may_stand_there_is_looked_for_before_it_is_posted(run_virtual: Run, stage: Stage):
    """A process that died between post and ledger leaves a row without an id; the next one finds the message."""

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("half"))
            await stage.clock.sleep(1.0)
        stage.ledger.rows[0] = PostedPage(0, "r1-0", None)
        async with stage.reply() as live:
            await live.send(TextDelta("whole"))
            await live.finish()

    run_virtual(scene())
    assert (stage.surface.posts, stage.surface.finds) == (1, 1)
    assert stage.surface.pages == ["whole"]


def test_a_row_without_a_message_is_posted(run_virtual: Run, stage: Stage):
    """A process that died before its post left nothing to find, so it is posted now."""
    stage.ledger.rows[0] = PostedPage(0, "r1-0", None)

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("whole"))
            await live.finish()

    run_virtual(scene())
    assert (stage.surface.posts, stage.surface.finds) == (1, 1)


def test_a_lost_answer_to_a_post_does_not_double_it(run_virtual: Run, stage: Stage):
    """A post whose answer was lost is looked for, found, and edited."""
    stage.surface.lose_next = 1

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "one two three", pause_s=1.0)
            await live.finish()

    run_virtual(scene())
    assert stage.surface.posts == 1
    assert stage.surface.pages == ["one two three"]


def test_a_stale_owner_stops_at_once(run_virtual: Run, stage: Stage):
    """When another process owns the run nothing more is written, and the caller is told."""

    async def scene() -> None:
        async with stage.reply() as live:
            stage.ledger.stale = True
            await live.send(TextDelta("Hi"))
            await stage.clock.sleep(1.0)
            with pytest.raises(StaleFence):
                await live.send(TextDelta(" there"))
            with pytest.raises(StaleFence):
                await live.finish()

    run_virtual(scene())
    assert stage.surface.posts == 0


# --- trouble ---


def test_a_busy_platform_is_asked_again_with_the_latest_text(run_virtual: Run, stage: Stage):
    """After a 429 the write that follows carries what has come meanwhile, not what was refused."""
    stage.surface.fail_next = [SurfaceBusy("429", retry_after_s=3.0)]

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "one two three", pause_s=0.5)
            await stage.clock.sleep(3.0)
            await live.finish()

    run_virtual(scene())
    [message] = stage.surface.messages.values()
    assert message.history[0][1].text == "one two three"
    assert message.at >= 3.0


def test_failures_make_no_platform_slower(run_virtual: Run, stage: Stage):
    """What fails for another reason than its number is tried again after each pause, also in a minute's bucket."""
    stage.surface._limits = replace(stage.surface.limits, post=(Rate("p", 20, 60.0),))
    stage.surface.fail_next = [SurfaceBusy("503")] * 12

    async def scene() -> float:
        async with stage.reply() as live:
            await live.send(TextDelta("Hi"))
            await live.finish()
        return stage.clock.monotonic()

    assert run_virtual(scene()) < 20.0


def test_a_storm_of_refusals_ends_with_the_whole_answer(run_virtual: Run, stage: Stage):
    """However often the platform refuses, the answer stands there in the end."""

    async def scene() -> None:
        async with stage.reply() as live:
            for word in range(10):
                stage.surface.fail_next.append(SurfaceBusy("503", retry_after_s=1.0))
                await live.send(TextDelta(f"{word} "))
                await stage.clock.sleep(0.7)
            await live.finish()

    run_virtual(scene())
    assert stage.surface.pages == ["0 1 2 3 4 5 6 7 8 9"]


def test_finish_gives_up_when_its_patience_is_over(run_virtual: Run, stage: Stage):
    """A platform that refuses for longer than the stated time is reported to the caller."""

    async def scene() -> float:
        async with stage.reply(patience_s=60.0) as live:
            await live.send(TextDelta("Hi"))
            stage.surface.fail_next = [SurfaceBusy("503", retry_after_s=10.0)] * 100
            with pytest.raises(SurfaceBusy):
                await live.finish()
        return stage.clock.monotonic()

    assert 60.0 <= run_virtual(scene()) <= 75.0


def test_a_gone_place_stops_the_writing_not_the_answer(run_virtual: Run, stage: Stage):
    """A deleted channel ends the showing; the text is collected on, and the record says what happened."""

    async def scene() -> tuple[str, str]:
        async with stage.reply() as live:
            await live.send(TextDelta("one "))
            await stage.clock.sleep(1.0)
            stage.surface.gone = True
            await stage.say(live, "two three", pause_s=2.0)
            record = await live.finish()
            return live.text, record.outcome

    assert run_virtual(scene()) == ("one two three ", SurfaceGone.__name__)


def test_a_page_that_is_too_long_after_all_is_made_shorter(run_virtual: Run, stage: Stage):
    """Where the platform counts more than we do the text goes onto shorter pages."""
    stage.surface.fail_next = [SurfaceRejected("msg_too_long", too_long=True)]

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("word " * 370))
            await live.finish()

    run_virtual(scene())
    assert len(stage.surface.pages) == 2
    assert " ".join(stage.surface.pages).split() == ["word"] * 370


def test_a_refused_form_is_shown_plainer(run_virtual: Run, stage: Stage):
    """What a platform does not take with its layout is shown without."""
    stage.surface.refuses_rich = True

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("| odd table |"))
            await live.finish()

    run_virtual(scene())
    assert [(shown.text, shown.plain, shown.controls) for shown in stage.surface.shown] == [
        ("| odd table |", True, None)
    ]


def test_what_cannot_be_shown_at_all_becomes_a_sentence(run_virtual: Run, stage: Stage):
    """A text that is refused even plain is replaced by a sentence; the answer itself is kept for the history."""
    stage.surface.refuses_word = "odd"

    async def scene() -> tuple[str, str]:
        async with stage.reply() as live:
            await live.send(TextDelta("odd"))
            await stage.clock.sleep(5.0)
            record = await live.finish()
            return live.text, record.outcome

    assert run_virtual(scene()) == ("odd", SurfaceRejected.__name__)
    assert "refused the answer's form" in stage.surface.pages[0]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_refused_page_takes_nothing_away_from_the_others(run_virtual: Run, stage: Stage, at: int):
    """Every other page stands whole; in the refused one's place a sentence says that it is missing."""
    stage.surface.refuses_word = f"word{at * 250 + 60} "

    async def scene() -> str:
        async with stage.reply() as live:
            await live.send(TextDelta(LONG))
            return (await live.finish()).outcome

    assert run_virtual(scene()) == "ok"
    pages = stage.surface.pages
    assert len(pages) == 3
    assert pages[at] == PART_REFUSED
    others = " ".join(page for number, page in enumerate(pages) if number != at)
    assert set(others.split()) <= set(LONG.split())
    assert len(others.split()) > 340


def test_words_that_stand_stay_when_what_follows_is_refused(run_virtual: Run, stage: Stage):
    """An edit that the platform refuses leaves the page as far as it was taken, and says that something is missing."""
    stage.surface.refuses_word = "nine"

    async def scene() -> str:
        async with stage.reply() as live:
            await stage.say(live, "one two three four five six seven eight nine ten", pause_s=0.5)
            return (await live.finish()).outcome

    assert run_virtual(scene()) == "ok"
    [page] = stage.surface.pages
    assert page.startswith("one two three")
    assert page.endswith(REST_REFUSED)


def test_what_was_refused_while_it_grew_is_tried_once_more_at_the_end(run_virtual: Run, stage: Stage):
    """Half a construct may be refused where the whole is taken: no word is lost for that."""
    stage.surface.refuses_word = "two three"

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "one two three four five", pause_s=1.0)
            stage.surface.refuses_word = ""
            await live.finish()

    run_virtual(scene())
    assert stage.surface.pages == ["one two three four five"]


def test_a_page_whose_sentence_is_refused_too_is_left_as_it_stands(run_virtual: Run, stage: Stage):
    """Whatever the platform says then, what it has taken before stays."""

    async def scene() -> str:
        async with stage.reply() as live:
            await stage.say(live, "one two three", pause_s=1.0)
            stage.surface.fail_next = [SurfaceRejected("bad")] * 20
            await live.send(TextDelta("four"))
            return (await live.finish()).outcome

    assert run_virtual(scene()) == "ok"
    assert stage.surface.pages == ["one two three"]


@pytest.mark.parametrize("pages", [3, 12])
def test_the_rest_is_shown_as_pages_where_the_file_is_refused(run_virtual: Run, loop_clock: LoopClock, pages: int):
    """Without the right to attach files nothing is lost that finds room; what does not is counted."""
    stage = Stage(loop_clock, replace(DISCORD_LIKE, max_chars=400, max_pages=2))
    stage.surface.refuses_files = True
    text = " ".join(f"word{number:04}" for number in range(44 * pages))

    async def scene() -> str:
        async with stage.reply() as live:
            await live.send(TextDelta(text))
            return (await live.finish()).outcome

    assert run_virtual(scene()) == "ok"
    shown = " ".join(stage.surface.pages).split()
    assert shown == text.split()[: len(shown)]
    if pages == 3:
        assert shown == text.split()
    else:
        assert len(stage.surface.pages) <= 5
        assert "found no room" in stage.surface.shown[-1].footer


def test_a_file_of_the_answer_that_is_refused_is_named_below_it(run_virtual: Run, stage: Stage):
    """Whoever reads the answer learns that a table belongs to it."""
    stage.surface.refuses_files = True

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("Here is the table."))
            await live.finish()
            with pytest.raises(SurfaceRejected):
                await live.attach("rows.csv", b"a,b")

    run_virtual(scene())
    assert stage.surface.pages[0] == "Here is the table."
    assert "rows.csv" in stage.surface.pages[1]


def test_a_platform_that_takes_nothing_is_left_alone(run_virtual: Run, stage: Stage):
    """When even the sentence is refused the writing ends."""
    stage.surface.fail_next = [SurfaceRejected("bad")] * 10

    async def scene() -> str:
        async with stage.reply() as live:
            await live.send(TextDelta("odd"))
            return (await live.finish()).outcome

    assert run_virtual(scene()) == SurfaceGone.__name__


def test_a_locked_database_delays_the_post(run_virtual: Run, stage: Stage):
    """Without its row a page is not posted; it is tried again until the row can be written."""
    fails = [StorageBusy(), StorageBusy()]
    posting = stage.ledger.posting

    async def locked(page: int, nonce: str) -> None:
        if fails:
            raise fails.pop()
        await posting(page, nonce)

    stage.ledger.posting = locked  # type: ignore[method-assign]

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("Hi"))
            await live.finish()

    run_virtual(scene())
    assert stage.surface.pages == ["Hi"]


def test_a_full_disk_is_reported(run_virtual: Run, stage: Stage):
    """A ledger that cannot be written for as long as the patience lasts ends in its own error."""

    async def full(page: int, nonce: str) -> None:
        raise StorageFull

    stage.ledger.posting = full  # type: ignore[method-assign]

    async def scene() -> None:
        async with stage.reply(patience_s=5.0) as live:
            await live.send(TextDelta("Hi"))
            with pytest.raises(StorageFull):
                await live.finish()

    run_virtual(scene())
    assert stage.surface.posts == 0


# --- cancelling and closing ---


def test_cancelling_the_request_never_cancels_a_write(run_virtual: Run, loop_clock: LoopClock):
    """A request that is cancelled in the middle of a platform call leaves the call alone and its result is kept."""
    stage = Stage(loop_clock, latency_s=1.0)

    async def request() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("Hi"))
            await asyncio.sleep(99)

    async def scene() -> None:
        task = asyncio.create_task(request())
        await loop_clock.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(scene())
    assert stage.surface.broken_off == 0
    assert stage.ledger.rows[0].ref == "m0"


def test_a_cancelled_request_may_still_say_farewell(run_virtual: Run, stage: Stage):
    """Whoever stops the model can conclude the reply in the same breath."""

    async def request() -> None:
        async with stage.reply() as live:
            try:
                await stage.say(live, LONG)
            except asyncio.CancelledError:
                await live.conclude(STOPPED, keep_text=True, outcome="stopped")
                raise

    async def scene() -> None:
        task = asyncio.create_task(request())
        await stage.clock.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(scene())
    assert stage.surface.shown[-1].footer == STOPPED


def test_closing_gives_up_on_a_platform_that_never_answers(run_virtual: Run, loop_clock: LoopClock):
    """A hung write holds the process up for a stated while, not for ever."""
    stage = Stage(loop_clock, latency_s=10_000.0)

    async def scene() -> float:
        async with stage.reply() as live:
            await live.send(TextDelta("Hi"))
            await loop_clock.sleep(1.0)
        return loop_clock.monotonic()

    assert 10.0 <= run_virtual(scene()) <= 20.0


def test_a_reply_left_without_an_end_stands_as_it_is(run_virtual: Run, stage: Stage):
    """At shutdown nothing more is written; the ledger tells the next process where to go on."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.say(live, "half an answ")

    run_virtual(scene())
    assert stage.ledger.rows[0].ref == "m0"
    assert not stage.surface.shown[0].final


def test_a_crash_of_the_writer_reaches_the_caller(run_virtual: Run, stage: Stage):
    """An error that no platform raises is a bug of ours and is not swallowed."""

    async def broken(page: int, shown: Any, nonce: str) -> str:
        raise ZeroDivisionError

    stage.surface.post = broken  # type: ignore[method-assign]

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("Hi"))
            await live.finish()

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(scene())
    assert caught.group_contains(ZeroDivisionError)


# --- meanwhile, and the record ---


def test_the_platform_is_told_that_somebody_is_at_work(run_virtual: Run, stage: Stage):
    """The indicator is renewed until there is something to see, and taken away then."""

    async def scene() -> None:
        async with stage.reply() as live:
            await stage.clock.sleep(17.0)
            await live.send(TextDelta("Hi"))
            await live.finish()

    run_virtual(scene())
    assert stage.surface.busy_calls == [True, True, True, False]


def test_an_indicator_that_fails_disturbs_nothing(run_virtual: Run, stage: Stage):
    """Typing may fail; the answer comes all the same."""

    async def refuse(on: bool) -> None:
        raise SurfaceGone("no typing here")

    stage.surface.busy = refuse  # type: ignore[method-assign]

    async def scene() -> None:
        async with stage.reply() as live:
            await live.send(TextDelta("Hi"))
            await live.finish()

    run_virtual(scene())
    assert stage.surface.pages == ["Hi"]


def test_the_record_tells_how_close_the_screen_was(run_virtual: Run, stage: Stage):
    """First words and last words are measured from where a reader would: the question and the model's last token."""

    async def scene() -> Any:
        async with stage.reply() as live:
            await stage.clock.sleep(0.5)
            await stage.say(live, "one two", pause_s=1.0)
            await live.send(TextDelta("three"))
            return await live.finish()

    record = run_virtual(scene())
    assert record.first_shown_s == pytest.approx(0.58)
    assert record.last_lag_s == pytest.approx(0.08)
    assert (record.edits, record.pages, record.outcome) == (stage.surface.posts + stage.surface.edits, 1, "ok")


def test_a_status_is_no_first_word(run_virtual: Run, stage: Stage):
    """The time to the first visible text counts the answer, not what stands there meanwhile."""

    async def scene() -> Any:
        async with stage.reply() as live:
            await live.send(Notice("heard", {"text": "hello"}))
            await live.send(Notice("tool", {"label": "Searching"}))
            await stage.clock.sleep(3.0)
            await live.send(TextDelta("Hi"))
            return await live.finish()

    assert run_virtual(scene()).first_shown_s > 3.0


def test_a_reply_id_that_platforms_cannot_carry_is_refused(stage: Stage):
    """Nonces have 25 characters; a longer id would break recovery, so it is a mistake of the caller."""
    with pytest.raises(ValueError, match="22"):
        LiveReply(
            stage.surface,
            stage.ledger,
            stage.pacer,
            stage.clock,
            reply_id="x" * 23,
            request_id="q",
            platform="fake",
            asked_at=0.0,
        )
