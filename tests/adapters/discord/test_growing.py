"""Answers that grow: the real LiveReply and Pacer over the real library and the strict fake's buckets."""

from __future__ import annotations

import asyncio
import re

import pytest

from adapters.discord.render import MAX_UNITS, RULE, render, units
from core.base.clock import SystemClock
from core.delivery.live_reply import LiveReply
from core.delivery.pacing.pacer import Pacer
from core.domain.events import TextDelta
from core.domain.requests import ShownRecord
from core.ports.platform import Surface
from core.ports.storage import ReplyLedger
from tests.adapters.discord.conftest import Bot, StartBot, words
from tests.fakes.discord import FakeDiscord, Fault, Message
from tests.fakes.surface import FakeLedger

TOKEN_S = 0.004


def long_answer() -> str:
    """A little over 10,000 characters: prose, headings, code blocks in which a cut must fall, a table."""
    prose = "\n\n".join(f"Paragraph {number}: " + "terns fly far and wide. " * 12 for number in range(24))
    code = "\n".join(f"value_{number} = compute({number})  # line {number}" for number in range(90))
    table = "\n".join(f"| tern {number} | {number * 7} | 漢字 |" for number in range(12))
    return (
        f"# Terns\n\n{prose}\n\n```python\n{code}\n```\n\n| name | count | kanji |\n|---|--:|---|\n{table}\n\nThe end."
    )


async def grow(
    surface: Surface,
    text: str,
    *,
    pacer: Pacer,
    ledger: ReplyLedger | None = None,
    reply_id: str = "reply1",
    token_s: float = TOKEN_S,
    step: int = 8,
) -> ShownRecord:
    """Write *text* as a model does, *step* characters at a time."""
    clock = SystemClock()
    async with LiveReply(
        surface,
        ledger or FakeLedger(),
        pacer,
        clock,
        reply_id=reply_id,
        request_id="run1",
        platform="discord",
        asked_at=clock.now(),
        patience_s=10.0,
    ) as live:
        for at in range(0, len(text), step):
            await live.send(TextDelta(text[at : at + step]))
            await asyncio.sleep(token_s)
        return await live.finish()


def paced(bot: Bot) -> Pacer:
    """A pacer that hears this bot's headers."""
    pacer = Pacer(SystemClock())
    bot.adapter._buckets.observer = pacer
    return pacer


def words_of(messages: list[Message]) -> list[str]:
    """What a reader reads, without what belongs to the layout."""
    text = "\n".join(message.content for message in messages)
    return re.findall(r"[\w一-龥]+", re.sub(r"```\w*|\(continued\)", " ", text))


async def test_reading_counts_towards_the_fifty_a_second(start: StartBot, discord: FakeDiscord) -> None:
    """A crowd's reply chains are read within the bot's fifty a second: Discord refuses none of it."""
    discord.content_intent = True
    async with start(message_content=True, backfill_hours=0) as bot:
        paced(bot)
        first = await discord.say(bot.channel, bot.ada, "hop 0")
        second = await discord.say(bot.channel, bot.ada, "hop 1", reply_to=first)
        await discord.say(bot.channel, bot.ada, "and now?", mention=True, reply_to=second)
        incoming = await bot.accepted()

        found = await asyncio.gather(*(bot.adapter.context(incoming) for _ in range(60)))

    assert {len(quotes) for quotes in found} == {1}
    assert discord.refusals == []


async def test_mention_grows_into_an_answer(bot: Bot) -> None:
    """One message is posted and edited until its last word stands, without a single refusal."""
    pacer = paced(bot)
    text = "A tern is a seabird of the family Laridae. " * 10
    surface = await bot.ask()

    shown = await grow(surface, text, pacer=pacer)

    [message] = bot.discord.said(bot.channel)
    assert message.content == text.strip()
    assert len(message.history) > 2
    assert shown.pages == 1
    assert bot.discord.refusals == []
    assert message.labels[0] == "Regenerate"


async def test_long_answer_is_whole_and_in_order(bot: Bot) -> None:
    """Ten thousand characters with code and a table become a few messages; not a word is lost, doubled or moved."""
    pacer = paced(bot)
    text = long_answer()
    surface = await bot.ask()

    await grow(surface, text, pacer=pacer, token_s=0.0, step=40)

    messages = bot.discord.said(bot.channel)
    assert len(text) > 10_000
    assert all(units(message.content) <= MAX_UNITS for message in messages)
    assert all(message.content.count("```") % 2 == 0 for message in messages)
    assert words_of(messages) == re.findall(r"[\w一-龥]+", re.sub(r"```\w*", " ", render(text).replace(RULE, "")))
    assert [bool(message.buttons) for message in messages] == [False] * (len(messages) - 1) + [True]
    assert bot.discord.refusals == []


async def test_very_long_answer_ends_as_a_file(bot: Bot) -> None:
    """Beyond the greatest number of pages the whole answer is attached."""
    pacer = paced(bot)
    surface = await bot.ask()
    text = "\n\n".join(f"Paragraph {number}: " + "word " * 60 for number in range(80))

    await grow(surface, text, pacer=pacer, token_s=0.0, step=400)

    messages = bot.discord.said(bot.channel)
    [file] = [upload for message in messages for upload in message.uploads]
    assert len(messages) <= surface.limits.max_pages + 1
    assert "Paragraph 79" in file.content.decode()


