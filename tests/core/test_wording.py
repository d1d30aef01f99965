"""Wording: every error, notice and state has a sentence of its own, and none gives anything away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import pytest

from core import wording
from core.domain import errors as e
from core.domain.events import Notice, NoticeKind
from core.wording import notice_line, reference, sentence_for

SAMPLES: dict[type[e.TernError], e.TernError] = {
    e.SurfaceForbidden: e.SurfaceForbidden("send files", needs="files:write"),
    e.BadRequest: e.BadRequest("temperature must be between 0 and 2", param="temperature"),
    e.UnknownModel: e.UnknownModel("llama", known=("auto", "speed")),
    e.TooLarge: e.TooLarge("the message", limit=100_000, unit="characters"),
    e.Unreadable: e.Unreadable("plan.pdf", "it is locked by a password."),
    e.NothingRead: e.NothingRead(sound=True),
    e.Unfetchable: e.Unfetchable("example.org", "it answers with 404"),
    e.OverLimit: e.OverLimit("user", "requests per minute", limit=20, retry_after_s=12.0),
    e.SpendStopped: e.SpendStopped(limit_usd=5.0, retry_after_s=7_200.0),
    e.QueueFull: e.QueueFull(1_000),
    e.NotAllowed: e.NotAllowed("this channel is not on my list"),
    e.SurfaceBusy: e.SurfaceBusy("429", retry_after_s=3.0),
    e.SurfaceRejected: e.SurfaceRejected("invalid_blocks"),
    e.SettingsError: e.SettingsError(["GROQ_BASE_URL is no URL"]),
}


def leaves(kind: type[e.TernError] = e.TernError) -> Iterator[type[e.TernError]]:
    subclasses = kind.__subclasses__()
    if not subclasses:
        yield kind
    for subclass in subclasses:
        yield from leaves(subclass)


def sample(kind: type[e.TernError]) -> e.TernError:
    return SAMPLES[kind] if kind in SAMPLES else kind()


OURS = [kind for kind in leaves() if kind.__module__ == "core.domain.errors"]


@pytest.mark.parametrize("kind", OURS)
def test_every_error_has_a_sentence_of_its_own(kind: type[e.TernError]) -> None:
    """No leaf of the error tree falls back to a general sentence."""
    general = {sentence_for(base()) for base in (e.TernError, e.RequestError, e.ProviderError, e.SurfaceError)}

    sentence = sentence_for(sample(kind))

    assert sentence not in general
    assert sentence[0].isupper()
    assert sentence.rstrip()[-1] in ".)" or "\n- " in sentence
    assert "None" not in sentence


def test_a_message_that_waits_to_be_stored_need_not_be_sent_again() -> None:
    """Each kind of trouble says its own; none asks for what would be answered twice."""
    said = {wording.not_stored_yet(kind("x")) for kind in (e.StorageBusy, e.StorageFull, e.StorageError)}

    assert len(said) == 3
    assert all("no need to send it again" in sentence for sentence in said)


def test_sentences_differ() -> None:
    """Two errors never read the same."""
    sentences = [sentence_for(sample(kind)) for kind in OURS]

    assert len(set(sentences)) == len(sentences)


def test_foreign_error_gives_nothing_away() -> None:
    """The text of an error from outside the tree never reaches a reader."""
    sentence = sentence_for(RuntimeError("password=hunter2"), "run-1")

    assert "hunter2" not in sentence
    assert "(ref " in sentence


def test_providers_own_words_stay_inside() -> None:
    """What a provider wrote may name an organisation; the reader gets our sentence."""
    for kind in (*e.ProviderError.__subclasses__(), e.ProviderError):
        assert "org_123" not in sentence_for(kind("org_123 says no", provider="groq", model="big"))


def test_reference_is_short_stable_and_readable() -> None:
    """Six characters without I, L, O or U, the same for the same request."""
    assert reference("run-1") == reference("run-1") != reference("run-2")
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{6}", reference("run-1"))


def test_reference_stands_where_an_operator_must_look() -> None:
    """An asker's own mistake needs no code; everything else has one."""
    assert sentence_for(e.BadRequest("no"), "run-1").endswith("again.")
    assert sentence_for(e.NoModelLeft(), "run-1").endswith(f"(ref {reference('run-1')})")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (e.NoModelLeft(missing="vision"), "pictures"),
        (e.NoModelLeft(missing="text"), "GROQ_API_KEY"),
        (e.NoModelLeft(missing="levitation"), "levitation"),
        (e.NoModelLeft([e.KeyRejected(provider="groq")]), "GROQ_API_KEY"),
        (e.NoModelLeft([e.StreamBroken()], partial_text="Terns"), "broke off"),
        (e.NoModelLeft([e.LimitReached(retry_after_s=8.0), e.Overloaded()]), "8 seconds"),
        (e.NoModelLeft([e.ContextTooLong()]), "longer"),
        (e.NoModelLeft([e.RequestRejected(model="big"), e.KeyRejected()]), "did not accept the request"),
        (e.NoModelLeft([e.KeyRejected(provider="groq"), e.Overloaded(provider="openai")]), "60 seconds"),
        (e.OverLimit("workspace", "USD per day", limit=2.5, retry_after_s=4_000.0), "$2.50 per day"),
        (e.UnknownModel("`evil`\n@everyone", known=("auto",)), "'evil' @everyone"),
    ],
)
def test_sentences_say_what_to_do(error: e.TernError, words: str) -> None:
    """The sentence names what matters in this very case."""
    assert words in sentence_for(error)


