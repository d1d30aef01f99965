"""An id that the asker chose is looked up with the asker's rights, and what Slack delivers once is kept first."""

from __future__ import annotations

import pytest

from core.domain.errors import SurfaceGone
from core.domain.incoming import UserKey
from tests.adapters.slack.conftest import House, open_house
from tests.fakes.slack import FakeSlack, Fault, Person, Place
from tests.fakes.slack.server import File

CLIP = File("F1", "audio_message.mp4", "video/mp4", b"....", subtype="slack_audio", duration_ms=2_300)
PLACES = {
    "private": Place("G5", "group", members=frozenset({"U2", "U0TERN"})),
    "group message": Place("G6", "mpim", members=frozenset({"U2", "U3", "U0TERN"})),
    "somebody's direct messages": Place("D5", "im", members=frozenset({"U2"})),
    "large": Place("G7", "group", members=frozenset({f"U{n:05d}" for n in range(12_000)})),
}


def link(channel: str, ts: str) -> str:
    return f"https://terns.slack.com/archives/{channel}/p{ts.replace('.', '')}"


async def whispered(house: House, user: str = "U1") -> str:
    await house.settle()
    return "\n".join(message.shown for message in house.slack.whispers(user))


@pytest.mark.parametrize("order", ["transcribe {}", "extract {} name, price:number"])
@pytest.mark.parametrize("kind", PLACES)
async def test_others_conversations_are_not_read(house: House, kind: str, order: str) -> None:
    """The bot is there and the asker is not: the link is refused, and nothing is read."""
    place = house.slack.place(PLACES[kind])
    message = house.slack.say("U2", "the salaries: 1,000", channel=place.id, files=[CLIP], silently=True)

    await house.slack.command("U1", order.format(link(place.id, message.ts))).over()

    assert "not for both of us to read" in await whispered(house)
    assert house.intake.accepted == []
    assert house.slack.count("conversations.replies") == 0


@pytest.mark.parametrize("place", [Place("G5", "group", members=frozenset({"U1", "U2"})), Place("C5", "channel")])
async def test_what_the_asker_can_read_is_read(house: House, place: Place) -> None:
    """A member of a private channel, and a colleague in a public one, get what they point at."""
    house.slack.place(place)
    message = house.slack.say("U2", "Bread 2.50", channel=place.id, silently=True)

    await house.slack.command("U1", f"extract {link(place.id, message.ts)} name, price:number").over()
    await house.settle()

    (incoming,) = house.intake.accepted
    assert [quote.text for quote in incoming.quotes] == ["Bread 2.50"]


@pytest.mark.parametrize("user", ["U3", "U9"])
async def test_guests_and_strangers_see_their_channels_only(slack: FakeSlack, user: str) -> None:
    """For a guest, or another company's person, a public channel is as closed as a private one."""
    slack.place(Place("C5", "channel", members=frozenset({"U2"})))
    async with open_house(slack, allow_guests=True, allow_external=True) as house:
        message = slack.say("U2", "Bread 2.50", channel="C5", silently=True)

        await slack.command(user, f"extract {link('C5', message.ts)} name, price:number").over()

        assert "not for both of us" in await whispered(house, user)
        assert house.intake.accepted == []


@pytest.mark.parametrize("method", ["conversations.info", "conversations.members"])
@pytest.mark.parametrize("error", ["missing_scope", "channel_not_found", "internal_error", "fetch_members_failed"])
async def test_what_slack_does_not_tell_is_a_no(house: House, method: str, error: str) -> None:
    """Where membership cannot be learned the link is refused."""
    house.slack.place(Place("G5", "group", members=frozenset({"U1", "U2"})))
    message = house.slack.say("U2", "Bread 2.50", channel="G5", silently=True)
    house.slack.fault(method, *[Fault(error=error)] * 4)

    await house.slack.command("U1", f"extract {link('G5', message.ts)} name, price:number").over()

    assert "not for both of us" in await whispered(house)
    assert house.intake.accepted == []


# --- what Slack delivers once ---


@pytest.mark.parametrize("fault", [Fault(delay_s=20.0), Fault(status=429, retry_after_s=20)])
@pytest.mark.parametrize("text", ["ask how far is the moon?", "usage", "model quality"])
async def test_a_command_of_a_newcomer_is_kept(slack: FakeSlack, text: str, fault: Fault) -> None:
    """Nobody's name is known yet and Slack is slow to tell: the command is acknowledged and carried out."""
    async with open_house(slack) as house:
        slack.fault("users.info", fault)

        delivery = await slack.command("U1", text).over()
        assert delivery.acked

        await house.clock.sleep(120)
        if text.startswith("ask"):
            (incoming,) = house.intake.accepted
            await house.answer(incoming, ["384,400 km."])
            assert slack.answers()[0].shown == "384,400 km."
        else:
            assert len(house.commands.calls) == 1


@pytest.mark.parametrize("callback_id", ["tern_explain", "tern_transcribe"])
async def test_a_shortcut_of_a_newcomer_is_kept(slack: FakeSlack, callback_id: str) -> None:
    """Shortcuts too are delivered once."""
    async with open_house(slack) as house:
        slack.fault("users.info", Fault(delay_s=20.0))
        message = slack.say("U2", "", files=[CLIP], silently=True)

        assert (await slack.shortcut("U1", message, callback_id).over()).acked
        assert len(house.intake.accepted) == 1


async def test_a_press_of_a_newcomer_is_kept(slack: FakeSlack) -> None:
    """A press that cannot be judged yet is carried out as soon as it can."""
    async with open_house(slack) as house:
        await house.answer(await house.asked(), ["An answer."])
        intake, answer = house.intake, slack.answers()[0]
    async with open_house(slack, intake=intake) as house:
        slack.fault("users.info", Fault(delay_s=10.0))

        assert (await slack.press("U1", answer, "tern_regenerate").over()).acked
        await house.clock.sleep(30)

        assert [pressed.by for pressed in intake.pressed] == [UserKey("slack", ":T1", "U1")]


@pytest.mark.parametrize("user", ["U3", "U9"])
async def test_a_refusal_is_said_later(slack: FakeSlack, user: str) -> None:
    """A guest or stranger whose name came late is told so, and gets no answer."""
    slack.person(Person("U4", "Guy", guest=True))
    async with open_house(slack) as house:
        slack.fault("users.info", Fault(delay_s=10.0))
        await slack.command(user, "ask hello").over()
        (incoming,) = house.intake.accepted
        await house.clock.sleep(15)

        with pytest.raises(SurfaceGone):
            await house.adapter.surface(incoming, "reply1", house.intake.capabilities.get("reply1"))

        said = await whispered(house, user)
        assert "guests may not" in said or "another organisation" in said
        assert slack.answers() == []
