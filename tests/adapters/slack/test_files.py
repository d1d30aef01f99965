"""Fetching what somebody attached: only from Slack's hosts, the token nowhere else, and no login page for a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from adapters.slack.files import Files
from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, TooLarge, Unfetchable
from core.domain.incoming import Attachment, Incoming
from core.net.guarded_fetch import GuardedFetcher
from tests.adapters.slack.conftest import House, open_house
from tests.fakes.names import Names
from tests.fakes.slack import FakeSlack, Fault
from tests.fakes.slack.server import LOGIN_PAGE, File

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 1_000


@pytest.fixture
async def house(slack: FakeSlack) -> AsyncIterator[House]:
    """One transport is enough here: what is tested goes over the Web API alone."""
    async with open_house(slack) as open_one:
        yield open_one


async def shared(house: House, *files: File) -> Incoming:
    house.slack.say("U1", "<@U0TERN> look", files=files)
    await house.settle()
    return house.intake.accepted[-1]


async def read(house: House, incoming: Incoming, attachment: Attachment | None = None) -> bytes:
    chunks = house.adapter.fetch(attachment or incoming.attachments[0], incoming)
    return b"".join([chunk async for chunk in chunks])


async def test_a_file_is_fetched_with_the_token(house: House) -> None:
    """The bytes come from Slack's own host, with the bot token."""
    incoming = await shared(house, File("F1", "a.png", "image/png", PNG))

    assert await read(house, incoming) == PNG
    assert house.slack.file_requests[-1][1] == f"Bearer {house.slack.valid_bot_token}"


async def test_a_slack_connect_file_is_described_first(house: House) -> None:
    """A file that arrives as "check_file_info" is fetched all the same."""
    incoming = await shared(house, File("F1", "a.png", "image/png", PNG, check_file_info=True))

    assert await read(house, incoming) == PNG


async def test_the_login_page_is_recognised(house: House) -> None:
    """With a wrong scope Slack answers 200 and its login page; that is no picture."""
    incoming = await shared(house, File("F1", "a.png", "image/png", serve=lambda _: page(LOGIN_PAGE)))

    with pytest.raises(Unfetchable, match="login page"):
        await read(house, incoming)


async def test_a_login_page_without_end_is_recognised_by_its_beginning(house: House) -> None:
    """The first bytes are enough; nobody waits for the rest, and none of it is handed on."""

    async def endless() -> AsyncIterator[bytes]:
        yield LOGIN_PAGE.ljust(1_000)
        await asyncio.Event().wait()

    incoming = await shared(house, File("F1", "a.png", "image/png", serve=lambda _: endless()))

    with pytest.raises(Unfetchable, match="login page"):
        await read(house, incoming)


async def test_a_file_is_handed_on_as_it_comes(house: House) -> None:
    """The first bytes are there while Slack still holds the rest back."""
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield PNG
        await go_on.wait()
        yield b"rest"

    incoming = await shared(house, File("F1", "a.png", "image/png", serve=lambda _: slow()))
    chunks = house.adapter.fetch(incoming.attachments[0], incoming)

    first = await anext(chunks)
    go_on.set()

    assert (first, b"".join([chunk async for chunk in chunks])) == (PNG, b"rest")


async def test_a_file_host_that_is_down_may_be_asked_again(house: House) -> None:
    """An outage is the platform's trouble and passes."""
    incoming = await shared(house, File("F1", "a.png", "image/png", serve=lambda _: web.Response(status=503)))

    with pytest.raises(SurfaceBusy):
        await read(house, incoming)


async def test_a_slack_name_with_a_private_address_is_not_asked(house: House) -> None:
    """DNS rebinding: a name below slack.com that answers with an address of this network gets no request, no token."""
    incoming = await shared(house, File("F1", "a.png", "image/png", PNG, url="https://files.slack.com/a.png"))
    names = Names(files_slack_com=["169.254.169.254"])
    settings = house.adapter._settings

    async with GuardedFetcher(resolver=names) as fetcher:
        with pytest.raises(SurfaceBusy):
            await anext(Files(settings, house.adapter._api, fetcher).fetch(incoming.attachments[0]))

    assert names.asked == ["files.slack.com"]


async def test_a_login_page_in_disguise_is_recognised(house: House) -> None:
    """The type of the answer may be anything: the body is looked at."""
    incoming = await shared(
        house, File("F1", "a.png", "image/png", serve=lambda _: page(b"\n  <HTML>sign in", "image/png"))
    )

    with pytest.raises(Unfetchable):
        await read(house, incoming)


