"""Answers through a response_url: five uses, one person, no second chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected
from core.domain.runs import ReplyCapability
from core.ports.platform import Shown, Surface
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


@pytest.mark.parametrize(("replaces", "stands"), [(True, ["Here it is"]), (False, ["", "Here it is"])])
async def test_the_placeholder_gives_way_to_the_answer(house: House, replaces: bool, stands: list[str]) -> None:
    """The asker sees the whole answer once, whichever way Slack takes replace_original under a command; half an answer
    is never whispered, since it might stay."""
    house.slack.commands_replace = replaces
    surface = await surface_of(house)

    await surface.busy(True)
    await surface.busy(True)
    (placeholder,) = house.slack.whispers("U1")
    assert (placeholder.small_print, list(placeholder.buttons)) == ("_Thinking ..._", ["tern_stop"])
    await surface.post(0, Shown("Here it is", final=True), "n")

    assert [message.shown for message in house.slack.whispers("U1")] == stands
    assert house.slack.answers("C7") == []


async def test_a_placeholder_never_overtakes_the_answer(house: House) -> None:
    """When the answer was faster nothing is said above or below it, and a slow placeholder is waited for."""
    surface = await surface_of(house)
    await asyncio.gather(surface.busy(True), surface.post(0, Shown("At once", final=True), "n"), surface.busy(True))
    await surface.busy(True)

    assert [message.shown for message in house.slack.whispers("U1")] == ["At once"]


async def test_no_placeholder_for_a_later_attempt(house: House) -> None:
    """An answer that is tried again after a while uses nothing up by saying so."""
    await house.clock.sleep(11)
    surface = await surface_of(house)

    await surface.busy(True)

    assert house.slack.whispers("U1") == []


async def test_an_answer_whose_post_is_unsure_stands_once(house: House) -> None:
    """Nobody can ask Slack what a response_url said; taking the first page's place shows it once, lost or not."""
    surface = await surface_of(house)
    house.slack.fault("response_url", Fault(drop=True))
    with pytest.raises(SurfaceBusy):
        await surface.post(0, Shown("whole", final=True), "n")

    ref = await surface.find(0, "n")
    assert ref
    for _ in range(2):
        await surface.edit(ref, 0, Shown("whole", final=True))

    assert [message.shown for message in house.slack.whispers("U1")] == ["whole"]
    assert await surface.find(1, "n") is None


async def test_waiting_uses_nothing_up(house: House) -> None:
    """An answer that waits for a model says so once; its uses are kept for the end."""
    surface = await surface_of(house)
    ref = await surface.post(0, Shown("No model can answer just now."), "n")

    for _ in range(9):
        await surface.edit(ref, 0, Shown("No model can answer just now. I keep trying."))
    await surface.edit(ref, 0, Shown("Here it is", final=True))

    assert [message.shown for message in house.slack.whispers("U1")] == ["Here it is"]
    assert house.slack.count("response_url") == 2


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
    """Nothing is taken back, and nothing has to be closed."""
    surface = await surface_of(house)

    await surface.busy(False)
    await surface.remove("whisper:1", 1)
    await surface.close()

    assert house.slack.whispers("U1") == []
