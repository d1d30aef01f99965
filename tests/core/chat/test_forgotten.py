"""What was forgotten is not read back from a platform that still shows it."""

from __future__ import annotations

import pytest

from core.chat.forgotten import Forgotten
from core.domain.incoming import ConversationKey, Incoming, Quote, UserKey
from tests.fakes.clock import FakeClock

ANN, BOB = UserKey("discord", "", "ann"), UserKey("discord", "", "bob")
THREAD = ConversationKey("discord", "g", "t", "t")
ELSEWHERE = ConversationKey("discord", "g", "c", "m")


class Notes(dict[str, str]):
    """A NoteStore in memory."""

    async def set(self, key: str, value: str) -> None:
        self[key] = value

    async def get(self, key: str) -> str | None:  # type: ignore[override]
        return super().get(key)


def asked(conversation: ConversationKey = THREAD, *, by: UserKey = ANN, direct: bool = False) -> Incoming:
    return Incoming("9", "9", by, conversation, "and now?", received_at=0.0, direct=direct)


@pytest.mark.parametrize(
    ("forgets", "incoming", "left"),
    [
        (None, asked(), ["ann1", "bob1", "tern1", "ann3", "bob3", "tern3", "file"]),
        ((None, THREAD), asked(), ["ann3", "bob3", "tern3"]),
        ((None, ELSEWHERE), asked(), ["ann1", "bob1", "tern1", "ann3", "bob3", "tern3", "file"]),
        ((ANN, THREAD), asked(), ["bob1", "ann3", "bob3", "tern3", "file"]),
        ((ANN, THREAD), asked(by=BOB), ["bob1", "ann3", "bob3", "tern3", "file"]),
        ((ANN, None), asked(), ["bob1", "ann3", "bob3", "tern3", "file"]),
        ((ANN, ELSEWHERE), asked(), ["ann1", "bob1", "tern1", "ann3", "bob3", "tern3", "file"]),
        ((ANN, None), asked(direct=True), ["ann3", "bob3", "tern3"]),
        ((None, THREAD), asked(ConversationKey("discord", "g", "t", "i1")), ["ann3", "bob3", "tern3"]),
    ],
    ids=[
        "nothing",
        "here",
        "elsewhere",
        "her part",
        "told to bob",
        "all of her",
        "her part there",
        "direct",
        "command",
    ],
)
async def test_what_was_said_before_is_left_out(
    forgets: tuple[UserKey | None, ConversationKey | None] | None, incoming: Incoming, left: list[str]
) -> None:
    """A conversation, a person, or a person's part of one; ours goes with the person's; what came after stays."""
    clock = FakeClock()
    forgotten = Forgotten(Notes(), clock)
    start = clock.now()
    await clock.advance(2)
    if forgets:
        await forgotten.mark(*forgets)
    quotes = [
        Quote(name, name.rstrip("123"), "", "words", from_bot=name.startswith("tern"), said_at=start + int(name[-1]))
        for name in ("ann1", "bob1", "tern1", "ann3", "bob3", "tern3")
    ]
    quotes.append(Quote("file", "", "forwarded", "words of no known time"))

    found = await forgotten.without(incoming, quotes)

    assert [quote.message_id for quote in found] == left


async def test_a_mark_says_nothing_of_what_was_forgotten() -> None:
    """Neither people nor places nor words stand in it."""
    notes = Notes()
    await Forgotten(notes, FakeClock()).mark(ANN, THREAD)

    [(key, value)] = notes.items()
    assert "ann" not in key + value
    assert float(value) > 0
