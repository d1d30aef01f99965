"""The pure decisions: who is addressed, who may ask, what an error means, what a header says."""

from __future__ import annotations

import aiohttp
import discord
import pytest

from adapters.discord.allow import allows
from adapters.discord.buckets import Buckets
from adapters.discord.controls import TEMPLATE, Control
from adapters.discord.failures import (
    Forbidden,
    NotSeen,
    ReplyRefused,
    ThreadArchived,
    TokenGone,
    fatal,
    surface_error,
)
from adapters.discord.message import DiscordFile, DiscordMessage, Forward
from adapters.discord.parse import Ignored, attachments, incoming, kind_of, trigger
from adapters.discord.settings import DiscordSettings
from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected
from core.domain.incoming import ConversationKey
from tests.adapters.discord.conftest import Ear

ME = 1
ADA = 2
BOB = 3


def message(**changes: object) -> DiscordMessage:
    given: dict[str, object] = {"id": 100 << 22, "channel": 7, "author": ADA, "guild": 5, "content": "hi", **changes}
    return DiscordMessage(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"mentions": frozenset({ME})}, "mention"),
        ({"guild": None}, "direct"),
        ({"replied": message(author=ME)}, "reply"),
        ({"thread": True}, "thread"),
        ({"thread": True, "mentions": frozenset({BOB})}, Ignored("not_addressed")),
        ({"thread": True, "reply_to": 9, "replied": message(author=BOB)}, Ignored("not_addressed")),
        ({"bot": True, "mentions": frozenset({ME})}, Ignored("bot")),
        ({"system": True, "guild": None}, Ignored("system")),
        ({"thread": True, "role_mentions": frozenset({8})}, Ignored("not_addressed")),
        ({"thread": True, "everyone": True}, Ignored("not_addressed")),
        ({"role_mentions": frozenset({8}), "own_roles": frozenset({(8, ME)})}, "mention"),
        ({"thread": True, "role_mentions": frozenset({8}), "own_roles": frozenset({(8, ME)})}, "mention"),
        ({"role_mentions": frozenset({8}), "own_roles": frozenset({(8, BOB)})}, Ignored("not_addressed")),
        ({"role_mentions": frozenset({8})}, Ignored("not_addressed")),
        ({"content": "<@&8>", "own_roles": frozenset({(8, ME)})}, Ignored("bare")),
        ({"content": "", "own_roles": frozenset({(8, ME)})}, Ignored("withheld")),
        ({"content": f"<@{ME}>", "mentions": frozenset({ME})}, Ignored("bare")),
        ({"content": f"<@{ME}>", "mentions": frozenset({ME}), "stickers": ("wave",)}, "mention"),
        ({"content": f"<@{ME}>", "mentions": frozenset({ME}), "replied": message(author=BOB)}, "mention"),
        ({"content": "", "guild": None}, Ignored("unreadable")),
        ({"content": "", "replied": message(author=ME)}, Ignored("unreadable")),
        ({"content": "", "thread": True}, Ignored("unreadable")),
        ({}, Ignored("not_addressed")),
    ],
)
def test_who_is_addressed(changes: dict[str, object], found: object) -> None:
    """A table of messages and how each speaks to the bot."""
    assert trigger(message(**changes), ME) == found


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<@1> hello", "hello"),
        ("<@!1>, hello", "hello"),
        ("hey <@1> you", "hey you"),
        ("hello <@1>", "hello"),
        ("<@1>\n```py\nx\n```", "```py\nx\n```"),
        ("<@12> hello", "<@12> hello"),
        ("<@&8> hello", "hello"),
        ("<@&8>, ask <@&9>", "ask <@&9>"),
    ],
)
def test_own_mention_is_removed(text: str, left: str) -> None:
    """By name in both forms, or by the bot's own role, wherever they stand; other people's and roles' stay."""
    own = frozenset({(8, ME), (9, BOB)})

    assert incoming(message(content=text, own_roles=own), ME, None).text == left


