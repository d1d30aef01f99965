"""`/tern ...` and the message shortcuts, over both transports."""

from __future__ import annotations

import pytest

from adapters.slack.ids import SUBCOMMANDS
from core.chat.commands import ChatCommands
from core.domain.errors import StorageFull, SurfaceGone
from core.domain.incoming import UserKey
from tests.adapters.slack.conftest import House, in_pieces, open_house, squeezed
from tests.fakes.slack import FakeSlack, Fault, Place
from tests.fakes.slack.server import File

ADA = UserKey("slack", ":T1", "U1")
CLIP = File("F1", "audio_message.mp4", "video/mp4", b"....", subtype="slack_audio", duration_ms=2_300)


def link(channel: str, ts: str, thread: str = "") -> str:
    address = f"https://terns.slack.com/archives/{channel}/p{ts.replace('.', '')}"
    return f"{address}?thread_ts={thread}&cid={channel}" if thread else address


async def whispered(house: House, user: str = "U1") -> str:
    await house.settle()
    return "\n".join(message.shown for message in house.slack.whispers(user))


@pytest.mark.parametrize("text", ["ask how far is the *moon*?", "how far is the *moon*?", "ASK how far is the *moon*?"])
async def test_ask_in_a_channel_is_answered_in_public(house: House, text: str) -> None:
    """A question by command is answered in the channel, below the asker's name and words, and grows like any other."""
    delivery = house.slack.command("U1", text)
    await delivery.over()
    (incoming,) = house.intake.accepted

    await house.answer(incoming, in_pieces("384,400 km on average. " * 10), every_s=0.3)

    (answer,) = house.slack.answers()
    assert incoming.text == "how far is the **moon**?"
    assert answer.thread == ""
    assert answer.small_print == "*Ada asked:* how far is the **moon**?"
    assert answer.edits > 1


async def test_replies_under_a_commands_answer_go_on(house: House) -> None:
    """The thread under a public answer belongs to the command's conversation."""
    await house.slack.command("U1", "ask hello").over()
    (incoming,) = house.intake.accepted
    await house.answer(incoming, ["Hi."])
    answer = house.slack.answers()[0]
    house.intake.stands("reply1", answer.ts)

    house.slack.say("U2", "and then?", thread=answer.ts)
    await house.settle()

    follow_up = house.intake.accepted[1]
    assert follow_up.conversation == incoming.conversation
    assert follow_up.address["thread"] == answer.ts


@pytest.mark.parametrize("place", [Place("C7", "channel", bot_is_member=False), Place("D7", "im", bot_is_member=False)])
async def test_ask_where_the_bot_is_no_member(house: House, place: Place) -> None:
    """There a placeholder and one replacement through the response_url answer the asker alone."""
    house.slack.place(place)
    await house.slack.command("U1", "ask hello", channel=place.id).over()
    (incoming,) = house.intake.accepted

    await house.answer(
        incoming, in_pieces("A private answer. " * 20), every_s=0.3, capability=house.intake.capabilities["reply1"]
    )

    (answer,) = house.slack.whispers("U1")
    assert answer.shown == ("A private answer. " * 20).strip()
    assert house.slack.count("response_url") == 2
    assert house.slack.answers(place.id) == []


async def test_a_long_private_answer_keeps_within_five_uses(house: House) -> None:
    """Three further pages at most, the rest as a file in the asker's direct messages."""
    house.slack.place(Place("C7", "channel", bot_is_member=False))
    await house.slack.command("U1", "ask hello", channel="C7").over()
    (incoming,) = house.intake.accepted
    text = "".join(f"Sentence number {number}. " for number in range(3_000))

    await house.answer(incoming, in_pieces(text, 2_000), capability=house.intake.capabilities["reply1"])

    pages = "".join(page.shown for page in house.slack.whispers("U1"))
    assert house.slack.count("response_url") <= 5
    assert squeezed(text).startswith(squeezed(pages))
    (upload,) = house.slack.uploads.values()
    assert upload.content.decode().strip() == text.strip()


async def test_an_expired_right_is_never_made_public(house: House) -> None:
    """After thirty minutes a private answer is undeliverable."""
    house.slack.place(Place("C7", "channel", bot_is_member=False))
    await house.slack.command("U1", "ask hello", channel="C7").over()
    (incoming,) = house.intake.accepted
    await house.clock.sleep(1_801)

    with pytest.raises(SurfaceGone):
        await house.adapter.surface(incoming, "reply1", house.intake.capabilities["reply1"])


