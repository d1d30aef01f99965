"""What becomes a question, over both transports, through the real slack-bolt and slack-sdk."""

from __future__ import annotations

import asyncio

import pytest

from core.domain.errors import StorageBusy, StorageFull
from tests.adapters.slack.conftest import House, open_house
from tests.fakes.desk import FakeIntake
from tests.fakes.slack import FakeSlack, Fault, Person, Place


async def test_a_mention_asks(house: House) -> None:
    """A mention in a channel is one question without the bot's name, to be answered in a thread under it."""
    message = house.slack.say("U1", "<@U0TERN> how far is the *moon*?")

    await house.settle()

    (incoming,) = house.intake.accepted
    assert incoming.text == "how far is the **moon**?"
    assert (incoming.conversation.channel, incoming.conversation.root) == ("C1", message.ts)
    assert incoming.address["thread"] == message.ts
    assert (incoming.speaker, incoming.locale, incoming.tz) == ("Ada", "en-GB", "Europe/London")


@pytest.mark.parametrize("first", ["message first", "mention first"])
async def test_twin_events_of_a_mention_are_one_question(house: House, first: str) -> None:
    """Slack raises app_mention and message for one mention, in any order; one question comes of it."""
    house.slack.twins = first  # type: ignore[assignment]
    house.slack.say("U1", "<@U0TERN> hello")

    await house.settle()

    assert len(house.intake.accepted) == 1
    assert len(house.intake.duplicates) == 1
    assert all(delivery.acked for delivery in house.slack.deliveries.log)


async def test_a_mention_in_a_private_channel_asks(house: House) -> None:
    """A private channel works like a public one."""
    house.slack.place(Place("G1", "group"))
    house.slack.say("U1", "<@U0TERN> hello", channel="G1")

    await house.settle()

    assert [incoming.conversation.channel for incoming in house.intake.accepted] == ["G1"]


async def test_chatter_is_left_alone(house: House) -> None:
    """A message in a channel that does not name the bot is acknowledged and nothing else."""
    house.slack.say("U1", "lunch?")

    await house.settle()

    assert house.intake.accepted == []
    assert all(delivery.acked for delivery in house.slack.deliveries.log)


async def test_a_direct_message_asks(house: House) -> None:
    """In a direct message nobody needs to name the bot; each top-level message is a thread root."""
    message = house.slack.say("U1", "hello", channel="D1")

    await house.settle()

    (incoming,) = house.intake.accepted
    assert incoming.direct
    assert incoming.conversation.root == message.ts


async def test_a_group_direct_message_needs_the_mention(house: House) -> None:
    """Among several people the bot answers when it is named, and goes on in that thread."""
    house.slack.place(Place("G7", "mpim"))
    house.slack.say("U1", "shall we meet?", channel="G7")
    asked = house.slack.say("U1", "<@U0TERN> what is on today?", channel="G7")
    await house.settle()

    house.slack.say("U2", "and tomorrow?", channel="G7", thread=asked.ts)
    await house.settle()

    assert [incoming.text for incoming in house.intake.accepted] == ["what is on today?", "and tomorrow?"]


@pytest.mark.parametrize(
    ("policy", "taken"),
    [("all", ["asker goes on", "other goes on"]), ("asker", ["asker goes on"]), ("mention", [])],
)
async def test_follow_ups(slack: FakeSlack, policy: str, taken: list[str]) -> None:
    """In a thread the bot is part of, the setting says who need not mention it again."""
    async with open_house(slack, thread_follow_ups=policy) as house:
        root = slack.say("U1", "<@U0TERN> hello")
        await house.settle()

        slack.say("U1", "asker goes on", thread=root.ts)
        slack.say("U2", "other goes on", thread=root.ts)
        await house.settle()

        assert sorted(incoming.text for incoming in house.intake.accepted[1:]) == taken


async def test_a_follow_up_does_not_overtake_its_question(slack: FakeSlack) -> None:
    """Whoever goes on at once is heard, although taking in the question waits for the asker's name."""
    slack.fault("users.info", Fault(delay_s=5.0))
    async with open_house(slack, allow_external=True, allow_guests=True) as house:
        root = slack.say("U1", "<@U0TERN> hello")
        slack.say("U1", "and one thing more", thread=root.ts)

        await house.settle()

        assert [incoming.text for incoming in house.intake.accepted] == ["hello", "and one thing more"]


