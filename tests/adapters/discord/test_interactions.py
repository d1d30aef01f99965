"""Slash commands, context menus, autocomplete and buttons, through the real library."""

from __future__ import annotations

import io
import json
import random
import zipfile

import pytest

from adapters.discord import interactions
from adapters.discord.interactions import NOT_LISTED
from core import wording
from core.domain.errors import StorageBusy, SurfaceBusy, SurfaceGone
from core.ports.platform import Controls
from tests.adapters.discord.conftest import Bot, StartBot, words
from tests.fakes.discord import FakeDiscord, Fault, Interaction, until

MANAGE_MESSAGES = 1 << 13


async def answered(interaction: Interaction, count: int = 1) -> list[str]:
    await until(lambda: len(interaction.pages) >= count)
    return [page.content for page in interaction.pages]


async def test_ask_is_stored_before_it_is_acknowledged_and_its_answer_grows(bot: Bot) -> None:
    """/ask defers, and the deferred response becomes the first page."""
    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="what is a tern?")
    incoming = await bot.accepted()
    surface = await bot.surface()

    ref = await surface.post(0, words("A tern"), "n0")
    await surface.edit(ref, 0, words("A tern is a seabird."))

    assert (incoming.text, incoming.message_id, incoming.visibility) == ("what is a tern?", str(used.id), "public")
    assert incoming.conversation.root == str(used.id)
    assert incoming.locale == "de"
    assert used.original is not None
    assert (ref, used.original.content) == (str(used.original.id), "A tern is a seabird.")


async def test_ask_carries_model_picture_and_voice(bot: Bot) -> None:
    """Options and files come along; a file is known by its path, never by a signed address."""
    picture = bot.discord.upload(bot.channel, "cat.png", b"PNG", "image/png")
    clip = bot.discord.upload(bot.channel, "clip.ogg", b"OGG", "audio/ogg", duration_s=2.5)

    await bot.discord.slash(
        bot.channel, bot.ada, "ask", question="who?", model="quality", files={"image": picture, "voice": clip}
    )
    incoming = await bot.accepted()

    assert incoming.options == {"model": "quality"}
    assert [(file.kind, file.duration_s) for file in incoming.attachments] == [("image", None), ("audio", 2.5)]
    assert "hm=" not in incoming.attachments[0].ref


async def test_private_answer_is_private_in_every_part(bot: Bot) -> None:
    """Deferred response, follow-ups and file are seen by the asker alone, and no public message appears."""
    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="psst", private=True)
    await bot.accepted()
    surface = await bot.surface()

    await surface.post(0, words("one"), "n0")
    second = await surface.post(1, words("two"), "n1")
    await surface.edit(second, 1, words("two!"))
    await surface.attach("rest.md", b"x", "rest")

    assert [page.content for page in used.pages] == ["one", "two!", "rest"]
    assert all(page.ephemeral for page in used.pages)
    assert bot.discord.said(bot.channel) == []


async def test_private_answer_after_the_tokens_end_is_undeliverable(bot: Bot) -> None:
    """It is never made public."""
    await bot.discord.slash(bot.channel, bot.ada, "ask", question="psst", private=True)
    incoming = await bot.accepted()

    surface = await bot.adapter.surface(incoming, "reply1", None)

    with pytest.raises(SurfaceGone):
        await surface.post(0, words("late"), "n0")
    assert bot.discord.said(bot.channel) == []


async def test_public_answer_that_outlives_the_token_goes_on_as_messages(bot: Bot) -> None:
    """After fifteen minutes the bot edits its response as its own message, and posts the rest itself."""
    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="long")
    await bot.accepted()
    surface = await bot.surface()
    ref = await surface.post(0, words("one"), "n0")
    used.expired = True
    object.__setattr__(surface._capability, "expires_at", 0.0)

    await surface.edit(ref, 0, words("one!"))
    await surface.post(1, words("two"), "n1")

    assert [message.content for message in bot.discord.said(bot.channel)] == ["one!", "two"]


async def test_hung_socket_of_an_interaction_fails_by_itself(start: StartBot) -> None:
    """Interactions take another way through the library; it ends as surely."""
    async with start(silence_s=0.1) as bot:
        used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="long")
        await bot.accepted()
        surface = await bot.surface()
        bot.discord.faults.append(Fault("PATCH", "webhooks", "hang", after_s=60))

        with pytest.raises(SurfaceBusy):
            await surface.post(0, words("one"), "n0")
        await surface.post(0, words("one, again"), "n0")

        assert await answered(used) == ["one, again"]