async def test_an_html_file_is_a_file(house: House) -> None:
    """Somebody's own HTML is not mistaken for the login page."""
    content = b"<!DOCTYPE html><html><body>My recipe</body></html>"
    incoming = await shared(house, File("F1", "recipe.html", "text/html", content))

    assert await read(house, incoming) == content


async def test_a_file_that_says_it_is_too_large_is_not_asked_for(slack: FakeSlack) -> None:
    """The announced size is enough to decline."""
    async with open_house(slack, max_attachment_bytes=10_000) as house:
        incoming = await shared(house, File("F1", "a.png", "image/png", PNG, size=20_000))

        with pytest.raises(TooLarge):
            await read(house, incoming)
        assert slack.file_requests == []


async def test_an_endless_file_is_cut_off(slack: FakeSlack) -> None:
    """A file that is larger than it said stops at the limit."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"0" * 4_096

    async with open_house(slack, max_attachment_bytes=100_000) as house:
        incoming = await shared(house, File("F1", "a.png", "image/png", serve=lambda _: endless(), size=10))

        with pytest.raises(TooLarge):
            await read(house, incoming)


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data", "https://10.0.0.1/x", "https://example.org/x", "file:///etc/passwd",
     "https://files.slack.com.example.org/x", "https://user@files.slack.com/x"],
)  # fmt: skip
async def test_redirects_elsewhere_are_not_followed(house: House, target: str) -> None:
    """Neither a private address nor another's host gets a request, the token least of all."""

    def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    incoming = await shared(house, File("F1", "a.png", "image/png", serve=redirect))

    with pytest.raises(Unfetchable):
        await read(house, incoming)


async def test_a_redirect_between_slacks_hosts_keeps_the_token(house: House) -> None:
    """Files move between Slack's hosts and need the token again on each."""
    origin = house.slack.origin
    house.slack.files["F2"] = File("F2", "b.png", "image/png", PNG)

    def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{origin}/files/F2/b.png"})

    incoming = await shared(house, File("F1", "a.png", "image/png", serve=redirect))

    assert await read(house, incoming) == PNG


@pytest.mark.parametrize("url", ["https://example.org/a.png", "http://files.slack.com/a.png", "ftp://x/a"])
async def test_a_file_that_lies_elsewhere_is_not_fetched(house: House, url: str) -> None:
    """What an event calls a file's address is checked like a redirect, before any request."""
    incoming = await shared(house, File("F1", "a.png", "image/png", PNG, url=url))

    with pytest.raises(Unfetchable):
        await read(house, incoming)


@pytest.mark.parametrize(
    ("transcription", "said"),
    [
        ({"status": "complete", "preview": {"content": "Hello there", "has_more": False}}, "Hello there"),
        ({"status": "complete", "preview": {"content": "Hello there", "has_more": True}}, "Hello there …"),
        ({"status": "processing"}, ""),
        ({"status": "complete"}, ""),
        (None, ""),
    ],
)
async def test_slacks_own_words_for_a_clip(house: House, transcription: dict[str, object] | None, said: str) -> None:
    """Slack's preview is there for who cannot hear the clip; it is short, late, or not there at all."""
    clip = File("F9", "audio_message.mp4", "video/mp4", b"..", subtype="slack_audio", transcription=transcription)
    house.slack.files["F9"] = clip
    attachment = Attachment("audio", "audio/mp4", "audio_message.m4a", 2, "F9")

    incoming = await house.asked()

    assert await house.adapter.captions(attachment, incoming) == said
    assert await house.adapter.captions(replace(attachment, ref="F404"), incoming) == ""


async def test_a_deleted_file_is_gone(house: House) -> None:
    """A file that Slack no longer knows."""
    incoming = await shared(house, File("F1", "a.png", "image/png", PNG))
    house.slack.files.clear()

    with pytest.raises(SurfaceGone):
        await read(house, incoming)


async def test_trouble_with_files_info_is_the_platforms(house: House) -> None:
    """A refused files.info is a SurfaceError like any other."""
    incoming = await shared(house, File("F1", "a.png", "image/png", PNG))
    house.slack.fault("files.info", Fault(error="missing_scope"))

    with pytest.raises(SurfaceError):
        await read(house, incoming)


def page(body: bytes, mime: str = "text/html") -> web.StreamResponse:
    return web.Response(body=body, content_type=mime)


async def test_files_before_the_connection(slack: FakeSlack) -> None:
    """A run that is taken up before Slack is connected is told to come back."""
    async with open_house(slack) as house:
        incoming = await shared(house, File("F1", "a.png", "image/png", PNG))
        house.task.cancel()
        await asyncio.wait({house.task})

        with pytest.raises(SurfaceError):
            await read(house, incoming)
