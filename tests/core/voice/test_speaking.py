"""Speaking: what is read out, where it is cut, and that a failure leaves the text alone."""

from __future__ import annotations

import io
import wave

import pytest

from core.domain.errors import LimitReached, OverLimit
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.domain.model_spec import ModelSpec, Price
from core.domain.requests import Reply, Usage
from core.voice.speaking import Speaking, aloud, joined, sentences
from tests.core.files import samples
from tests.fakes.clock import FakeClock

ANN = UserKey("slack", "T1", "U1")
ASKED = Incoming("1", "1", ANN, ConversationKey("slack", "T1", "C1", "1"), "", 0.0)
ORPHEUS = ModelSpec("orpheus", "groq", "speech", 4_000, 0, frozenset(), Price(characters=22.0))


class Mouth:
    """Speaks a tenth of a second for each piece, and keeps Groq's limit."""

    def __init__(self, *errors: Exception) -> None:
        self.said: list[str] = []
        self._errors = list(errors)

    async def speak(self, text: str, model: ModelSpec, voice: str) -> bytes:
        assert len(text) <= 200  # facts/groq.md 9
        self.said.append(text)
        if self._errors:
            raise self._errors.pop(0)
        return samples.tone(0.1)


class Guard:
    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.settled: list[float] = []

    async def admit(self, request_id: str, user: UserKey, *, cost_usd: float) -> None:
        if self.refuses:
            raise OverLimit("user", "USD per day", limit=1.0, retry_after_s=60.0)

    async def settle(self, request_id: str, usage: Usage) -> None:
        self.settled.append(usage.cost_usd)


def speaking(clock: FakeClock, mouth: Mouth, guard: Guard | None = None) -> Speaking:
    return Speaking({"groq": mouth}, lambda: [ORPHEUS], clock, guard=guard)


def reply(text: str) -> Reply:
    return Reply(text, "m", "groq", Usage())


async def test_answer_becomes_one_clip(clock: FakeClock) -> None:
    """Every sentence is spoken, the pieces stand behind each other, and the characters are paid."""
    mouth, guard = Mouth(), Guard()
    text = "Terns fly far. " * 30

    clip = await speaking(clock, mouth, guard).clip("run", ASKED, reply(text))

    assert clip is not None
    with wave.open(io.BytesIO(clip.content)) as read:
        assert read.getnframes() / read.getframerate() == pytest.approx(0.1 * len(mouth.said))
    assert " ".join(mouth.said) == text.strip()
    assert guard.settled == [pytest.approx(sum(map(len, mouth.said)) / 1e6 * 22.0)]


@pytest.mark.parametrize("error", [LimitReached("10 RPM"), TimeoutError()])
async def test_failure_leaves_the_text_alone(clock: FakeClock, error: Exception) -> None:
    """A speech model that does not answer costs the clip, never the answer."""
    guard = Guard()

    assert await speaking(clock, Mouth(error), guard).clip("run", ASKED, reply("Hello.")) is None
    assert guard.settled == [0.0]


async def test_refusal_of_the_guard_speaks_nothing(clock: FakeClock) -> None:
    """Who has used up their day is answered in writing."""
    mouth = Mouth()

    assert await speaking(clock, mouth, Guard(refuses=True)).clip("run", ASKED, reply("Hello.")) is None
    assert mouth.said == []


async def test_code_alone_is_not_read_out(clock: FakeClock) -> None:
    """An answer without a speakable word stays written."""
    assert await speaking(clock, Mouth()).clip("run", ASKED, reply("```py\nprint(1)\n```")) is None


@pytest.mark.parametrize(
    ("markdown", "read"),
    [
        ("**Yes**, `really`.", "Yes, really."),
        ("# Title\n\n- one\n- two", "Title one two"),
        ("See [the docs](https://example.org/a_b) or https://example.org.", "See the docs or"),
        ("Before.\n\n```sh\nrm -rf /\n```\n\nAfter.", "Before. After."),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nDone.", "Done."),
    ],
)
def test_what_is_read_out(markdown: str, read: str) -> None:
    """Words only: no marks, code, tables or addresses."""
    assert aloud(markdown) == read


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two three. Four.", ["One.", "Two three.", "Four."]),
        ("a, b, c, d, e, f", ["a, b, c,", "d, e, f"]),
        ("abcdefghijklmnop", ["abcdefghij", "klmnop"]),
        ("", []),
    ],
)
def test_where_it_is_cut(text: str, pieces: list[str]) -> None:
    """At sentences, else clauses, else words, else where it must be."""
    assert sentences(text, 10, 1_000) == pieces


def test_long_answer_is_read_to_the_end_of_a_sentence() -> None:
    """Beyond the limit nothing is begun."""
    assert sentences("One two. Three four. Five six.", 12, 22) == ["One two.", "Three four."]


def test_foreign_formats_are_not_joined() -> None:
    """What is no WAV, or another WAV, is refused rather than played too fast."""
    with pytest.raises(ValueError, match="no WAV"):
        joined([b"ID3 mp3"])
    with pytest.raises(ValueError, match="changed"):
        joined([samples.tone(0.1), samples.bursts(0.2, every_s=0.1, pause_s=0.02, rate=8_000)])
