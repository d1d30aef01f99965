"""Whatever a message holds, it becomes a question that can be stored, or silence."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.message import DiscordFile, DiscordMessage, Forward
from adapters.discord.parse import Command, Ignored, all_files, command, incoming, trigger
from core.base.text import well_formed
from core.storage.codec import decode_incoming, storable

ME = 42
IDS = st.integers(0, 2**64 - 1) | st.just(ME)
TEXTS = st.text(st.characters(codec=None), max_size=6) | st.sampled_from(
    ("", "\0", "\ud800", "<@42>", "<@!42>,", "<@", "<a:x:" + "9" * 17 + ">", "\u202e", "x" * 5_000, "//[", "http://\u2100/")
)  # fmt: skip
FILES = st.builds(
    DiscordFile,
    id=IDS,
    name=TEXTS,
    mime=TEXTS | st.sampled_from(("image/png", "audio/ogg", "text/plain")),
    size_bytes=st.integers() | st.sampled_from((-1, 10**30)),
    duration_s=st.none() | st.floats() | st.integers(),
    url=TEXTS,
)
SOME_FILES = st.lists(FILES, max_size=2).map(tuple)
SOME_TEXTS = st.lists(TEXTS, max_size=2).map(tuple)


def messages(replied: st.SearchStrategy[Any]) -> st.SearchStrategy[DiscordMessage]:
    return st.builds(
        DiscordMessage,
        id=IDS,
        channel=IDS,
        author=IDS,
        name=TEXTS,
        guild=st.none() | IDS,
        thread=st.booleans(),
        parent=st.none() | IDS,
        bot=st.booleans(),
        content=TEXTS,
        mentions=st.frozensets(IDS, max_size=2),
        files=SOME_FILES,
        embeds=SOME_TEXTS,
        stickers=SOME_TEXTS,
        forwards=st.lists(st.builds(Forward, TEXTS, SOME_FILES, SOME_TEXTS), max_size=2).map(tuple),
        reply_to=st.none() | IDS,
        replied=replied,
        edited=TEXTS,
    )


MESSAGES = messages(st.none() | messages(st.none()))
ODD_FILE = DiscordFile(1, "a", "", 10**30, float("inf"), "https://[")


@given(MESSAGES)
@example(DiscordMessage(1, 2, 3, content="hi", files=(ODD_FILE,)))
def test_no_message_breaks_the_parser(message: DiscordMessage) -> None:
    """Odd texts, names, addresses, sizes and lengths: what is taken for a question can be stored and read again."""
    if isinstance(trigger(message, ME), Ignored):
        return

    kept, body = storable(incoming(message, ME, None))

    assert decode_incoming(body) == kept
    assert [file.name for file in kept.attachments] == [well_formed(file.name) for file in message.files]


@given(TEXTS, SOME_FILES, st.none() | MESSAGES, st.sampled_from(("ask", "transcribe")), TEXTS)
def test_no_command_breaks_the_parser(
    text: str, files: tuple[DiscordFile, ...], target: DiscordMessage | None, action: Any, name: str
) -> None:
    """The same for a slash command or one from a message's menu."""
    used = Command(1, 2, name, 3, None, action, text, files=files, target=target, locale=name)

    kept, body = storable(command(used, ME))

    assert decode_incoming(body) == kept
    expected = len(files) + (len(all_files(target)) if target is not None and action == "transcribe" else 0)
    assert len(kept.attachments) == expected


@given(
    st.lists(st.sampled_from(("w1", "w2", " ", "\n", ",", "<@42>", "<@!42>", "<@43>", "**", "`", "<", "@", "\ud800")))
)
def test_only_the_bots_own_mention_is_taken_out(parts: list[str]) -> None:
    """No word of the question is lost, nor anybody else's mention."""
    message = DiscordMessage(1, 2, 3, guild=4, content="".join(parts), mentions=frozenset({ME}))

    asked = incoming(message, ME, None).text

    assert [part for part in parts if part in {"w1", "w2", "<@43>"}] == re.findall(r"w1|w2|<@43>", asked)
