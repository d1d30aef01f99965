"""The surface that a reply is shown through, and the adapter behind it."""

from __future__ import annotations

import asyncio

import pytest

from core.domain.errors import SurfaceGone, SurfaceRejected
from core.domain.incoming import Attachment
from core.ports.platform import Controls, Shown
from core.ports.storage import ShownTurn
from tests.adapters.web.house import House

GROWING = Controls("r1", stop=True)
DONE = Controls("r1", finished=True)


async def surface_of(house: House, reply_id: str = "r1"):
    return await house.adapter.surface(house.incoming(), reply_id, None)


def shown_html(house: House, reply_id: str = "r1") -> str:
    view = house.adapter.hub.view(reply_id)
    return "".join(view.blocks) if view else ""


async def test_posting_and_editing_are_absolute(house):
    """The same page posted twice, or edited to the same text, stands once."""
    surface = await surface_of(house)
    first = await surface.post(0, Shown("Hello", controls=GROWING), "n")
    again = await surface.post(0, Shown("Hello", controls=GROWING), "n")
    await surface.edit(first, 0, Shown("Hello **there**", final=True, controls=DONE))

    assert first == again
    assert shown_html(house) == "<p>Hello <strong>there</strong></p>\n"
    assert house.adapter.hub.view("r1").final


async def test_pages_stand_in_order_and_can_be_taken_back(house):
    """Two pages read as one text; a page that a shorter answer no longer needs goes."""
    surface = await surface_of(house)
    await surface.post(0, Shown("one"), "n0")
    ref = await surface.post(1, Shown("two", footer="note"), "n1")
    assert shown_html(house) == "<p>one</p>\n<p>two</p>\n"

    await surface.remove(ref, 1)

    assert shown_html(house) == "<p>one</p>\n"


async def test_find_knows_what_this_process_shows(house):
    """A page is found after it was posted; of an earlier process nothing is found, and posting again is safe."""
    surface = await surface_of(house)
    assert await surface.find(0, "n0") is None
    ref = await surface.post(0, Shown("one"), "n0")

    assert await surface.find(0, "n0") == ref
    assert await surface.find(1, "n1") is None


async def test_a_recovered_reply_is_edited_without_having_been_posted(house):
    """After a restart an edit of a page that this process never saw shows it."""
    surface = await surface_of(house)

    await surface.edit("r1.0", 0, Shown("whole answer", final=True))

    assert shown_html(house) == "<p>whole answer</p>\n"


async def test_an_answer_that_is_written_anew_begins_empty(house):
    """Regenerating takes the old text off the screen at once; a reply that only paused keeps it."""
    surface = await surface_of(house)
    await surface.post(0, Shown("waiting", controls=GROWING), "n0")
    await (await surface_of(house)).busy(True)
    assert shown_html(house) == "<p>waiting</p>\n"

    await surface.edit("r1.0", 0, Shown("old", final=True, controls=DONE))
    await (await surface_of(house)).busy(True)

    assert shown_html(house) == ""
    assert house.adapter.hub.view("r1").final is False


async def test_a_long_page_is_rendered_beside_the_loop(house):
    """Other tasks run while a long text is rendered."""
    surface = await surface_of(house)
    text = "```python\n" + "def f(x): return x  # note\n" * 800 + "```"
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await surface.post(0, Shown(text), "n0")
    counting.cancel()

    assert turns > 3
    assert 'class="k-k"' in shown_html(house)


async def test_an_attached_file_is_kept_and_linked(house):
    """A file of the bot's own lies in the blobs and stands under the reply."""
    surface = await surface_of(house)

    ref = await surface.attach("answer.md", b"# all of it", "the whole answer")

    assert house.blobs.kept[ref] == b"# all of it"
    assert [file.name for file in house.adapter.hub.view("r1").files] == ["answer.md"]
    async with house.http.get(f"{house.url}/page/files/{ref}") as response:
        assert await response.read() == b"# all of it"
        assert response.headers["Content-Disposition"] == "attachment"
        assert response.headers["Content-Type"] == "application/octet-stream"


async def test_without_blobs_a_file_is_refused(house):
    """Where nothing can be kept the surface says so as a platform would."""
    house.adapter.blobs = None

    with pytest.raises(SurfaceRejected):
        await (await surface_of(house)).attach("a", b"b", "")


async def test_figures_follow_as_soon_as_they_are_stored(house):
    """A closed surface is looked up in the store, patiently, and its figures are shown."""
    surface = await surface_of(house)
    incoming = house.incoming()
    with house.adapter.hub.watch(incoming.conversation) as watcher:
        await surface.post(0, Shown("done", final=True, controls=DONE), "n0")
        await surface.close()
        await watcher.news(1)
        house.conversations.put(
            incoming.conversation,
            ShownTurn(incoming.message_id, "r1", "assistant", "done", 1.0, "answered", (), {"model": "m"}),
        )

        assert b'"facts":{"model":"m"}' in await watcher.news(5)


async def test_uploads_are_fetched_from_the_blobs_only(house):
    """What was uploaded streams from the blobs; anything else is gone."""
    ref = await house.blobs.put(b"x" * 100_000, mime="text/plain", owner=house.incoming().user)

    def stored(ref: str):
        return house.adapter.fetch(Attachment("text", "text/plain", "a.txt", 1, ref), house.incoming())

    assert b"".join([chunk async for chunk in stored(ref)]) == b"x" * 100_000
    for wrong in ("https://evil.example/x", "blob:" + "0" * 64):
        with pytest.raises(SurfaceGone):
            [chunk async for chunk in stored(wrong)]