async def test_response_that_the_bot_may_not_edit_goes_on_in_a_message_of_its_own(bot: Bot) -> None:
    """Whether the bot may edit its old response as its own message is not documented; where it may not, it posts anew,
    once."""
    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="long")
    await bot.accepted()
    surface = await bot.surface()
    ref = await surface.post(0, words("one"), "n0")
    bot.discord.own_responses_editable = False
    used.expired = True

    await surface.edit(ref, 0, words("one!"))
    await surface.edit(ref, 0, words("one!!"))

    assert [message.content for message in bot.discord.said(bot.channel)] == ["one", "one!!"]


async def test_follow_up_of_an_earlier_process_is_found(bot: Bot) -> None:
    """Public pages are recognised by the interaction they answer."""
    await bot.discord.slash(bot.channel, bot.ada, "ask", question="long")
    await bot.accepted()
    surface = await bot.surface()
    await surface.post(0, words("one"), "n0")
    second = await surface.post(1, words("two"), "n1")

    assert [await surface.find(page, f"n{page}") for page in (0, 1, 2)] == [None, second, None]


async def test_app_of_the_user_alone_keeps_to_five_follow_ups(bot: Bot) -> None:
    """Where only the person installed the app, an answer has five pages and a file at most."""
    await bot.discord.slash(bot.channel, bot.ada, "ask", question="long", user_install=True)
    await bot.accepted()
    surface = await bot.surface()

    for page in range(surface.limits.max_pages):
        await surface.post(page, words(str(page)), f"n{page}")
    await surface.attach("rest.md", b"x", "rest")

    assert surface.limits.max_pages == 5


async def test_link_previews_of_interactions_are_quieted(bot: Bot) -> None:
    """A deferred response takes no flag for it, so addresses stand in angle brackets."""
    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="where?")
    await bot.accepted()
    surface = await bot.surface()

    await surface.post(0, words("See https://example.org/a, [this](https://b.org) and `https://c.org`."), "n0")

    assert await answered(used) == ["See <https://example.org/a>, [this](<https://b.org>) and `https://c.org`."]


async def test_storage_that_fails_is_said_to_the_asker(bot: Bot) -> None:
    """Nothing is acknowledged that was not stored."""
    bot.intake.fails = StorageBusy("locked")

    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="hi")

    assert await answered(used) == [wording.sentence_for(StorageBusy("locked"))]
    assert used.private


async def test_menu_transcribe_takes_the_targets_voice_clip(bot: Bot) -> None:
    """The menu works on other people's messages without the content intent, and answers in private."""
    clip = bot.discord.upload(bot.channel, "voice-message.ogg", b"OggS", "audio/ogg", duration_s=3.0)
    target = await bot.discord.say(bot.channel, bot.discord.person("Bob"), files=[clip])

    await bot.discord.menu(target, bot.ada, "Transcribe")
    incoming = await bot.accepted()

    assert (incoming.action, incoming.visibility) == ("transcribe", "private")
    assert [file.kind for file in incoming.attachments] == ["audio"]


async def test_menu_explain_quotes_its_target(bot: Bot) -> None:
    """ "Explain this" hands the message over as a quote."""
    bob = bot.discord.person("Bob")
    target = await bot.discord.say(bot.channel, bob, "E = mc2")

    await bot.discord.menu(target, bot.ada, "Explain this")
    incoming = await bot.accepted()

    assert incoming.action == "explain"
    assert [(quote.speaker_id, quote.text) for quote in incoming.quotes] == [(str(bob.id), "E = mc2")]