async def test_the_right_to_answer_is_in_no_repr(house: House) -> None:
    """A response_url is a secret: it is neither in the Incoming nor in what is printed of the capability."""
    house.slack.place(Place("C7", "channel", bot_is_member=False))
    await house.slack.command("U1", "ask hello", channel="C7").over()

    assert "/response/" not in repr(house.intake.accepted)
    assert "/response/" not in repr(house.intake.capabilities)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Ask me anything on slack"),
        ("help", "Ask me anything on slack"),
        ("ask", "Ask me anything on slack"),
        ("usage", "Today: 3 requests"),
        ("model", "Your model: **auto**"),
        ("model quality", "From now on **quality**"),
        ("model gpt-2", "I do not know the model `gpt-2`"),
        ("persona", "Your persona: **default**"),
        ("persona pirate", "Your persona is **pirate**"),
        ("forget", "This deletes your messages"),
        ("forget it", "link of a message"),
        ("transcribe", "link of a message"),
    ],
)
async def test_what_is_no_question_is_answered_privately(house: House, text: str, said: str) -> None:
    """Commands about the bot are answered for the sender's eyes, acknowledged before Slack's three seconds are over."""
    delivery = house.slack.command("U1", text)

    assert said in await whispered(house)
    assert delivery.acked
    assert house.intake.accepted == []


async def test_every_order_of_the_help_is_one(house: House) -> None:
    """What the help names is what is registered: none of it becomes a question to the model."""
    for name in SUBCOMMANDS:
        await house.slack.command("U1", name).over()
    text = await whispered(house)

    assert ", ".join(SUBCOMMANDS) in text
    assert house.intake.accepted == []
    help_text = ChatCommands.help(None, "slack", SUBCOMMANDS).text  # type: ignore[arg-type]  # it needs nothing else
    assert [name for name in SUBCOMMANDS if f"`/tern {name}`" not in help_text] == []


async def test_stop_ends_what_runs_in_the_channel(house: House) -> None:
    """`/tern stop` ends the asker's own answers there, `/tern stop LINK` those of one thread."""
    asked = await house.asked()

    await house.slack.command("U1", "stop").over()
    await house.slack.command("U1", f"stop {link('C1', asked.message_id)}").over()
    text = await whispered(house)

    assert house.commands.calls == [("stop", ADA, "C1"), ("stop", ADA, asked.conversation)]
    assert "I stop." in text
    assert len(house.intake.accepted) == 1


async def test_choices_are_set_for_the_person(house: House) -> None:
    """`/tern model` is about whoever types it."""
    await house.slack.command("U1", "model quality").over()
    await house.settle()

    assert house.commands.choices == {ADA: ("quality", "")}


async def test_forget_asks_before_it_forgets(house: House) -> None:
    """`/tern forget` shows a button; only that one forgets."""
    await house.slack.command("U1", "forget").over()
    await house.settle()
    (question,) = house.slack.whispers("U1")
    assert house.commands.calls == []

    house.slack.press("U1", question, "tern_forget_me")
    await house.settle()

    assert house.commands.calls == [("forget", ADA, None)]
    assert "Forgotten" in await whispered(house)


async def test_a_thread_is_forgotten_by_its_link(house: House) -> None:
    """`/tern forget LINK` forgets one conversation, whichever of its messages the link names."""
    asked = await house.asked()
    later = house.slack.say("U2", "more", thread=asked.message_id)
    await house.settle()

    await house.slack.command("U1", f"forget {link('C1', later.ts, asked.message_id)}").over()
    await house.settle()

    assert house.commands.calls == [("forget", ADA, asked.conversation)]


async def test_an_export_is_sent_directly(house: House) -> None:
    """An export is a file in the asker's direct messages with the bot, nowhere else."""
    await house.slack.command("U1", "export").over()
    text = await whispered(house)

    (upload,) = house.slack.uploads.values()
    assert upload.name == "tern-export.json"
    assert [message.channel for message in house.slack.world.messages if message.files] == ["DU1"]
    assert "direct message" in text


