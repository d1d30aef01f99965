"""What core/delivery relies on, asked of every surface there is: core/ports/, `Surface`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.domain.errors import SurfaceGone, SurfaceRejected
from core.ports.platform import Controls, Shown
from tests.contract.stands import STANDS, Stand

GROWING, DONE = Controls("reply1", stop=True), Controls("reply1", finished=True)


@pytest.fixture(params=STANDS)
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    async with STANDS[request.param]() as one:
        yield one
        await one.surface.close()
        await one.surface.close()


async def test_text_is_absolute(stand: Stand) -> None:
    """A page grows by being shown whole again; the same page shown again, final too, changes nothing."""
    surface = stand.surface
    ref = await surface.post(0, Shown("Terns", controls=GROWING), "reply1-0")
    for text in ("Terns are", "Terns are", "Terns are birds."):
        await surface.edit(ref, 0, Shown(text, controls=GROWING))
    for _ in range(2):
        await surface.edit(ref, 0, Shown("Terns are birds.", final=True, controls=DONE))

    assert stand.pages() == ["Terns are birds."]


async def test_other_text_takes_the_place_of_what_stood_there(stand: Stand) -> None:
    """A model that begins again, or an error in place of half an answer, leaves nothing of the old text."""
    ref = await stand.surface.post(0, Shown("Terns are fish", controls=GROWING), "reply1-0")
    await stand.surface.edit(ref, 0, Shown("Birds.", final=True))

    (page,) = stand.pages()
    assert page.endswith("Birds.")
    if not stand.appends:
        assert page == "Birds."


async def test_a_page_is_never_doubled(stand: Stand) -> None:
    """Who does not know whether a page stands asks for it; posting it again is for where nothing is found."""
    shown = Shown("Terns.", controls=GROWING)
    await stand.surface.post(0, shown, "reply1-0")

    ref = await stand.surface.find(0, "reply1-0") or await stand.surface.post(0, shown, "reply1-0")
    await stand.surface.edit(ref, 0, Shown("Terns.", final=True))

    assert stand.pages() == ["Terns."]


async def test_pages_follow_each_other_and_are_taken_back(stand: Stand) -> None:
    """A second page stands after the first. Taking it back twice is harmless, and the first stays."""
    surface = stand.surface
    if surface.limits.max_chars >= 10**9:
        pytest.skip("there is only ever one page")
    await surface.post(0, Shown("first", final=True), "reply1-0")
    second = await surface.post(1, Shown("second", final=True, controls=DONE), "reply1-1")
    assert stand.pages() == ["first", "second"]

    if not isinstance(surface.limits.max_edits, int):  # a private answer cannot take anything back
        for _ in range(2):
            await surface.remove(second, 1)
        assert stand.pages() == ["first"]


async def test_too_much_is_refused_or_shown_whole(stand: Stand) -> None:
    """No platform cuts a page in silence: SurfaceRejected says that a shorter one would pass."""
    text = "x" * 60_000
    if stand.refuses_long:
        with pytest.raises(SurfaceRejected) as refusal:
            await stand.surface.post(0, Shown(text, final=True), "reply1-0")
        assert refusal.value.too_long
        assert stand.pages() == []
    else:
        await stand.surface.post(0, Shown(text, final=True), "reply1-0")
        assert stand.pages() == [text]


async def test_the_longest_page_passes(stand: Stand) -> None:
    """What `limits` promise holds: a page of just that length, of characters that count double elsewhere too."""
    limits = stand.surface.limits
    ref = await stand.surface.post(0, Shown("..."), "reply1-0")
    for letter in ("x", "ü", "🐦"):
        count = min(limits.max_chars, 60_000) // limits.measure(letter)
        await stand.surface.edit(ref, 0, Shown(letter * count, final=letter == "🐦"))

    assert "🐦" in stand.pages()[-1]


async def test_what_somebody_deleted_is_gone(stand: Stand) -> None:
    """A page that is no more ends the reply; nothing is tried for ever."""
    if stand.erase is None:
        pytest.skip("nobody can delete it there")
    ref = await stand.surface.post(0, Shown("Terns", controls=GROWING), "reply1-0")
    await stand.erase()

    with pytest.raises(SurfaceGone):
        await stand.surface.edit(ref, 0, Shown("Terns are birds.", final=True))


async def test_nobody_is_pinged(stand: Stand) -> None:
    """Whatever a model writes, grown or at once, below or above it."""
    text = "<!channel> <!here> @everyone @here <@U1> <@123456789012345678> <!subteam^S1> <@&123456789012345678>"
    ref = await stand.surface.post(0, Shown(text, controls=GROWING, status=text), "reply1-0")
    await stand.surface.edit(ref, 0, Shown(f"{text} {text}", final=True, footer=text))

    assert stand.pings() == []


async def test_being_busy_never_fails(stand: Stand) -> None:
    """The indicator is a nicety: where the platform refuses it the answer goes on."""
    stand.silence()

    await stand.surface.busy(True)
    await stand.surface.busy(False)
    await stand.surface.post(0, Shown("Terns", final=True), "reply1-0")

    assert stand.pages()[-1] == "Terns"


async def test_limits_stay_the_same_object(stand: Stand) -> None:
    """They are read before every write."""
    assert stand.surface.limits is stand.surface.limits
    assert stand.surface.limits.measure("") == 0