async def test_menu_summarise_reads_on_from_its_target(start: StartBot, discord) -> None:
    """ "Summarise from here" finds what was said after the message, where the intent allows."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        target = await discord.say(bot.channel, bot.ada, "first")
        for text in ("second", "third"):
            await discord.say(bot.channel, bot.ada, text)

        await discord.menu(target, bot.ada, "Summarise from here")
        incoming = await bot.accepted()
        quotes = await bot.adapter.context(incoming)

    assert [quote.text for quote in incoming.quotes] == ["first"]
    assert [quote.text for quote in quotes] == ["second", "third"]


async def test_menu_summarise_without_the_intent_says_what_is_missing(bot: Bot) -> None:
    """History comes back empty then; an answer about nothing would be worse than a sentence."""
    target = await bot.discord.say(bot.channel, bot.ada, "first")

    used = await bot.discord.menu(target, bot.ada, "Summarise from here")

    assert await answered(used) == [wording.NEEDS_MESSAGE_CONTENT]
    assert bot.intake.accepted == []


async def test_outsiders_are_told_so_in_private(start: StartBot) -> None:
    """Who is not on the list gets a sentence nobody else sees; their mentions are passed over in silence."""
    async with start(allow_users=frozenset({1})) as bot:
        asked = await bot.discord.slash(bot.channel, bot.ada, "ask", question="hi")
        usage = await bot.discord.slash(bot.channel, bot.ada, "usage")
        await bot.discord.say(bot.channel, bot.ada, "hi", mention=True)

        texts = await answered(asked) + await answered(usage)

    assert texts[0] == texts[1] == NOT_LISTED
    assert asked.private
    assert bot.intake.accepted == []
    assert bot.discord.said(bot.channel) == []


async def test_outsiders_press_nothing_and_are_offered_nothing(start: StartBot) -> None:
    """Whoever may not ask may not have an answer written anew either, moderator or not, nor learn what there is."""
    async with start(allow_roles=frozenset({77})) as bot:
        bot.guild.roles[bot.ada.id] = [77]
        surface = await bot.ask()
        ref = await surface.post(0, words("done", controls=Controls("reply1", finished=True)), "n0")
        bob = bot.discord.person("Bob")

        pressed = await bot.discord.press(
            bot.channel.messages[int(ref)], bob, "Regenerate", permissions=MANAGE_MESSAGES
        )
        typing = await bot.discord.complete(bot.channel, bob, "model", "name", "")
        await until(lambda: typing.answered)

    assert await answered(pressed) == [NOT_LISTED]
    assert typing.choices == []
    assert bot.intake.pressed == []


async def test_members_with_the_role_may_ask(start: StartBot, discord: FakeDiscord) -> None:
    """A listed role opens the bot to whoever has it."""
    async with start(allow_roles=frozenset({77})) as bot:
        bot.guild.roles[bot.ada.id] = [77]

        await bot.discord.say(bot.channel, bot.ada, "hi", mention=True)
        await bot.discord.slash(bot.channel, bot.ada, "ask", question="ho")
        await bot.accepted(2)

    assert [incoming.text for incoming in bot.intake.accepted] == ["hi", "ho"]


@pytest.mark.parametrize("command", ["usage", "help", "model", "persona"])
async def test_private_commands_answer_the_asker_alone(bot: Bot, command: str) -> None:
    """Each command's answer is ephemeral."""
    used = await bot.discord.slash(bot.channel, bot.ada, command)

    [text] = await answered(used)

    assert text
    assert used.private


async def test_model_is_set_and_completed(bot: Bot) -> None:
    """Typing offers what matches; choosing sets it."""
    typing = await bot.discord.complete(bot.channel, bot.ada, "model", "name", "120")
    await until(lambda: typing.answered)
    used = await bot.discord.slash(bot.channel, bot.ada, "model", name="quality")

    assert typing.choices == ["openai/gpt-oss-120b"]
    assert await answered(used) == ["From now on **quality** answers you."]


async def test_unknown_model_is_named_with_the_known_ones(bot: Bot) -> None:
    """A wrong id gets the list."""
    used = await bot.discord.slash(bot.channel, bot.ada, "model", name="gpt-9")

    [text] = await answered(used)

    assert "openai/gpt-oss-20b" in text


async def test_export_comes_as_a_file(bot: Bot) -> None:
    """The file is attached to the private answer."""
    used = await bot.discord.slash(bot.channel, bot.ada, "export")

    await answered(used)

    assert used.original is not None
    assert json.loads(used.original.uploads[0].content) == {"turns": []}


def noise(size: int) -> bytes:
    """Bytes that no packing makes smaller."""
    return random.Random(1).randbytes(size)


async def test_export_above_the_upload_limit_is_packed(bot: Bot) -> None:
    """What Discord does not take as it is goes out as a zip where that is small enough."""
    bot.discord.upload_limit = 2_000
    bot.commands.export_file = b"word " * 2_000

    used = await bot.discord.slash(bot.channel, bot.ada, "export")
    await answered(used)

    [file] = used.pages[0].uploads
    assert file.name == "tern-export.json.zip"
    assert zipfile.ZipFile(io.BytesIO(file.content)).read("tern-export.json") == bot.commands.export_file


