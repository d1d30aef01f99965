"""Sentences that are no answers."""

from __future__ import annotations

import asyncio

import pytest

from core.delivery.side_notices import AGAIN_AFTER_S, MOST_WAITING, SideNotices
from core.domain.errors import SurfaceBusy
from tests.fakes.clock import FakeClock, settle


class Mouth:
    """Says, once it may."""

    def __init__(self) -> None:
        self.said = 0
        self.may = asyncio.Event()

    async def __call__(self) -> None:
        await self.may.wait()
        self.said += 1


async def test_same_sentence_waits_once(clock: FakeClock) -> None:
    """However often somebody writes while it waits for its turn; somebody else hears it, too."""
    side_notices, mouth = SideNotices(clock), Mouth()
    async with asyncio.TaskGroup() as group:
        for who in ("ann", "ann", "bob", "ann"):
            group.create_task(side_notices.say(("refused", who), mouth))
        await settle()
        mouth.may.set()

    assert mouth.said == 2


async def test_same_sentence_may_be_said_again_after_a_while(clock: FakeClock) -> None:
    """Not within seconds; then it may be news."""
    side_notices, mouth = SideNotices(clock), Mouth()
    mouth.may.set()
    said = []
    for passed_s in (0.0, AGAIN_AFTER_S - 1, 2.0):
        await clock.advance(passed_s)
        await side_notices.say(("refused", "ann"), mouth)
        said.append(mouth.said)

    assert said == [1, 1, 2]


async def test_sentence_that_was_not_said_may_be_tried_at_once(clock: FakeClock) -> None:
    """A platform that took nothing is no reason to keep silent."""
    side_notices, mouth = SideNotices(clock), Mouth()
    mouth.may.set()

    async def fails() -> None:
        raise SurfaceBusy("not now")

    with pytest.raises(SurfaceBusy):
        await side_notices.say(("refused", "ann"), fails)
    await side_notices.say(("refused", "ann"), mouth)

    assert mouth.said == 1


async def test_waiting_sentences_are_bounded(clock: FakeClock) -> None:
    """What would be said minutes later is left out."""
    side_notices, mouth = SideNotices(clock), Mouth()
    async with asyncio.TaskGroup() as group:
        for number in range(MOST_WAITING + 5):
            group.create_task(side_notices.say(("refused", str(number)), mouth))
        await settle()
        mouth.may.set()

    assert mouth.said == MOST_WAITING
