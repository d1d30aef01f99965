"""One reply in a channel: posting, editing, finding again, through the real library and real buckets."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord import rest_calls as calls
from adapters.discord.message import snowflake_at
from adapters.discord.surface import TYPING_AFTER_S
from core import wording
from core.domain.errors import SurfaceBusy, SurfaceGone, SurfaceRejected
from core.ports.platform import Controls
from tests.adapters.discord.conftest import WINDOW_S, Bot, StartBot, words
from tests.fakes.discord import Fault, until


async def test_post_answers_the_question_and_edits_replace_it(bot: Bot) -> None:
    """A page is posted as a reply to the question, then shows whatever text it is given."""
    surface = await bot.ask()

    ref = await surface.post(0, words("Terns are"), "nonce0")
    await surface.edit(ref, 0, words("Terns are seabirds.", final=True))

    page = bot.channel.messages[int(ref)]
    assert page.history == ["Terns are", "Terns are seabirds."]
    assert page.reference is not None
    assert page.reference["message_id"] == bot.intake.accepted[0].message_id


async def test_nobody_is_pinged_on_any_path(bot: Bot) -> None:
    """Posts, edits, pages that only change buttons and files carry no ping, whatever the model writes."""
    surface = await bot.ask()
    text = f"@everyone @here <@{bot.ada.id}> <@&123456789012345678>"

    ref = await surface.post(0, words(text), "nonce0")
    await surface.edit(ref, 0, words(text + "!"))
    await surface.edit(ref, 0, words(text + "!", controls=Controls("r", finished=True)))
    await surface.attach("answer.md", b"# all", text)

    assert bot.discord.pings == []
    written = [request.body for request in bot.discord.requests if request.method in ("POST", "PATCH")]
    allowed = [body["allowed_mentions"] for body in written if body and "content" in body]
    assert len(allowed) == 3
    assert all(rule["parse"] == [] and not rule.get("replied_user") for rule in allowed)


async def test_previews_stay_off_after_an_edit(bot: Bot) -> None:
    """The flag that hides link previews survives edits, which discord.py's Message.edit would clear."""
    surface = await bot.ask()

    ref = await surface.post(0, words("https://example.org"), "nonce0")
    await surface.edit(ref, 0, words("https://example.org it is"))

    assert bot.channel.messages[int(ref)].flags == 4


async def test_equal_nonce_posts_once(bot: Bot) -> None:
    """The same page posted again is the same message."""
    surface = await bot.ask()

    first = await surface.post(0, words("hi"), "nonce0")
    again = await surface.post(0, words("hi"), "nonce0")

    assert first == again
    assert len(bot.discord.said(bot.channel)) == 1


async def test_full_bucket_does_not_hold_the_caller(bot: Bot) -> None:
    """The fifth edit of a window returns when Discord has answered, although the library sleeps the window out.

    Counted, not timed: when the fifth edit is back, its window is still running.
    """
    surface = await bot.ask()
    ref = await surface.post(0, words("0"), "nonce0")

    for number in range(1, 6):
        await surface.edit(ref, 0, words(str(number)))

    window = bot.discord.limits.window("edit", str(bot.channel.id))
    assert (window.used, bot.discord.refusals) == (5, [])
    assert window.reset_after_s() > 0
    assert bot.channel.messages[int(ref)].content == "5"


async def test_headers_reach_the_pacer(bot: Bot) -> None:
    """What is left of a bucket is told under the key that the surface declares."""
    surface = await bot.ask()

    await surface.post(0, words("hi"), "nonce0")

    assert (surface.limits.post[0].key, 4, 5) in [(key, left, size) for key, left, _, size in bot.ear.heard]