@pytest.mark.parametrize("case", ["too large", "understated", "refused", "cut for good"])
async def test_nothing_stays_thinking_where_a_file_does_not_pass(
    bot: Bot, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deferred response becomes a sentence that names the file."""
    monkeypatch.setattr(interactions, "SHOW_AGAIN_S", 0.01)
    match case:
        case "too large":
            bot.discord.upload_limit = 2_000
            bot.commands.export_file = noise(3_000)
        case "understated":
            # A proxy or a server whose boosts just ended takes less than the interaction said.
            bot.discord.faults.append(Fault("PATCH", "@original", "status", status=413))
        case "refused":
            bot.discord.faults.append(Fault("PATCH", "@original", "status", status=403))
        case "cut for good":
            bot.discord.faults.append(Fault("PATCH", "@original", "cut", times=3))

    used = await bot.discord.slash(bot.channel, bot.ada, "export")
    [said] = await answered(used)

    assert "tern-export.json" in said
    assert used.pages[0].uploads == []


async def test_answer_of_a_command_is_shown_again_where_the_connection_broke(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cut connection costs seconds, not the file."""
    monkeypatch.setattr(interactions, "SHOW_AGAIN_S", 0.01)
    bot.discord.faults.append(Fault("PATCH", "@original", "cut"))

    used = await bot.discord.slash(bot.channel, bot.ada, "export")
    await answered(used)

    assert [file.name for file in used.pages[0].uploads] == ["tern-export.json"]


@pytest.mark.parametrize("command", ["usage", "export", "model", "help"])
async def test_command_that_fails_unforeseen_says_so(bot: Bot, command: str) -> None:
    """Also a defect of ours ends "thinking", in a sentence without its words."""
    bot.commands.fails = RuntimeError("a secret detail")
    bot.commands.help = lambda _: 1 / 0  # type: ignore[assignment, method-assign, return-value]

    used = await bot.discord.slash(bot.channel, bot.ada, command)

    assert await answered(used) == [wording.sentence_for(RuntimeError())]


@pytest.mark.parametrize("fault", ["cut", "lost"])
async def test_acknowledgement_survives_a_cut_connection(bot: Bot, fault: str) -> None:
    """It is given once more; what had arrived all the same counts. The answer stands in its place at once."""
    bot.discord.faults.append(Fault("POST", "callback", fault))  # type: ignore[arg-type]

    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="hi")
    await bot.accepted()
    surface = await bot.surface()
    await surface.post(0, words("hello"), "n0")

    assert used.original is not None
    assert used.original.content == "hello"


@pytest.mark.parametrize("fault", ["cut", "lost"])
async def test_sentence_to_one_person_survives_a_cut_connection(bot: Bot, fault: str) -> None:
    """A whisper is said once, not twice and not never."""
    bot.intake.refuse = "No room."
    bot.discord.faults.append(Fault("POST", "callback", fault))  # type: ignore[arg-type]

    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="hi")

    assert await answered(used) == ["No room."]


async def test_what_cannot_be_acknowledged_is_not_carried_out(bot: Bot) -> None:
    """Discord said "did not respond": then nothing was forgotten behind that."""
    bot.discord.ack_s = -1.0

    await bot.discord.slash(bot.channel, bot.ada, "forget", what="all")
    await bot.quiet()

    assert bot.commands.calls == []


async def test_forget_here_needs_a_thread_or_direct_message(bot: Bot) -> None:
    """In a direct message it forgets that conversation; in a server's channel there is no single one."""
    dm = bot.discord.dm(bot.ada)

    there = await bot.discord.slash(dm, bot.ada, "forget", what="here")
    here = await bot.discord.slash(bot.channel, bot.ada, "forget", what="here")

    assert await answered(there) == ["Forgotten: 4 entries."]
    assert await answered(here) == [wording.FORGOTTEN_NOTHING]


async def test_stop_works_for_the_asker_only_and_for_moderators(bot: Bot) -> None:
    """Others are told why nothing happens."""
    surface = await bot.ask()
    ref = await surface.post(0, words("growing", controls=Controls("reply1", stop=True)), "n0")
    page = bot.channel.messages[int(ref)]
    bob = bot.discord.person("Bob")

    refused = await bot.discord.press(page, bob, "Stop")
    told = await answered(refused)
    await bot.discord.press(page, bob, "Stop", permissions=MANAGE_MESSAGES)
    await until(lambda: len(bot.intake.pressed) == 1)
    await bot.discord.press(page, bot.ada, "Stop")
    await until(lambda: len(bot.intake.pressed) == 2)

    assert told == [wording.NOT_YOURS_TO_STOP]
    assert [(press.action, press.reply_id, press.moderator) for press in bot.intake.pressed] == [
        ("stop", "reply1", True),
        ("stop", "reply1", False),
    ]