@pytest.mark.parametrize("shared", [False, True], ids=["two buckets", "one bucket"])
async def test_four_answers_in_one_channel_are_fair(bot: Bot, shared: bool) -> None:
    """Four at once: no 429, each complete, and none grew much more often than another."""
    bot.discord.limits.shared = shared
    pacer = paced(bot)
    texts = [f"Answer {number}: " + f"word{number} " * 120 for number in range(4)]
    surfaces = [await bot.ask(f"question {number}") for number in range(4)]

    await asyncio.gather(
        *(
            grow(surface, text, pacer=pacer, reply_id=f"reply{number}", token_s=0.006)
            for number, (surface, text) in enumerate(zip(surfaces, texts, strict=True))
        )
    )

    messages = bot.discord.said(bot.channel)
    shown = [len(message.history) for message in messages]
    assert sorted(message.content for message in messages) == sorted(text.strip() for text in texts)
    assert max(shown) - min(shown) <= 3
    assert bot.discord.refusals == []
    assert bot.discord.pings == []


async def test_last_words_wait_for_one_slot_only(bot: Bot) -> None:
    """While three others grow on in the channel, an answer that ends is written to its end next: after its last word
    the others get the write under way and one each at most, then it stands whole."""
    pacer = paced(bot)
    surfaces = [await bot.ask(f"question {number}") for number in range(4)]
    others = [
        asyncio.create_task(grow(surface, f"word{number} " * 200, pacer=pacer, reply_id=f"reply{number}"))
        for number, surface in enumerate(surfaces[1:])
    ]
    ended_at = 0

    async def end_first() -> None:
        nonlocal ended_at
        clock = SystemClock()
        async with LiveReply(
            surfaces[0], FakeLedger(), pacer, clock,
            reply_id="first", request_id="run1", platform="discord", asked_at=clock.now(),
        ) as live:  # fmt: skip
            for _ in range(40):
                await live.send(TextDelta("tern "))
                await asyncio.sleep(0.006)
            ended_at = len(bot.discord.requests)
            await live.finish()

    await end_first()
    since = bot.discord.requests[ended_at:]
    await asyncio.gather(*others)

    assert len(since) <= 4 + 1
    assert bot.discord.refusals == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PATCH", "messages", "rate_limited", times=3, after_s=0.05),
        Fault("PATCH", "messages", "status", status=503),
        Fault("PATCH", "messages", "cloudflare", after_s=0.1),
        Fault("PATCH", "messages", "cut"),
        Fault("PATCH", "messages", "lost"),
        Fault("POST", "messages", "lost"),
        Fault("POST", "messages", "cut"),
        Fault("POST", "messages", "status", status=503),
        Fault("POST", "messages", "rate_limited", after_s=0.05),
    ],
    ids=lambda fault: f"{fault.method} {fault.what} {fault.status}",
)
async def test_whatever_goes_wrong_there_is_one_whole_answer(bot: Bot, fault: Fault) -> None:
    """Refusals, outages and lost responses on the way leave one message with all of its text."""
    pacer = paced(bot)
    surface = await bot.ask()
    bot.discord.faults.append(fault)
    text = "A tern is a seabird of the family Laridae. " * 8

    await grow(surface, text, pacer=pacer)

    assert [message.content for message in bot.discord.said(bot.channel)] == [text.strip()]


async def test_deleted_prompt_does_not_disturb_the_answer(bot: Bot) -> None:
    """The question is deleted while its answer grows, and the desk says nothing: the answer ends as it began."""
    pacer = paced(bot)
    surface = await bot.ask()
    question = bot.channel.messages[int(bot.intake.accepted[0].message_id)]
    text = "A tern is a seabird. " * 20

    growing = asyncio.create_task(grow(surface, text, pacer=pacer))
    await bot.discord.delete(question)
    await growing

    assert [message.content for message in bot.discord.said(bot.channel)] == [text.strip()]


async def test_vanished_channel_ends_the_answer_at_once(bot: Bot) -> None:
    """Nobody retries into a channel that is gone."""
    pacer = paced(bot)
    surface = await bot.ask()
    bot.discord.channels.pop(bot.channel.id)

    shown = await grow(surface, "A tern is a seabird. " * 20, pacer=pacer)

    assert shown.outcome == "SurfaceGone"
    assert len(bot.discord.sent("POST", r"/messages$")) == 1


async def test_gateway_outage_does_not_stop_a_growing_answer(bot: Bot) -> None:
    """Edits go over REST: a closed socket in mid-answer is not seen by the reader."""
    pacer = paced(bot)
    surface = await bot.ask()
    text = "A tern is a seabird. " * 30

    growing = asyncio.create_task(grow(surface, text, pacer=pacer))
    await bot.discord.gateway.close()
    await growing

    assert [message.content for message in bot.discord.said(bot.channel)] == [text.strip()]


async def test_killed_process_is_completed_by_the_next_in_the_same_message(
    discord: FakeDiscord, start: StartBot
) -> None:
    """After kill -9 in mid-answer the next process edits the message that stands, also one it had no record of."""
    ledger = FakeLedger()
    async with start() as bot:
        surface = await bot.ask()
        await surface.post(0, words("A tern is"), "reply1-0")
        await ledger.posting(0, "reply1-0")  # and then the process was killed, before it noted the message's id
        intake, notes = bot.intake, bot.notes

    async with start(intake=intake, notes=notes) as again:
        text = "A tern is a seabird."
        await grow(await again.surface(), text, pacer=paced(again), ledger=ledger)

    assert [message.content for message in discord.said(again.channel)] == [text]