async def test_headers_of_a_response_that_hung_are_not_told(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left of a bucket long ago says nothing now: the pacer's own count is newer."""
    monkeypatch.setattr(calls, "YOUNG_S", 0.05)
    surface = await bot.ask()
    bot.discord.faults.append(Fault("POST", r"/messages$", "hang", after_s=0.1))

    await surface.post(0, words("hi"), "nonce0")

    assert surface.limits.post[0].key not in [key for key, *_ in bot.ear.heard]


async def test_one_bucket_for_posts_and_edits_is_noticed(bot: Bot) -> None:
    """Where Discord counts both together, each response speaks for both."""
    bot.discord.limits.shared = True
    surface = await bot.ask()

    ref = await surface.post(0, words("hi"), "nonce0")
    await surface.edit(ref, 0, words("hi there"))

    last_two = {key: left for key, left, _, _ in bot.ear.heard[-2:]}
    assert last_two == {surface.limits.post[0].key: 3, surface.limits.edit[0].key: 3}


async def test_cancelled_caller_cancels_no_write(bot: Bot) -> None:
    """Whoever waits may give up; the edit lands all the same, and the next one is not punished for it."""
    surface = await bot.ask()
    ref = await surface.post(0, words("0"), "nonce0")
    bot.discord.faults.append(Fault("PATCH", "messages", "hang", after_s=0.05))

    waiting = asyncio.create_task(surface.edit(ref, 0, words("1")))
    await until(lambda: bot.channel.messages[int(ref)].content == "1")
    waiting.cancel()
    await surface.edit(ref, 0, words("2"))

    assert bot.channel.messages[int(ref)].history == ["0", "1", "2"]


async def test_older_text_never_lands_on_newer(bot: Bot) -> None:
    """An edit waits for the answer to the one before, even when nobody waits for that any more."""
    surface = await bot.ask()
    ref = await surface.post(0, words("0"), "nonce0")
    bot.discord.faults.append(Fault("PATCH", "messages", "rate_limited", after_s=0.1))

    waiting = asyncio.create_task(surface.edit(ref, 0, words("older")))
    await until(lambda: bot.discord.refusals)
    waiting.cancel()
    await surface.edit(ref, 0, words("newer"))

    assert bot.channel.messages[int(ref)].history == ["0", "older", "newer"]


async def test_hung_socket_fails_by_itself(start: StartBot) -> None:
    """A request that hears nothing ends as the library's own failure: nothing is cancelled, and the next edit goes out
    without waiting for it."""
    async with start(silence_s=0.1) as bot:
        surface = await bot.ask()
        ref = await surface.post(0, words("0"), "nonce0")
        bot.discord.faults.append(Fault("PATCH", "messages", "hang", after_s=60))

        with pytest.raises(SurfaceBusy) as failure:
            await surface.edit(ref, 0, words("1"))
        await surface.edit(ref, 0, words("2"))

        assert not failure.value.unsure
        assert bot.channel.messages[int(ref)].content == "2"


async def test_429_is_waited_out_and_told_to_the_pacer(bot: Bot) -> None:
    """The library repeats after the stated time; the pacer hears at once that nothing may go out before."""
    surface = await bot.ask()
    ref = await surface.post(0, words("0"), "nonce0")
    bot.discord.faults.append(Fault("PATCH", "messages", "rate_limited", after_s=0.05))

    await surface.edit(ref, 0, words("1"))

    assert bot.channel.messages[int(ref)].content == "1"
    assert (surface.limits.edit[0].key, 0, 0.05, None) in bot.ear.heard


@pytest.mark.parametrize(
    ("fault", "unsure"),
    [
        (Fault("POST", "messages", "status", status=503), True),
        (Fault("POST", "messages", "cloudflare", after_s=7), False),
        (Fault("POST", "messages", "cut"), True),
        (Fault("POST", "messages", "lost"), True),
    ],
    ids=["503", "cloudflare", "cut", "lost"],
)
async def test_failed_post_says_whether_it_may_stand(bot: Bot, fault: Fault, unsure: bool) -> None:
    """What the library does not repeat comes back as "busy"; unsure where the message may stand."""
    surface = await bot.ask()
    bot.discord.faults.append(fault)

    with pytest.raises(SurfaceBusy) as failure:
        await surface.post(0, words("hi"), "nonce0")

    assert failure.value.unsure == unsure
    assert fault.what != "cloudflare" or failure.value.retry_after_s == 7


async def test_lost_post_is_found_and_not_doubled(bot: Bot) -> None:
    """A post whose response was lost is recognised by its nonce, which the gateway brought back."""
    surface = await bot.ask()
    bot.discord.faults.append(Fault("POST", "messages", "lost"))

    with pytest.raises(SurfaceBusy):
        await surface.post(0, words("hi"), "nonce0")
    await until(lambda: bot.adapter._connection.echo_of("nonce0"))
    found = await surface.find(0, "nonce0")
    again = await surface.post(0, words("hi"), "nonce0")

    assert found == again == str(bot.discord.said(bot.channel)[0].id)


async def test_pages_of_an_earlier_process_are_found(bot: Bot) -> None:
    """Without an echo, pages are known by being our replies to the question, in order; files are none."""
    surface = await bot.ask()
    refs = [await surface.post(number, words(f"page {number}"), f"nonce{number}") for number in range(2)]
    await surface.attach("rest.md", b"x", "the rest")
    bot.adapter._connection._echoes.clear()

    assert [await surface.find(number, f"nonce{number}") for number in range(3)] == [*refs, None]


async def test_deleted_question_does_not_keep_the_answer_away(bot: Bot) -> None:
    """The answer then stands as a plain message."""
    surface = await bot.ask()
    question = bot.channel.messages[int(bot.intake.accepted[0].message_id)]
    await bot.discord.delete(question)

    ref = await surface.post(0, words("hi"), "nonce0")

    assert bot.channel.messages[int(ref)].reference is None


async def test_channel_without_history_permission_gets_a_plain_message(bot: Bot) -> None:
    """Replying needs Read Message History; answering does not."""
    bot.channel.permissions -= {"history"}
    surface = await bot.ask()

    ref = await surface.post(0, words("hi"), "nonce0")

    assert bot.channel.messages[int(ref)].content == "hi"


@pytest.mark.parametrize(
    ("lacks", "thread", "right"),
    [
        ("send", False, "Send Messages"),
        ("send_in_threads", True, "Send Messages in Threads"),
        ("view", False, "View Channel"),
        ("view", True, "View Channel"),
    ],
)
async def test_missing_permission_is_said_to_the_asker_once(bot: Bot, lacks: str, thread: bool, right: str) -> None:
    """Where the bot hears but may not write, the asker is told in a direct message which right it lacks."""
    place = bot.channel
    if thread:
        place = await bot.discord.thread(await bot.discord.say(bot.channel, bot.ada, "look"))
    await bot.discord.say(place, bot.ada, "hello", mention=True)
    await bot.accepted()
    surface = await bot.surface()
    place.permissions -= {lacks}

    for _ in range(2):
        with pytest.raises(SurfaceGone):
            await surface.post(0, words("hi"), "nonce0")
    dm = bot.discord.dm(bot.ada)
    await until(lambda: bot.discord.said(dm))

    assert [message.content for message in bot.discord.said(dm)] == [wording.may_not_write(f"<#{place.id}>", right)]


async def test_file_without_the_right_to_attach_is_refused_and_nothing_else(bot: Bot) -> None:
    """The pages stand, so nobody is told that the bot may not write there."""
    bot.channel.permissions -= {"attach"}
    surface = await bot.ask()
    await surface.post(0, words("hi"), "nonce0")

    with pytest.raises(SurfaceRejected):
        await surface.attach("rows.csv", b"a,b", "")

    assert bot.discord.said(bot.discord.dm(bot.ada)) == []


@pytest.mark.parametrize("gone", ["message", "channel"])
async def test_what_vanished_is_gone(bot: Bot, gone: str) -> None:
    """A deleted page and a deleted channel are reported as gone for good."""
    surface = await bot.ask()
    ref = await surface.post(0, words("hi"), "nonce0")
    if gone == "message":
        await bot.discord.delete(bot.channel.messages[int(ref)])
    else:
        bot.discord.channels.pop(bot.channel.id)

    with pytest.raises(SurfaceGone):
        await surface.edit(ref, 0, words("ho"))


async def test_archived_thread_is_woken_for_the_last_edit(start: StartBot, discord) -> None:
    """An edit in a thread that went to sleep opens it again."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        thread = await discord.thread(await discord.say(bot.channel, bot.ada, "look"))
        await discord.say(thread, bot.ada, "help", mention=True)
        await bot.accepted()
        surface = await bot.surface()
        ref = await surface.post(0, words("hi"), "nonce0")
        thread.archived = True

        await surface.edit(ref, 0, words("done"))

    assert thread.messages[int(ref)].content == "done"


async def test_locked_thread_is_gone(start: StartBot, discord) -> None:
    """A thread that a moderator locked stays shut."""
    discord.content_intent = True
    async with start(message_content=True) as bot:
        thread = await discord.thread(await discord.say(bot.channel, bot.ada, "look"))
        await discord.say(thread, bot.ada, "help", mention=True)
        await bot.accepted()
        surface = await bot.surface()
        ref = await surface.post(0, words("hi"), "nonce0")
        thread.archived = thread.locked = True

        with pytest.raises(SurfaceGone):
            await surface.edit(ref, 0, words("done"))


async def test_page_that_is_taken_back_is_deleted(bot: Bot) -> None:
    """Removing twice is harmless."""
    surface = await bot.ask()
    ref = await surface.post(0, words("hi"), "nonce0")

    await surface.remove(ref, 0)
    await surface.remove(ref, 0)

    assert bot.discord.said(bot.channel) == []


async def test_file_stands_beside_the_reply(bot: Bot) -> None:
    """A file is posted with its comment; above ten MiB it is refused before it is sent."""
    surface = await bot.ask()

    ref = await surface.attach("answer.md", b"# long", "The rest is in the file.")
    with pytest.raises(SurfaceRejected) as failure:
        await surface.attach("big.md", b"x" * (10 * 2**20 + 1), "")

    page = bot.channel.messages[int(ref)]
    assert (page.content, page.uploads[0].name, page.uploads[0].content) == (
        "The rest is in the file.",
        "answer.md",
        b"# long",
    )
    assert failure.value.too_long


async def test_typing_is_shown_and_may_fail(bot: Bot) -> None:
    """The indicator is a side task: a refusal of it disturbs nothing."""
    surface = await bot.ask()
    bot.discord.faults.append(Fault("POST", "typing", "status", status=403))

    await surface.busy(True)
    await until(lambda: bot.discord.sent("POST", "typing"))
    ref = await surface.post(0, words("hi"), "nonce0")
    again = await bot.ask("more")
    await again.busy(True)
    await until(lambda: bot.discord.typing)

    assert bot.channel.messages[int(ref)].content == "hi"
    assert bot.discord.typing == [bot.channel.id]


async def test_fast_answer_needs_no_typing_indicator(bot: Bot) -> None:
    """What stands within a moment costs no request for an indicator."""
    surface = await bot.ask()

    await surface.busy(True)
    await surface.post(0, words("hi"), "nonce0")
    await surface.busy(False)
    await asyncio.sleep(TYPING_AFTER_S + 0.1)

    assert bot.discord.sent("POST", "typing") == []


async def test_longest_page_stays_within_discords_limit(bot: Bot) -> None:
    """A page of the greatest allowed length with status line fits, counted in UTF-16 units."""
    surface = await bot.ask()

    ref = await surface.post(0, words("\N{GRINNING FACE}" * 900, status="x" * 300), "nonce0")

    assert len(bot.channel.messages[int(ref)].content.encode("utf-16-le")) // 2 <= 1_900


async def test_without_a_connection_the_surface_is_busy(bot: Bot) -> None:
    """A reply in flight during an outage is told to come back, and goes on after it."""
    surface = await bot.ask()
    connection = bot.adapter._connection
    calls, connection.calls = connection.calls, None

    with pytest.raises(SurfaceBusy):
        await surface.post(0, words("hi"), "nonce0")
    connection.calls = calls

    assert await surface.post(0, words("hi"), "nonce0")


async def test_windows_are_as_the_settings_say(bot: Bot) -> None:
    """The declared rates are the ones that the bucket has, with the bot's fifty a second beside them."""
    surface = await bot.ask()

    assert surface.limits.edit[0].per_s == WINDOW_S
    assert [rate.key for rate in surface.limits.edit] == [f"discord:{bot.channel.id}:edit", "discord:global"]


def test_snowflakes_of_a_moment_come_before_its_messages() -> None:
    """The smallest id of a moment is what history is asked for "after"."""
    assert snowflake_at(1_420_070_400.0) == 0
    assert snowflake_at(0.0) == 0


async def test_number_of_messages_is_the_operators_choice(start: StartBot) -> None:
    """What finds no room in them goes into a file, in a channel and under a command alike."""
    async with start(most_messages=3) as bot:
        in_channel = await bot.ask()
        await bot.discord.slash(bot.channel, bot.ada, "ask", question="long?")
        await bot.accepted(2)
        under_command = await bot.surface()

    assert (in_channel.limits.max_pages, under_command.limits.max_pages) == (3, 3)