async def test_a_follow_up_waits_for_a_question_that_comes_again(house: House) -> None:
    """Where the question could not be taken in, Slack is not told that we have what follows it, and brings both."""
    house.slack.fault("users.info", Fault(delay_s=5.0))
    root = house.slack.say("U1", "<@U0TERN> hello")
    await asyncio.sleep(2.0)
    house.slack.say("U1", "and one thing more", thread=root.ts)

    await house.slack.deliveries.idle()
    await house.settle()

    assert sorted(incoming.text for incoming in house.intake.accepted) == ["and one thing more", "hello"]


async def test_what_followed_a_late_question_is_read(house: House) -> None:
    """Slack lost the question's first delivery and brings it a minute later; what its asker added meanwhile was taken
    for talk among others."""
    root = house.slack.say("U1", "<@U0TERN> hello", silently=True)
    house.slack.say("U1", "and one thing more", thread=root.ts)
    await house.settle()
    assert house.intake.accepted == []

    await asyncio.sleep(60.0)
    house.slack.announce(root)
    await house.settle()

    assert [incoming.text for incoming in house.intake.accepted] == ["hello", "and one thing more"]


async def test_chatter_in_a_thread_of_others_is_acknowledged_after_a_while(house: House) -> None:
    """A question that never comes again holds nothing back for ever."""
    house.intake.fails = StorageBusy("locked")
    root = house.slack.say("U1", "<@U0TERN> hello")
    await house.slack.deliveries.idle()
    house.intake.fails = None
    await asyncio.sleep(600.0)

    house.slack.say("U2", "what was that?", thread=root.ts)
    await house.settle()

    assert house.slack.deliveries.log[-1].acked


async def test_a_follow_up_to_somebody_else_is_left_alone(house: House) -> None:
    """A message in the bot's thread that begins with a colleague's name is meant for the colleague."""
    root = house.slack.say("U1", "<@U0TERN> hello")
    await house.settle()

    house.slack.say("U1", "<@U2> what do you think?", thread=root.ts)
    await house.settle()

    assert len(house.intake.accepted) == 1


async def test_a_thread_without_the_bot_is_left_alone(house: House) -> None:
    """Replies in a thread that the bot has no part in are not questions."""
    root = house.slack.say("U1", "lunch?")
    house.slack.say("U2", "yes", thread=root.ts)

    await house.settle()

    assert house.intake.accepted == []


async def test_mentioned_colleagues_get_their_names(house: House) -> None:
    """The model reads "@Bob", not an id."""
    house.slack.say("U1", "<@U0TERN> write to <@U2> in <#C1|general>")

    await house.settle()

    assert house.intake.accepted[0].text == "write to @Bob in #general"


async def test_an_edit_that_adds_the_mention_asks(house: House) -> None:
    """Whoever forgot the mention adds it by an edit."""
    message = house.slack.say("U1", "how far is the moon?")
    await house.settle()

    house.slack.edit(message, "<@U0TERN> how far is the moon?")
    await house.settle()

    (incoming,) = house.intake.accepted
    assert incoming.message_id == message.ts
    assert incoming.text == "how far is the moon?"


async def test_an_edited_question_is_answered_anew(house: House) -> None:
    """Editing the question revises it, once, and other changes of the message do not."""
    message = house.slack.say("U1", "<@U0TERN> 2+2?")
    await house.settle()

    house.slack.edit(message, "<@U0TERN> 2+3?")
    house.slack.changed(message, message.as_json())  # a link preview unfolds: the text is the same
    await house.settle()

    assert [incoming.text for incoming in house.intake.revised] == ["2+3?"]


async def test_an_edit_of_chatter_is_left_alone(house: House) -> None:
    """An edited message that never named the bot is not for it."""
    message = house.slack.say("U1", "lunch?")
    house.slack.edit(message, "lunch at noon?")

    await house.settle()

    assert house.intake.accepted == house.intake.revised == []


async def test_an_edit_may_come_before_its_question(house: House) -> None:
    """A question that was lost on its way is asked with its new words, and is known when Slack delivers it again."""
    message = house.slack.say("U1", "<@U0TERN> 2+2?", silently=True)
    lost = message.as_json()
    house.slack.edit(message, "<@U0TERN> 2+3?")
    await house.settle()

    house.slack.event(lost | {"channel": "C1", "channel_type": "channel", "event_ts": message.ts})
    await house.settle()

    assert [incoming.text for incoming in house.intake.accepted] == ["2+3?"]
    assert [incoming.text for incoming in house.intake.duplicates] == ["2+2?"]