@pytest.mark.parametrize("kind", get_args(NoticeKind))
def test_every_notice_has_a_line(kind: NoticeKind) -> None:
    """A notice without facts still reads well: one short line, a full stop, no gap."""
    line = notice_line(Notice(kind))

    assert line
    assert len(line) < 140
    assert "  " not in line
    assert "{" not in line


@pytest.mark.parametrize(
    ("notice", "line"),
    [
        (Notice("queued", {"place": "1"}), "Queued: you are next."),
        (Notice("queued", {"place": "2"}), "Queued: 1 message is before yours."),
        (Notice("queued", {"place": "4"}), "Queued: 3 messages are before yours."),
        (
            Notice("trimmed", {"turns": "3"}),
            "The 3 oldest messages were left out: the conversation is longer than the model can read.",
        ),
        (
            Notice("cut", {"kept_chars": "1000", "total_chars": "250000"}),
            "Your message was too long; I read 1,000 of its 250,000 characters.",
        ),
        (
            Notice("fallback", {"model": "small", "wanted": "big"}),
            "Answered by small, because big cannot just now.",
        ),
        (Notice("heard", {"text": "hello", "language": "en"}), "I heard (en): hello"),
        (Notice("tool", {"label": "Searching the web"}), "Searching the web ..."),
    ],
)
def test_notice_lines(notice: Notice, line: str) -> None:
    """A notice's facts stand in its line."""
    assert notice_line(notice) == line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (8.0, "8 seconds"),
        (89.1, "90 seconds"),
        (91.0, "2 minutes"),
        (3_600.0, "60 minutes"),
        (7_000.0, "about 2 hours"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """Times are rounded up to what a person would say."""
    assert wording.duration(seconds) == words


def test_times_of_day() -> None:
    """A time is told in the reader's zone, and in UTC where that is unknown."""
    noon = 1_800_014_400.0

    assert wording.clock_time(noon) == "12:00 UTC"
    assert wording.clock_time(noon, "Europe/Berlin") == "13:00"
    assert wording.clock_time(noon, "Mars/Olympus") == "12:00 UTC"
    assert "13:00" in wording.waiting(noon, "Europe/Berlin")


def test_counted_sentences() -> None:
    """One and many read rightly."""
    assert "a message" in wording.backlog(1)
    assert "12 messages" in wording.backlog(12)
    assert wording.forgotten(0) == wording.FORGOTTEN_NOTHING
    assert "1 stored item is" in wording.forgotten(1)