async def test_finished_answer_carries_its_four_buttons_and_thumbs_are_anybodys(bot: Bot) -> None:
    """Stop gives way to Regenerate, Shorter and the thumbs."""
    surface = await bot.ask()
    ref = await surface.post(0, words("growing", controls=Controls("reply1", stop=True)), "n0")
    await surface.edit(ref, 0, words("done", controls=Controls("reply1", finished=True)))
    page = bot.channel.messages[int(ref)]

    used = await bot.discord.press(page, bot.discord.person("Bob"), "\N{THUMBS UP SIGN}")
    await until(lambda: used.answered)

    assert page.labels == ["Regenerate", "Shorter", "\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"]
    assert bot.intake.pressed[0].action == "thumbs_up"


async def test_buttons_survive_a_restart(bot: Bot, start: StartBot) -> None:
    """A button posted by one process is heard by the next: its whole state is in its id."""
    surface = await bot.ask()
    ref = await surface.post(0, words("done", controls=Controls("reply1", finished=True)), "n0")
    await bot.leave()

    async with start(intake=bot.intake) as again:
        await again.discord.press(bot.channel.messages[int(ref)], bot.ada, "Regenerate")
        await until(lambda: again.intake.pressed)

    assert bot.intake.pressed[0].action == "regenerate"


async def test_buttons_cost_no_memory(bot: Bot) -> None:
    """The library keeps no record of any message's buttons."""
    surface = await bot.ask()
    ref = await surface.post(0, words("x", controls=Controls("r", stop=True)), "n0")
    await surface.edit(ref, 0, words("x", controls=Controls("r", finished=True)))

    client, _ = bot.adapter._connection.use()
    store = client._connection._view_store

    assert (store._views, store._synced_message_views) == ({}, {})


async def test_pressing_regenerate_on_a_private_answer_hands_over_its_token(bot: Bot) -> None:
    """Only that token can change a private message; with it the page is edited again."""
    used = await bot.discord.slash(bot.channel, bot.ada, "ask", question="psst", private=True)
    incoming = await bot.accepted()
    surface = await bot.surface()
    ref = await surface.post(0, words("one", controls=Controls("reply1", finished=True)), "n0")
    assert used.original is not None

    pressed = await bot.discord.press(used.original, bot.ada, "Regenerate")
    await until(lambda: pressed.answered)
    used.expired = True
    capability = bot.intake.pressed[0].capability
    again = await bot.adapter.surface(incoming, "reply1", capability)
    await again.edit(ref, 0, words("better"))

    assert used.original.content == "better"


async def test_button_of_an_older_version_is_acknowledged(bot: Bot) -> None:
    """Nobody sees "interaction failed"."""
    surface = await bot.ask()
    ref = await surface.post(0, words("x", controls=Controls("r", stop=True)), "n0")
    page = bot.channel.messages[int(ref)]
    page.components[0]["components"][0]["custom_id"] = "something:else"

    used = await bot.discord.press(page, bot.ada, "Stop")
    await until(lambda: used.answered)

    assert bot.intake.pressed == []


async def test_commands_are_registered_once_and_only_on_change(bot: Bot, start: StartBot) -> None:
    """The first start registers seven commands and all five menus, for servers and users; the second one nothing."""
    await until(lambda: bot.discord.syncs == 1)
    await until(lambda: any("commands" in key for key in bot.notes.kept))
    await bot.leave()

    async with start(notes=bot.notes) as again:
        await again.quiet()

    names = sorted(command["name"] for command in bot.discord.commands)
    assert bot.discord.syncs == 1
    assert names == [
        "Explain this", "Extract ...", "Summarise from here", "Transcribe", "Transcribe with times",
        "ask", "export", "forget", "help", "model", "persona", "stop", "usage",
    ]  # fmt: skip
    assert all(command["integration_types"] == [0, 1] for command in bot.discord.commands)
    assert all(command["contexts"] == [0, 1, 2] for command in bot.discord.commands)


async def test_refused_registration_changes_nothing_else(start: StartBot, discord) -> None:
    """The day's two hundred creations are used up: a warning, and the bot answers on."""
    discord.creates_left = 0
    async with start() as bot:
        await bot.ask()

    assert len(bot.intake.accepted) == 1


async def test_late_acknowledgement_still_gets_a_public_answer(bot: Bot) -> None:
    """When Discord no longer waits, the answer goes where it can: into the channel."""
    bot.discord.ack_s = -1.0
    await bot.discord.slash(bot.channel, bot.ada, "ask", question="hi")
    await bot.accepted()
    surface = await bot.surface()

    await surface.post(0, words("hello"), "n0")

    assert [message.content for message in bot.discord.said(bot.channel)] == ["hello"]
