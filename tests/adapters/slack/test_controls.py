"""Buttons, the Home tab, and the agent surface around a conversation."""

from __future__ import annotations

import pytest

from core.domain.errors import StorageBusy
from core.domain.incoming import UserKey
from tests.adapters.slack.conftest import House, open_house
from tests.fakes.slack import FakeSlack, Message, Person, Place

ADA = UserKey("slack", ":T1", "U1")


async def answered(house: House, channel: str = "C1") -> Message:
    incoming = await house.asked(channel=channel)
    await house.answer(incoming, ["An answer."])
    return house.slack.answers(channel)[0]


@pytest.mark.parametrize("channel", ["C1", "D1"])
@pytest.mark.parametrize(
    ("action_id", "negative", "action"),
    [
        ("tern_regenerate", False, "regenerate"),
        ("tern_shorter", False, "shorter"),
        ("tern_feedback", False, "thumbs_up"),
        ("tern_feedback", True, "thumbs_down"),
    ],
)
async def test_presses_reach_the_inbox(house: House, channel: str, action_id: str, negative: bool, action: str) -> None:
    """Every button under a finished answer, edited or streamed, names the reply and the presser."""
    answer = await answered(house, channel)

    delivery = await house.slack.press("U1", answer, action_id, negative=negative).over()

    (pressed,) = house.intake.pressed
    assert (pressed.reply_id, pressed.action, pressed.by) == ("reply1", action, ADA)
    assert delivery.acked


async def test_buttons_work_after_a_restart(slack: FakeSlack) -> None:
    """The reply id is in the button: a new process carries the press out."""
    async with open_house(slack) as house:
        answer, intake = await answered(house), house.intake

    async with open_house(slack, intake=intake) as house:
        await slack.press("U1", answer, "tern_regenerate").over()

        assert [pressed.action for pressed in intake.pressed] == ["regenerate"]


async def test_what_the_inbox_says_is_whispered(house: House) -> None:
    """A press that is not allowed is explained to the presser alone; the answer stays as it is."""
    answer = await answered(house)

    house.slack.press("U2", answer, "tern_shorter")
    await house.settle()

    assert "Only the person who asked" in house.slack.whispers("U2")[0].shown
    assert answer.shown == "An answer."


async def test_workspace_admins_are_moderators(house: House) -> None:
    """An admin may press what only the asker may."""
    house.slack.person(Person("U5", "Root", admin=True))
    answer = await answered(house)

    await house.slack.press("U5", answer, "tern_shorter").over()

    assert house.intake.pressed[0].moderator


async def test_strangers_cannot_spend_tokens_by_buttons(house: House) -> None:
    """Regenerate costs as much as a question: allow lists hold here too."""
    answer = await answered(house)

    house.slack.press("U9", answer, "tern_regenerate")
    await house.settle()

    assert house.intake.pressed == []
    assert "another organisation" in house.slack.whispers("U9")[0].shown


async def test_a_press_that_cannot_be_stored_says_so(house: House) -> None:
    """Slack delivers no press twice: the person is told at once."""
    answer = await answered(house)
    house.intake.fails = StorageBusy("locked")

    delivery = house.slack.press("U1", answer, "tern_regenerate")
    await house.settle()

    assert delivery.acked
    assert "database is busy" in house.slack.whispers("U1")[0].shown


async def test_a_press_under_a_private_answer_brings_a_fresh_right(house: House) -> None:
    """Regenerating a private answer needs a response_url that still works: the press's own."""
    house.slack.place(Place("C7", "channel", bot_is_member=False))
    await house.slack.command("U1", "ask hello", channel="C7").over()
    await house.answer(house.intake.accepted[0], ["Hi."], capability=house.intake.capabilities["reply1"])
    (answer,) = house.slack.whispers("U1")

    await house.slack.press("U1", answer, "tern_regenerate").over()

    capability = house.intake.pressed[0].capability
    assert capability is not None
    assert capability.secret in {f"{house.slack.origin}/response/{key}" for key in house.slack.response_urls}


async def test_a_press_under_a_public_answer_brings_none(house: House) -> None:
    """A public answer is edited by the bot; nothing secret is kept for it."""
    answer = await answered(house)

    await house.slack.press("U1", answer, "tern_regenerate").over()

    assert house.intake.pressed[0].capability is None


async def test_the_home_tab(house: House) -> None:
    """Home shows what the bot can do, the person's choices and usage, and "forget me"."""
    house.commands.choices[ADA] = ("quality", "pirate")

    house.slack.open_home("U1")
    await house.settle()

    home = house.slack.homes["U1"]
    selects = [block["accessory"] for block in home["blocks"] if "accessory" in block]
    assert [select["initial_option"]["value"] for select in selects] == ["quality", "pirate"]
    assert "Today: 3 requests" in str(home)
    assert [element["action_id"] for element in home["blocks"][-1]["elements"]] == ["tern_export_me", "tern_forget_me"]


@pytest.mark.parametrize(
    ("action_id", "value", "choice"),
    [
        ("tern_choose_model", "speed", ("speed", "")),
        ("tern_choose_persona", "pirate", ("auto", "pirate")),
        ("tern_choose_persona", "-", ("auto", "")),
    ],
)
async def test_choosing_at_home(house: House, action_id: str, value: str, choice: tuple[str, str]) -> None:
    """A choice is kept and the tab shows it."""
    house.slack.act_at_home(
        "U1", {"type": "static_select", "action_id": action_id, "selected_option": {"value": value}}
    )
    await house.settle()

    assert house.commands.choices[ADA] == choice
    assert "U1" in house.slack.homes


async def test_forget_me_at_home(house: House) -> None:
    """The button on Home forgets, after Slack's own question."""
    house.slack.act_at_home("U1", {"type": "button", "action_id": "tern_forget_me", "value": "forget"})
    await house.settle()

    assert house.commands.calls[0] == ("forget", ADA, None)


async def test_export_at_home(house: House) -> None:
    """The export comes as a direct message."""
    house.slack.act_at_home("U1", {"type": "button", "action_id": "tern_export_me", "value": "export"})
    await house.settle()

    assert [upload.name for upload in house.slack.uploads.values()] == ["tern-export.json"]


async def test_suggested_prompts(house: House) -> None:
    """Opening the messages tab offers prompts, without thread_ts, or an agent app's call would fail in silence."""
    house.slack.open_messages("U1")
    await house.settle()

    assert len(house.slack.prompts["DU1"]) == 4


@pytest.mark.parametrize("is_agent", [True, False])
async def test_a_new_conversation_gets_a_title(house: House, is_agent: bool) -> None:
    """The first words of a direct question name its thread, with or without agent sessions."""
    house.slack.is_agent = is_agent
    message = house.slack.say("U1", "How far is\nthe moon?", channel="D1")
    house.slack.say("U1", "and the sun?", channel="D1", thread=message.ts)
    await house.settle()

    assert house.slack.titles == {("D1", message.ts): "How far is the moon?"}


async def test_a_failing_home_tab_does_not_end_the_adapter(house: House) -> None:
    """Whatever goes wrong around the conversation, messages go on being answered."""
    house.commands.fails = StorageBusy("locked")
    house.slack.open_home("U1")
    await house.settle()

    assert await house.asked()
    assert not house.task.done()
