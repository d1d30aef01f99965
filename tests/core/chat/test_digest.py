"""Long texts are read whole, part by part, and become notes that fit."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat.digest import Digest, DigestLimits, split
from core.domain.errors import NoModelLeft
from core.domain.events import Event, Notice, Send
from core.domain.requests import ChatRequest, Reply, Usage
from tests.core.voice.hearing import USER

SMALL = DigestLimits(part_chars=100, at_once=2, result_chars=150)
ASK = ChatRequest("r1", USER, (), channel_key="web")


class Reader:
    """Notes the words in capitals, like a model that knows what matters."""

    def __init__(self, *, verbose: int = 1, fails_on: str = "") -> None:
        self.asked: list[ChatRequest] = []
        self.verbose = verbose
        self.fails_on = fails_on
        self.under_way = self.most = 0

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        self.asked.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        part = request.turns[1].text
        if self.fails_on and self.fails_on in part:
            raise NoModelLeft()
        found = [word for word in part.split() if word.isupper()]
        return Reply(" ".join(found * self.verbose) or "(nothing)", "m", "groq", Usage(output_tokens=1))


class Screen:
    def __init__(self) -> None:
        self.labels: list[str] = []

    async def __call__(self, event: Event) -> None:
        assert isinstance(event, Notice)
        self.labels.append(event.facts["label"])


def long_text(*facts: str, filler: int = 30) -> str:
    return "\n\n".join(f"{'word ' * filler}{fact}" for fact in facts)


async def test_every_part_is_read_and_notes_keep_their_order() -> None:
    """Facts from all over the text come together in its order."""
    model, screen = Reader(), Screen()

    found = await Digest(model, limits=SMALL).digest(
        "a.txt", long_text("ALPHA", "BETA", "GAMMA"), "which?", ASK, screen
    )

    assert found.text.split() == ["ALPHA", "BETA", "GAMMA"]
    assert found.usage.output_tokens == len(model.asked) == found.parts
    assert screen.labels[-1] == f"Reading a.txt: {found.parts} of {found.parts} parts"


async def test_parts_are_asked_with_the_question_and_ids_of_their_own() -> None:
    """Each part knows what is asked; the guard books each once; few run at a time."""
    model = Reader()

    await Digest(model, limits=SMALL).digest("a.txt", long_text("ALPHA", "BETA"), "which letter?", ASK, Screen())

    assert all("which letter?" in request.turns[0].text for request in model.asked)
    assert len({request.request_id for request in model.asked}) == len(model.asked)
    assert all(request.channel_key == "web" for request in model.asked)
    assert model.most <= 2


async def test_notes_that_are_too_long_are_read_again() -> None:
    """Reduction goes on while notes get shorter, and ends with what fits."""
    model = Reader(verbose=2)
    text = long_text(*(f"FACT{n}" for n in range(40)))

    found = await Digest(model, limits=SMALL).digest("a.txt", text, "?", ASK, Screen())

    assert len(found.text) <= SMALL.result_chars
    assert len(model.asked) > found.parts


async def test_model_that_cannot_be_short_is_not_asked_for_ever() -> None:
    """Notes that do not shrink end the reduction."""
    model = Reader(verbose=9)

    found = await Digest(model, limits=SMALL).digest("a.txt", "FACT " * 100, "?", ASK, Screen())

    assert len(found.text) <= SMALL.result_chars
    assert len(model.asked) == found.parts


async def test_what_lies_beyond_the_last_part_is_known() -> None:
    """A text above the limit is read as far as the limit goes, and that is told."""
    limits = DigestLimits(part_chars=100, max_parts=2, result_chars=1000)

    found = await Digest(Reader(), limits=limits).digest("a.txt", "word " * 200, "?", ASK, Screen())

    assert found.parts > 2
    assert found.read_chars <= 200


async def test_part_nobody_reads_ends_the_whole() -> None:
    """Half a reading is not passed off as a whole one."""
    with pytest.raises(NoModelLeft):
        await Digest(Reader(fails_on="BETA"), limits=SMALL).digest("a", long_text("ALPHA", "BETA"), "?", ASK, Screen())


@given(st.text(max_size=2000), st.integers(min_value=1, max_value=300))
def test_splitting_loses_nothing(text: str, part_chars: int) -> None:
    """The parts joined are the text, and none is too long."""
    parts = split(text, part_chars)

    assert "".join(parts) == text
    assert all(len(part) <= part_chars for part in parts)