def test_custom_emoji_are_read_by_name() -> None:
    """Their ids mean nothing to a model."""
    found = incoming(message(content="nice <:tern:123456789012345678> <a:spin:123456789012345678>"), ME, None)

    assert found.text == "nice :tern: :spin:"


def test_reply_into_a_known_conversation_goes_on_there() -> None:
    """In a server's channel the reply chain is the conversation."""
    known = ConversationKey("discord", "5", "7", "42")

    assert incoming(message(reply_to=41, replied=message(author=ME)), ME, known).conversation == known


def test_edit_is_another_event_of_the_same_message() -> None:
    """The edit's time makes its event id, so that a repeated edit event is recognised."""
    first, edited = incoming(message(), ME, None), incoming(message(edited="2026-01-01"), ME, None)

    assert first.message_id == edited.message_id
    assert first.event_id != edited.event_id


def test_address_of_a_file_is_kept_without_its_signature() -> None:
    """What is stored is channel, message and path."""
    file = DiscordFile(9, "a.png", "image/png", 3, None, "https://cdn.discordapp.com/attachments/7/9/a.png?ex=1&hm=2")

    [kept] = attachments((file,), message())

    assert kept.ref == f"7/{100 << 22}:/attachments/7/9/a.png"
    assert "hm=" not in repr(file)


@pytest.mark.parametrize(
    ("name", "mime", "kind"),
    [
        ("a.png", "", "image"),
        ("voice-message.ogg", "audio/ogg", "audio"),
        ("a.py", "text/x-python", "text"),
        ("a.json", "application/json", "text"),
        ("a.pdf", "application/pdf", "file"),
        ("a", "", "file"),
    ],
)
def test_kind_of_a_file(name: str, mime: str, kind: str) -> None:
    """By its type, else by its name."""
    assert kind_of(DiscordFile(1, name, mime, 1, None, "")) == kind


def test_forward_of_a_forward_keeps_its_words() -> None:
    """What is quoted includes what it forwards itself."""
    replied = message(author=BOB, content="", forwards=(Forward("the words", (), ()),))

    [quote] = incoming(message(replied=replied, reply_to=9), ME, None).quotes

    assert quote.text == "the words"


# --- who may ask


@pytest.mark.parametrize(
    ("lists", "place", "allowed"),
    [
        ({}, {"guild": 5}, True),
        ({"allow_guilds": {5}}, {"guild": 5}, True),
        ({"allow_guilds": {6}}, {"guild": 5}, False),
        ({"allow_channels": {7}}, {"guild": 5, "channel": 7}, True),
        ({"allow_channels": {7}}, {"guild": 5, "channel": 8, "parent": 7}, True),
        ({"allow_channels": {7}}, {"guild": 5, "channel": 8}, False),
        ({"allow_users": {ADA}}, {"guild": 5}, True),
        ({"allow_users": {BOB}}, {"guild": 5}, False),
        ({"allow_users": {BOB}, "allow_roles": {9}}, {"guild": 5, "roles": frozenset({9})}, True),
        ({"allow_roles": {9}}, {"guild": 5}, False),
        ({"allow_by_channel": {7: {ADA}}}, {"guild": 5, "channel": 7}, True),
        ({"allow_by_channel": {7: {BOB}}}, {"guild": 5, "channel": 8, "parent": 7}, False),
        ({"allow_by_channel": {7: {9}}}, {"guild": 5, "channel": 7, "roles": frozenset({9})}, True),
        ({"allow_by_channel": {7: {BOB}}}, {"guild": 5, "channel": 8}, True),
        ({"allow_guilds": {6}}, {}, True),
        ({"allow_dms": "nobody"}, {}, False),
        ({"allow_dms": "listed"}, {}, False),
        ({"allow_dms": "listed", "allow_users": {ADA}}, {}, True),
    ],
)
def test_who_may_ask(lists: dict[str, object], place: dict[str, object], allowed: bool) -> None:
    """A table of lists and places."""
    settings = DiscordSettings("t", **{k: frozenset(v) if isinstance(v, set) else v for k, v in lists.items()})  # type: ignore[arg-type]

    assert allows(settings, user=ADA, **place) is allowed  # type: ignore[arg-type]


