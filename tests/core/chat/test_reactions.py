"""Which emoji asks for what."""

from __future__ import annotations

import pytest

from core.chat.memory import wish_of
from core.chat.reactions import command_of, wording_of


@pytest.mark.parametrize(
    ("emoji", "command"),
    [
        ("\N{MEMO}", "summarise"),
        ("memo", "summarise"),
        ("\N{BLACK QUESTION MARK ORNAMENT}", "answer"),
        ("globe_with_meridians", "translate"),
        (":repeat:", "again"),
        ("\N{BOOKMARK}\ufe0f", "remember"),
        ("\N{RAISED HAND}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}", "stop"),
        ("raised_hand::skin-tone-3", "stop"),
        ("\N{THUMBS UP SIGN}", None),
        ("<:memo:123456789012345678>", None),
        ("", None),
    ],
)
def test_emoji_and_what_it_asks_for(emoji: str, command: str | None) -> None:
    """As a character and by its short name, whatever its skin tone; a server's own emoji is none of these."""
    assert command_of(emoji) == command


def test_what_is_remembered_is_understood_by_the_memory() -> None:
    """The words that a bookmark makes are a request that core/chat/memory.py knows, also over several lines."""
    _, text = wording_of("remember", "the key is\nunder the mat")

    wish = wish_of(text)

    assert wish is not None
    assert (wish.kind, wish.words) == ("remember", "the key is under the mat")
