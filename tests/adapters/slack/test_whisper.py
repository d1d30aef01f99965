"""Answers through a response_url: five uses, one person, no second chance."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.errors import SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected
from core.ports import ReplyCapability, Shown, Surface
from tests.adapters.slack.conftest import House, open_house
from tests.fakes.slack import FakeSlack, Fault, Place


@pytest.fixture
async def house(slack: FakeSlack) -> AsyncIterator[House]:
    """A private question waits for its answer."""
    slack.place(Place("C7", "channel", bot_is_member=False))
    async with open_house(slack) as open_one:
        await slack.command("U1", "ask hello", channel="C7").over()
        yield open_one


async def surface_of(house: House, capability: ReplyCapability | None = None) -> Surface:
    right = capability or house.intake.capabilities["reply1"]
    return await house.adapter.surface(house.intake.accepted[0], "reply1", right)


async def test_the_placeholder_is_replaced(house: House) -> None:
    """An edit replaces what was whispered first; only the asker ever sees either."""
    surface = await surface_of(house)

    ref = await surface.post(0, Shown("One moment"), "n")
    await surface.edit(ref, 0, Shown("Here it is", final=True))

    assert [message.shown for message in house.slack.whispers("U1")] == ["Here it is"]
    assert house.slack.answers("C7") == []


async def test_a_sixth_use_is_gone(house: House) -> None:
    """After five uses nothing more can be said there."""
    surface = await surface_of(house)
    for page in range(5):
        await surface.post(page, Shown(f"page {page}"), "n")

    with pytest.raises(SurfaceGone):
        await surface.post(5, Shown("one too many"), "n")


async def test_an_earlier_page_cannot_be_replaced(house: House) -> None:
    """replace_original means the newest message; replacing another would destroy it."""
    surface = await surface_of(house)
    first = await surface.post(0, Shown("one"), "n")
    await surface.post(1, Shown("two"), "n")

    with pytest.raises(SurfaceRejected):
        await surface.edit(first, 0, Shown("changed"))


async def test_a_refused_layout_goes_out_plain(house: House) -> None:
    """A table that Slack refuses is whispered as text."""
    table = "| n |\n| --- |\n" + "".join(f"| {n} |\n" for n in range(150))
    surface = await surface_of(house)

    await surface.post(0, Shown(table, final=True), "n")

    assert "149" in house.slack.whispers("U1")[0].shown


@pytest.mark.parametrize(
    ("fault", "kind", "unsure"),
    [
        (Fault(status=500), SurfaceBusy, True),
        (Fault(status=429), SurfaceBusy, False),
        (Fault(drop=True), SurfaceBusy, True),
        (Fault(status=404, error="expired_url"), SurfaceGone, False),
    ],
)
async def test_what_each_failure_means(house: House, fault: Fault, kind: type[SurfaceError], unsure: bool) -> None:
    """Refused, lost or over: each is told apart, and the address stands in no error."""
    surface = await surface_of(house)
    house.slack.fault("response_url", fault)

    with pytest.raises(kind) as raised:
        await surface.post(0, Shown("hello"), "n")

    assert getattr(raised.value, "unsure", False) == unsure
    assert "/response/" not in f"{raised.value!r} {raised.value.__cause__!r}"


async def test_what_cannot_be_done_is_harmless(house: House) -> None:
    """Nothing is found again, taken back or shown as busy."""
    surface = await surface_of(house)

    await surface.busy(True)
    await surface.remove("whisper:1", 1)
    await surface.close()

    assert await surface.find(0, "n") is None