def test_shards_without_their_count_are_a_mistake() -> None:
    """Which server belongs to which shard depends on the count."""
    with pytest.raises(ValueError, match="shard_count"):
        DiscordSettings("t", shard_ids=(0,))


# --- errors


class Response:
    """As much of an aiohttp response as the library's errors look at."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status = status
        self.reason = "why"
        self.headers = headers


def refused(status: int, code: int = 0, text: str = "") -> discord.HTTPException:
    return discord.HTTPException(Response(status), {"code": code, "message": text})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (refused(404, 10003), SurfaceGone),
        (refused(404, 10008), SurfaceGone),
        (refused(404, 10015), TokenGone),
        (refused(401, 50027), TokenGone),
        (refused(403, 50001), NotSeen),
        (refused(403, 50013), Forbidden),
        (refused(403, 50007), SurfaceGone),
        (refused(400, 50083), ThreadArchived),
        (refused(400, 160005), SurfaceGone),
        (refused(400, 30046), SurfaceBusy),
        (refused(400, 160002), ReplyRefused),
        (refused(400, 50035, "Must be 2000 or fewer in length."), SurfaceRejected),
        (refused(413, 40005), SurfaceRejected),
        (refused(400, 200000), SurfaceRejected),
        (refused(503), SurfaceBusy),
        (refused(429), SurfaceBusy),
        (aiohttp.ServerDisconnectedError(), SurfaceBusy),
        (ConnectionResetError(104, "reset"), SurfaceBusy),
        (RuntimeError("Session is closed"), SurfaceBusy),
        (ValueError("?"), SurfaceRejected),
    ],
    ids=str,
)
def test_what_an_error_means(error: Exception, meaning: type[SurfaceError]) -> None:
    """A table of what the library raises and what it becomes."""
    assert type(surface_error(error, posting=True)) is meaning


@pytest.mark.parametrize("status", [400, 413])
def test_too_long_is_told_apart(status: int) -> None:
    """A shorter page would pass."""
    error = refused(status, 50035 if status == 400 else 40005, "Must be 2000 or fewer in length.")

    failure = surface_error(error, posting=True)

    assert isinstance(failure, SurfaceRejected)
    assert failure.too_long


def test_only_a_lost_post_is_unsure() -> None:
    """An edit may be repeated without asking."""
    assert getattr(surface_error(refused(503), posting=True), "unsure", None) is True
    assert getattr(surface_error(refused(503), posting=False), "unsure", None) is False


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013])
def test_final_closes_are_named(code: int) -> None:
    """No new attempt helps, so each says what to change."""

    class Socket:
        close_code = code

    error = discord.ConnectionClosed(Socket(), shard_id=0, code=code)  # type: ignore[arg-type]
    final = fatal(error)

    assert final is not None
    assert str(code)[:3] in str(final)


def test_other_failures_are_not_final() -> None:
    """An outage passes."""
    assert fatal(discord.GatewayNotFound()) is None


# --- headers, buttons


def test_an_answer_without_headers_tells_of_no_limit() -> None:
    """Routes without a limit have none, which is worth knowing; what nobody paces is left aside."""
    ear = Ear()
    Buckets(ear).read("edit", "7", {})
    Buckets(ear).read("other", "7", {"X-RateLimit-Remaining": "0"})

    assert ear.heard == [("discord:7:edit", None, 0.0, None)]


def test_global_refusal_stops_everything() -> None:
    """A global 429 is told under the bot's own bucket."""
    ear = Ear()
    Buckets(ear).refused("edit", "7", 1.5, everywhere=True)

    assert ear.heard == [("discord:global", 0, 1.5, None)]


async def test_longest_button_id_fits() -> None:
    """A custom_id has at most a hundred characters and finds its way back."""
    control = Control("thumbs_down", "r" * 60, "1" * 20)

    assert len(control.custom_id) <= 100
    assert control.template.pattern == TEMPLATE