async def test_transcribe_takes_a_link(house: House) -> None:
    """`/tern transcribe LINK` reads the linked message's clip."""
    message = house.slack.say("U2", "", files=[CLIP])
    await house.settle()

    await house.slack.command("U1", f"transcribe {link('C1', message.ts)}").over()
    await house.settle()

    (incoming,) = house.intake.accepted
    (clip,) = incoming.attachments
    assert incoming.action == "transcribe"
    assert (clip.kind, clip.name, clip.ref, clip.duration_s) == ("audio", "audio_message.m4a", "F1", 2.3)


async def test_transcribe_of_a_message_without_a_clip(house: House) -> None:
    """A link to a message without files is answered with a sentence."""
    message = house.slack.say("U2", "no clip here")

    await house.slack.command("U1", f"transcribe {link('C1', message.ts)}").over()

    assert "has no voice clip" in await whispered(house)


async def test_a_command_that_cannot_be_stored_says_so(house: House) -> None:
    """Slack delivers no command twice: a full disk is told at once."""
    house.intake.fails = StorageFull("disk full")

    delivery = house.slack.command("U1", "ask hello")

    assert "disk is full" in await whispered(house)
    assert delivery.acked


async def test_a_stranger_gets_a_sentence_for_a_command(house: House) -> None:
    """Allow lists hold for commands."""
    await house.slack.command("U9", "ask hello").over()

    assert "another organisation" in await whispered(house, "U9")
    assert house.intake.accepted == []


async def test_a_slow_slack_does_not_cost_the_acknowledgement(slack: FakeSlack) -> None:
    """When users.info and conversations.info hang, the command is still acknowledged in time."""
    slack.fault("users.info", *[Fault(delay_s=30)] * 5)
    slack.fault("conversations.info", *[Fault(delay_s=30)] * 5)
    async with open_house(slack, allow_external=True, allow_guests=True) as house:
        delivery = await slack.command("U1", "ask hello").over()

        assert delivery.acked
        assert [incoming.visibility for incoming in house.intake.accepted] == ["private"]


@pytest.mark.parametrize(
    ("callback_id", "action"),
    [("tern_explain", "explain"), ("tern_draft_reply", "draft_reply"), ("tern_summarise", "summarise")],
)
async def test_message_shortcuts(house: House, callback_id: str, action: str) -> None:
    """A shortcut asks about the message it was used on, with names, for the user's eyes alone."""
    root = house.slack.say("U2", "Shall we move the <@U1> release?")
    reply = house.slack.say("U1", "to Friday", thread=root.ts)
    await house.settle()

    await house.slack.shortcut("U1", reply, callback_id).over()

    (incoming,) = house.intake.accepted
    assert (incoming.action, incoming.visibility, incoming.reply_to) == (action, "private", reply.ts)
    assert [(quote.speaker, quote.text) for quote in incoming.quotes] == [("Ada", "to Friday")]
    assert [(quote.speaker, quote.text) for quote in await house.adapter.context(incoming)] == [
        ("Bob", "Shall we move the @Ada release?")
    ]


async def test_a_shortcuts_answer_is_private(house: House) -> None:
    """The answer comes through the shortcut's response_url."""
    message = house.slack.say("U2", "Quite a long story")
    await house.slack.shortcut("U1", message, "tern_explain").over()
    (incoming,) = house.intake.accepted

    await house.answer(incoming, ["It means ", "this."], capability=house.intake.capabilities["reply1"])

    assert [answer.shown for answer in house.slack.whispers("U1")] == ["It means this."]


async def test_the_transcribe_shortcut(house: House) -> None:
    """ "Transcribe" on a message with a clip takes the clip; without one it says so."""
    clip = house.slack.say("U2", "", files=[CLIP])
    text = house.slack.say("U2", "no clip")

    await house.slack.shortcut("U1", clip, "tern_transcribe").over()
    await house.slack.shortcut("U1", text, "tern_transcribe").over()

    assert [incoming.action for incoming in house.intake.accepted] == ["transcribe"]
    assert "has no voice clip" in await whispered(house)


async def test_a_thread_the_bot_cannot_read_is_not_summarised(house: House) -> None:
    """Where the bot is no member it asks to be invited instead of summarising one message."""
    house.slack.place(Place("C7", "channel", bot_is_member=False))
    message = house.slack.say("U2", "long story", channel="C7")

    await house.slack.shortcut("U1", message, "tern_summarise").over()

    assert "/invite" in await whispered(house)
    assert house.intake.accepted == []