async def test_an_edit_may_overtake_its_question_at_the_door(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's deliveries are taken side by side: a question that is accepted while its edit is looked at is revised."""
    message = house.slack.say("U1", "<@U0TERN> 2+2?")
    await house.settle()

    async def not_yet(*key: str) -> bool:
        return False

    monkeypatch.setattr(house.intake, "seen", not_yet)
    house.slack.edit(message, "<@U0TERN> 2+3?")
    await house.settle()

    assert [incoming.text for incoming in house.intake.revised] == ["2+3?"]


async def test_an_edit_of_an_old_question_that_nobody_knows_is_left_alone(house: House) -> None:
    """What was asked of the bot before it listened is not asked by an edit."""
    message = house.slack.say("U1", "<@U0TERN> 2+2?", silently=True)
    await house.clock.sleep(700)

    house.slack.edit(message, "<@U0TERN> 2+3?")
    await house.settle()

    assert house.intake.accepted == []


@pytest.mark.parametrize("has_replies", [False, True])
async def test_a_deleted_question_is_withdrawn(house: House, has_replies: bool) -> None:
    """Deleting the question withdraws it, also where Slack only empties it because replies hang on it."""
    message = house.slack.say("U1", "<@U0TERN> hello")
    if has_replies:
        house.slack.say("U2", "me too", thread=message.ts, silently=True)
    await house.settle()

    house.slack.delete(message)
    await house.settle()

    assert house.intake.withdrawn == [("slack", ":T1", "C1", message.ts)]


@pytest.mark.parametrize(
    "event",
    [
        {"subtype": "bot_message", "bot_id": "B7", "text": "<@U0TERN> hi"},
        {"user": "U7", "bot_id": "B7", "bot_profile": {"id": "B7"}, "text": "<@U0TERN> hi"},
        {"user": "U0TERN", "text": "<@U0TERN> hi"},
        {"user": "USLACKBOT", "text": "<@U0TERN> reminder"},
        {"user": "U1", "subtype": "channel_join", "text": "<@U0TERN> has joined"},
        {"user": "U1", "text": ""},
    ],
    ids=["bot message", "app posting as a user", "self", "Slackbot", "join", "empty"],
)
async def test_what_is_no_persons_question_is_ignored(house: House, event: dict[str, object]) -> None:
    """Bots do not loop, Slack's own voice is ignored; all of it is acknowledged, or Slack sends it three times more."""
    delivery = house.slack.event({
        "type": "message", "channel": "D1", "channel_type": "im", "ts": "1800000000.000900", "event_ts": "1", **event
    })  # fmt: skip

    await delivery.over()

    assert delivery.answers == [200]
    assert house.intake.accepted == []


async def test_unknown_events_are_acknowledged(house: House) -> None:
    """An event nobody listens to would be delivered four times; it is acknowledged at once."""
    delivery = house.slack.event({"type": "reaction_added", "user": "U1", "reaction": "tada", "item": {}})

    await delivery.over()

    assert delivery.answers == [200]


async def test_a_failed_store_leads_to_a_redelivery(house: House) -> None:
    """While the store fails Slack hears no acknowledgement; its redelivery becomes the question."""
    house.intake.fails = StorageBusy("locked")
    house.slack.subscribed.discard("app_mention")
    house.slack.say("U1", "<@U0TERN> hello")
    (delivery,) = house.slack.deliveries.log
    while len(delivery.answers) < 2:
        await house.clock.sleep(0.1)

    house.intake.fails = None
    await delivery.over()

    assert delivery.answers[0] != 200
    assert delivery.answers[-1] == 200
    assert [incoming.text for incoming in house.intake.accepted] == ["hello"]


async def test_a_message_is_stored_when_the_disk_has_room_again_however_late(house: House) -> None:
    """Slack repeats a delivery for six minutes; after that the adapter has it in mind, and says so once."""
    house.intake.fails = StorageFull("disk full")
    house.slack.say("U1", "<@U0TERN> hello")
    await house.clock.sleep(1_000)
    whispers = [message for message in house.slack.world.messages if message.ephemeral_for == "U1"]

    house.intake.fails = None
    await house.clock.sleep(60)

    assert [incoming.text for incoming in house.intake.accepted] == ["hello"]
    assert len(whispers) == 1
    assert "no need to send it again" in whispers[0].shown


async def test_nothing_is_told_of_a_lock_that_is_soon_over(house: House) -> None:
    """What Slack's own second attempt mends needs no sentence."""
    house.intake.fails = StorageBusy("locked")
    house.slack.say("U1", "<@U0TERN> hello")
    await house.clock.sleep(1)

    house.intake.fails = None
    await house.settle()

    assert [incoming.text for incoming in house.intake.accepted] == ["hello"]
    assert not [message for message in house.slack.world.messages if message.ephemeral_for]


async def test_while_something_waits_to_be_stored_nobody_claims_to_have_listened(house: House) -> None:
    """A process that ends meanwhile leaves it to the next one's back-fill, which must reach that far."""
    house.intake.fails = StorageFull("disk full")
    house.slack.say("U1", "<@U0TERN> hello")
    await house.clock.sleep(1)
    before = dict(house.notes.kept)

    await house.clock.sleep(600)

    assert house.notes.kept == before


async def test_the_same_event_three_times_is_one_question(house: House) -> None:
    """Delivery is at least once; the inbox knows the message by channel and ts."""
    message = house.slack.say("U1", "hello", channel="D1", silently=True)
    for _ in range(3):
        house.slack.announce(message)

    await house.settle()

    assert len(house.intake.accepted) == 1


async def test_a_redelivery_of_an_unseen_event_is_not_dropped(slack: FakeSlack) -> None:
    """retry_num above 0 alone is no reason to drop an event: the first attempt may have reached nobody."""
    slack.say("U1", "hello", channel="D1")

    async with open_house(slack) as house:
        await house.settle()

        assert [incoming.text for incoming in house.intake.accepted] == ["hello"]
        assert len(slack.deliveries.log[0].attempts) > 1


async def test_a_refusal_is_whispered(slack: FakeSlack) -> None:
    """What the inbox refuses is explained to the asker alone."""
    async with open_house(slack, intake=FakeIntake(refuse="Too many messages wait.")) as house:
        slack.say("U1", "<@U0TERN> hello")
        await house.settle()

        assert "Too many messages wait." in [message.text for message in slack.whispers("U1")]


@pytest.mark.parametrize(
    ("settings", "user", "channel", "answered"),
    [
        ({}, "U1", "C1", True),
        ({}, "U3", "C1", False),
        ({"allow_guests": True}, "U3", "C1", True),
        ({}, "U9", "C1", False),
        ({"allow_external": True}, "U9", "C1", True),
        ({"allow_users": frozenset({"U2"})}, "U1", "C1", False),
        ({"allow_users": frozenset({"U1"})}, "U1", "C1", True),
        ({"allow_channels": frozenset({"C2"})}, "U1", "C1", False),
        ({"allow_channels": frozenset({"C2"})}, "U1", "D1", True),
        ({"allow_by_channel": {"C1": frozenset({"U2"})}}, "U1", "C1", False),
        ({"allow_by_channel": {"C1": frozenset({"U1"})}}, "U1", "C1", True),
        ({"allow_by_channel": {"C2": frozenset({"U2"})}}, "U1", "C1", True),
    ],
)
async def test_allow_lists(
    slack: FakeSlack, settings: dict[str, object], user: str, channel: str, answered: bool
) -> None:
    """Nobody outside the allowed circle spends tokens; whoever asked directly is told why, for their eyes only."""
    async with open_house(slack, **settings) as house:
        slack.say(user, "<@U0TERN> hello", channel=channel)
        await house.settle()

        assert bool(house.intake.accepted) == answered
        assert bool(slack.whispers(user)) != answered


async def test_a_refusal_is_not_repeated(slack: FakeSlack) -> None:
    """A stranger who writes ten times is told once."""
    async with open_house(slack) as house:
        for number in range(10):
            slack.say("U9", f"<@U0TERN> hello {number}")
        await house.settle()

        assert len(slack.whispers("U9")) == 1


async def test_somebody_slack_says_nothing_about_is_a_stranger(slack: FakeSlack) -> None:
    """Where users.info has no answer and the setting needs one, the message is not taken in."""
    async with open_house(slack) as house:
        house.slack.say("U404", "<@U0TERN> hello")
        await house.settle()

        assert house.intake.accepted == []


def crowd_of_newcomers(slack: FakeSlack, count: int) -> list[str]:
    crowd = [f"U{10_000 + number}" for number in range(count)]
    for user in crowd:
        slack.person(Person(user, f"Name of {user}"))
    return crowd


async def test_a_crowd_of_newcomers_is_known_at_once(slack: FakeSlack) -> None:
    """Slack tells a hundred names a minute one by one, and a thousand in one call: where guests may not ask, nobody
    would else be let in before Slack tells who they are. A stranger in the crowd is still refused."""
    crowd = crowd_of_newcomers(slack, 1_200)
    async with open_house(slack) as house:
        for user in [*crowd, "U9"]:
            slack.say(user, "<@U0TERN> hello")
        await house.settle()

        assert {incoming.speaker for incoming in house.intake.accepted} == {f"Name of {user}" for user in crowd}
        assert slack.rates.refused == []
        assert slack.count("users.list") == 2


async def test_a_crowd_of_newcomers_is_answered_without_waiting_for_names(slack: FakeSlack) -> None:
    """Slack tells a hundred names a minute. Nobody's question waits for the others', and the rest follows later."""
    crowd = crowd_of_newcomers(slack, 130)
    slack.fault("users.list", Fault(error="missing_scope"))
    async with open_house(slack, allow_external=True, allow_guests=True) as house:
        began = house.clock.monotonic()
        for user in crowd:
            slack.say(user, "<@U0TERN> hello")
        await house.settle()
        assert len(house.intake.accepted) == len(crowd)
        assert house.clock.monotonic() - began < 3.0  # else Slack sends them again
        assert [bool(incoming.speaker) for incoming in house.intake.accepted].count(True) == 100

        await asyncio.sleep(65.0)
        slack.say(crowd[-1], "<@U0TERN> hello again")
        await house.settle()

        assert house.intake.accepted[-1].speaker == f"Name of {crowd[-1]}"
        assert slack.rates.refused == []


async def test_somebody_is_asked_about_once_at_a_time(slack: FakeSlack) -> None:
    """Three questions of one newcomer at once are one lookup; it fails, and the next question brings another."""
    slack.fault("users.info", Fault(delay_s=5.0))
    async with open_house(slack, allow_external=True, allow_guests=True) as house:
        for number in range(3):
            slack.say("U1", f"<@U0TERN> hello {number}")
        await house.settle()
        assert slack.count("users.info") == 1

        await asyncio.sleep(5.0)
        slack.say("U1", "<@U0TERN> hello again")
        await house.settle()

        assert [incoming.speaker for incoming in house.intake.accepted] == ["", "", "", "Ada"]
        assert slack.count("users.info") == 2


async def test_a_colleague_from_another_workspace_of_the_grid_may_ask() -> None:
    """On a Grid the organisation decides, not the team; keys carry enterprise and team of the installation."""
    async with FakeSlack(team="T1", enterprise="E1") as slack:
        slack.person(Person("W5", "Wim", team="T5", enterprise="E1"))
        async with open_house(slack) as house:
            slack.say("W5", "<@U0TERN> hello")
            await house.settle()

            (incoming,) = house.intake.accepted
            assert incoming.conversation.workspace == incoming.user.workspace == "E1:T1"


async def test_an_organisation_wide_install_keys_by_enterprise() -> None:
    """Installed on the whole organisation, teams vary from event to event; the key leaves them out."""
    async with FakeSlack(team="T1", enterprise="E1", org_install=True) as slack:
        slack.person(Person("W5", "Wim", team="T1", enterprise="E1"))
        async with open_house(slack) as house:
            slack.say("W5", "<@U0TERN> hello")
            await house.settle()

            assert house.intake.accepted[0].conversation.workspace == "E1:"


async def test_own_answers_are_not_questions(house: House) -> None:
    """The bot hears of its own posts and edits; neither is a question."""
    await house.adapter._api.writes.chat_postMessage(  # a post as the bot, as the surface makes it
        channel="C1", text="<@U0TERN> echo", unfurl_links=False, unfurl_media=False
    )
    house.slack.pings.clear()

    await house.settle()

    assert house.intake.accepted == []


# --- a mention without a word ---


@pytest.mark.parametrize("text", ["<@U0TERN>", "  <@U0TERN>  ", "<@U0TERN|tern>,", "<@U0TERN> <@U0TERN>:"])
async def test_a_bare_mention_gets_a_friendly_sentence(house: House, text: str) -> None:
    """A mention without a word, alone in a channel, is told what one can ask; no model is bothered."""
    house.slack.say("U1", text)
    await house.settle()

    (said,) = house.slack.whispers("U1")
    assert "for example" in said.text
    assert house.intake.accepted == []


async def test_a_bare_mention_in_a_thread_is_about_the_thread(house: House) -> None:
    """Under somebody's question it is taken: the thread says what is meant."""
    root = house.slack.say("U2", "Why is the sky blue?")
    house.slack.say("U1", "<@U0TERN>", thread=root.ts)
    await house.settle()

    (incoming,) = house.intake.accepted
    assert [quote.text for quote in await house.adapter.context(incoming)] == ["Why is the sky blue?"]
    assert house.slack.whispers("U1") == []
