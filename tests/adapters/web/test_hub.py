"""What stands, and the difference that each open page is sent."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from adapters.web.hub import MAX_VIEWS, Hub, ReplyView, Settled, common_prefix, difference
from core.domain.incoming import ConversationKey

HERE = ConversationKey("web", "", "local", "here")
THERE = ConversationKey("web", "", "local", "there")


def view(*blocks: str, reply_id: str = "r1", **more) -> ReplyView:
    return ReplyView(reply_id, "m1", (tuple(blocks),), **more)


class Screen:
    """Applies steps as page/thread.js does."""

    def __init__(self) -> None:
        self.blocks: list[str] = []

    def apply(self, step: dict) -> None:
        for index, keep, tail in step["blocks"]:
            while len(self.blocks) <= index:
                self.blocks.append("")
            before = self.blocks[index].encode("utf-16-le")
            self.blocks[index] = before[: keep * 2].decode("utf-16-le") + tail
        del self.blocks[step["count"] :]


async def steps(watcher) -> list[dict]:
    """The reply events that wait for this watcher."""
    raw = (await watcher.news(0.001)).decode()
    return [json.loads(part.split("data: ")[1]) for part in raw.split("\n\n") if part.startswith("event: reply")]


BLOCK = st.text(alphabet="ab<>é🐦\n", max_size=12)


@given(st.lists(st.lists(BLOCK, max_size=4), min_size=1, max_size=6))
def test_differences_rebuild_every_view(versions):
    """Whatever the sequence of views, a page that applies each difference shows exactly the last one."""
    screen, before = Screen(), None
    for blocks in versions:
        now = view(*blocks)
        screen.apply(difference(before, now))
        before = now

        assert screen.blocks == list(now.blocks)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_common_prefix_is_the_longest(shared, one, other):
    """Halving finds what comparing character by character would."""
    one, other = shared + one, shared + other
    plain = 0
    while plain < min(len(one), len(other)) and one[plain] == other[plain]:
        plain += 1

    assert common_prefix(one, other) == plain


def test_a_growing_block_is_sent_as_what_is_new():
    """Only the tail of a growing block travels, and nothing of a finished one."""
    step = difference(view("<p>done</p>", "<p>grow</p>"), view("<p>done</p>", "<p>growing</p>"))

    assert step["blocks"] == [(1, 7, "ing</p>")]


async def test_a_slow_page_gets_one_step_to_the_latest_text():
    """Between two reads only the newest state counts; nothing queues up."""
    hub = Hub()
    with hub.watch(HERE) as watcher:
        for count in range(1, 1_000):
            hub.show(HERE, view("x" * count))

        assert [step["blocks"] for step in await steps(watcher)] == [[[0, 0, "x" * 999]]]
        assert await watcher.news(0.001) == b""


async def test_a_late_page_begins_with_what_stands():
    """Who comes in mid-answer is sent all of it, then only what is new."""
    hub = Hub()
    hub.show(HERE, view("<p>first"))
    with hub.watch(HERE) as watcher:
        [whole] = await steps(watcher)
        hub.show(HERE, view("<p>first, second"))
        [more] = await steps(watcher)

    assert whole["blocks"] == [[0, 0, "<p>first"]]
    assert more["blocks"] == [[0, 8, ", second"]]


async def test_conversations_do_not_hear_each_other():
    """A change is told to those who watch its conversation, and to all of them."""
    hub = Hub()
    with hub.watch(HERE) as one, hub.watch(HERE) as two, hub.watch(THERE) as elsewhere:
        hub.show(HERE, view("x"))
        hub.tell(HERE, "question", {"text": "hi"})

        assert len(await steps(one)) == 1
        assert b'"hi"' in await two.news(0.001)
        assert await elsewhere.news(0.001) == b""
    assert hub.watching == 0


async def test_a_stored_reply_is_told_its_figures_and_left_to_the_store():
    """Watchers get the figures; who comes later reads the stored turn instead."""
    hub = Hub()
    with hub.watch(HERE) as watcher:
        hub.show(HERE, view("x", final=True))
        await steps(watcher)
        hub.settle(HERE, "r1", Settled("answered", "x", {"model": "m"}))
        [step] = await steps(watcher)
        with hub.watch(HERE) as late:
            assert await late.news(0.001) == b""

    assert step["settled"] == {"state": "answered", "text": "x", "facts": {"model": "m"}}
    assert step["blocks"] == []


async def test_figures_of_an_answer_that_is_being_rewritten_are_dropped():
    """Figures of the first answer must not end the second one."""
    hub = Hub()
    hub.show(HERE, view("second", final=False))

    hub.settle(HERE, "r1", Settled("answered", "first", {}))

    assert hub.view("r1").final is False
    assert hub.view("r1").settled is None


async def test_memory_is_bounded_and_growing_replies_are_kept():
    """Beyond the bound finished views go first, oldest first; one that still grows is never dropped for them."""
    hub = Hub()
    hub.show(HERE, view("growing", reply_id="live"))
    for number in range(MAX_VIEWS + 10):
        hub.show(HERE, view("x", reply_id=f"r{number}", final=True))

    assert hub.view("live") is not None
    assert hub.view("r0") is None
    assert hub.view(f"r{MAX_VIEWS + 9}") is not None


async def test_a_forgotten_conversation_leaves_nothing_standing():
    """Its views go, and open pages are told."""
    hub = Hub()
    hub.show(HERE, view("secret"))
    with hub.watch(HERE) as watcher:
        await steps(watcher)
        hub.forget(HERE)

        assert b"event: forgotten" in await watcher.news(0.001)
    assert hub.view("r1") is None
