"""What a reader sees when a second model takes over: the five ways it may behave, at every place of the cut.

`editable` True is the page (text may be taken back), False an API stream (append-only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.gateway.continuation import Join, NoSafeSeam, Seam
from core.gateway.continuation.seam import MAX_HELD_CHARS
from tests.core.gateway.continuation.answers import ANSWER, IN_OTHER_WORDS, TOKENS, cut, last_words

EVERY_CUT = range(1, len(TOKENS))
BOTH_SURFACES = pytest.mark.parametrize("editable", [True, False], ids=["page", "api"])


def visible(shown: str, said: str, *, editable: bool = True, size: int = 4) -> str:
    """What stands on the screen after *said* came in pieces of *size* characters."""
    seam = Seam(shown, editable=editable)
    join: Join | None = None
    rest = ""
    for piece in pieces(said, size):
        if join is None:
            join = seam.feed(piece)
        else:
            rest += piece
    join = join or seam.end()
    assert editable or join.keep_chars == len(shown)
    return shown[: join.keep_chars] + join.text + rest


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[i : i + size] for i in range(0, len(text), size))


def test_the_answer_has_fifty_tokens() -> None:
    """The answer that all of this is tried on is 50 tokens long."""
    assert len(TOKENS) == 50


# --- (a) continues exactly -------------------------------------------------------------------------------------------


@BOTH_SURFACES
@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("after", EVERY_CUT)
def test_exact_continuation(after: int, size: int, editable: bool) -> None:
    """(a) A model that continues exactly leaves the original text, wherever the cut was."""
    shown, rest = cut(after)

    assert visible(shown, rest, editable=editable, size=size) == ANSWER


WORDS = (
    "harbour lighthouse **breakwater** current, driftwood anchor. The pilot (Maja) steers northward; `compass` needle "
    "quivers - storms gather: Fishermen _mend_ their nets. Nobody sleeps! Gulls circle above empty barrels, while "
    "children count lanterns. JavaScript runs 3.14 times, naïve Öresund “quoted” words\n\n- first\n- second item\n"
    "## Heading\n\n1. alpha beta\n2. gamma delta"
)


@given(
    words=st.lists(st.sampled_from(re.findall(r"\s*\S+", WORDS)), min_size=3, max_size=40, unique=True),
    where=st.floats(0.02, 0.98),
    size=st.integers(1, 40),
    editable=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_exact_continuation_of_any_text(words: list[str], where: float, size: int, editable: bool) -> None:
    """(a) An exact continuation leaves the original, for any text of different words cut at any character."""
    text = "".join(words).lstrip()
    after = max(1, int(len(text) * where))
    assume(text[:after].strip() and text[after:])

    assert visible(text[:after], text[after:], editable=editable, size=size) == text


# --- (b) repeats the last words --------------------------------------------------------------------------------------


@BOTH_SURFACES
@pytest.mark.parametrize("words", [4, 6, 12])
@pytest.mark.parametrize("after", EVERY_CUT)
def test_last_words_again(after: int, words: int, editable: bool) -> None:
    """(b) A model that repeats the last words, cut ones included, and then continues leaves the original text."""
    shown, rest = cut(after)

    assert visible(shown, last_words(shown, words) + rest, editable=editable) == ANSWER


@given(
    words=st.lists(st.sampled_from(re.findall(r"\s*\S+", WORDS)), min_size=8, max_size=40, unique=True),
    where=st.floats(0.3, 0.98),
    count=st.integers(4, 12),
    size=st.integers(1, 40),
    editable=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_last_words_of_any_text_again(words: list[str], where: float, count: int, size: int, editable: bool) -> None:
    """(b) Repeating the last words leaves the original, for any text of different words cut at any character."""
    text = "".join(words).lstrip()
    after = max(1, int(len(text) * where))
    assume(text[:after].strip() and text[after:].strip())

    assert visible(text[:after], last_words(text[:after], count) + text[after:], editable=editable, size=size) == text


@pytest.mark.parametrize(
    ("shown", "said", "whole"),
    [
        ("Terns see **two sum", "terns see two summers a year.", "Terns see **two summers a year."),
        ("Terns see two summers", "Terns  see\ntwo summers a year.", "Terns see two summers a year."),
        ("She said “two summers", 'she said "two summers" again.', 'She said “two summers" again.'),
        ("They see **two summers**", "see **two summers** a year", "They see **two summers** a year"),
        ("one near Antarctica\n\n", "near Antarctica\n\nThen home.", "one near Antarctica\n\nThen home."),
        ("one near Antarctica\n", "one near Antarctica\n\nThen home.", "one near Antarctica\n\nThen home."),
        ("the year 20", "20", "the year 2020"),
        ("very, very", " very far", "very, very very far"),
        ("bana", "nas", "bananas"),
    ],
)
def test_repeats_that_differ_a_little(shown: str, said: str, whole: str) -> None:
    """Case, whitespace, quotes and emphasis do not hide a repeat, and chance is not taken for one."""
    assert visible(shown, said, editable=False) == whole


@BOTH_SURFACES
def test_answer_that_was_complete(editable: bool) -> None:
    """A model that only repeats the last words says that nothing is missing."""
    assert visible(ANSWER, last_words(ANSWER, 6), editable=editable) == ANSWER


@BOTH_SURFACES
@pytest.mark.parametrize("after", EVERY_CUT)
def test_whole_answer_again_in_the_same_words(after: int, editable: bool) -> None:
    """A model that says the whole answer again adds only what was missing."""
    shown, _ = cut(after)

    assert visible(shown, ANSWER, editable=editable) == ANSWER


# --- (c) prefaces ----------------------------------------------------------------------------------------------------


@BOTH_SURFACES
@pytest.mark.parametrize(
    "courtesy",
    ["Sure, continuing: ", "Sure, continuing ", "Certainly! Continuing from where I left off: ", "Continuing... "],
)
@pytest.mark.parametrize("after", EVERY_CUT)
def test_courtesy_on_the_same_line(after: int, courtesy: str, editable: bool) -> None:
    """(c) "Sure, continuing" in front of an exact continuation is not shown; the original is."""
    shown, rest = cut(after)

    assert visible(shown, courtesy + rest, editable=editable) == ANSWER


CUT_WITHIN_A_WORD = (1, 3, 24, 30, 33)


@BOTH_SURFACES
@pytest.mark.parametrize("after", EVERY_CUT)
def test_courtesy_on_its_own_line(after: int, editable: bool) -> None:
    """(c) After a courtesy on its own line the text is the original, but a word that was cut stays in two halves.

    A model that begins a paragraph drops the space in front of it, so a missing space is put back; that no word was
    cut is the likelier case.
    """
    shown, rest = cut(after)

    seen = visible(shown, "Sure! Here's the rest of the answer:\n\n" + rest, editable=editable)

    if after in CUT_WITHIN_A_WORD:
        assert seen in (f"{shown} {rest}", f"{shown}\n{rest}")
    else:
        assert seen == ANSWER


@BOTH_SURFACES
@pytest.mark.parametrize("after", EVERY_CUT)
def test_courtesy_and_last_words(after: int, editable: bool) -> None:
    """(c) and (b) together leave the original everywhere."""
    shown, rest = cut(after)

    assert visible(shown, "Sure, continuing:\n\n" + last_words(shown, 6) + rest, editable=editable) == ANSWER


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("The flock is", " continuing south. Then it rests."),
        ("They rested.\n\n", "Continuing south, the flock met a storm."),
        ("Ask the pilot.\n\n", "Sure, he will answer: he likes guests."),
        ("Steps:\n\n", "Here is the boat."),
        ("He nodded. ", "Okay, so the rest of the crew left."),
    ],
)
def test_sentences_that_only_sound_like_a_courtesy(shown: str, said: str) -> None:
    """An answer's own words stay, even when they speak of continuing."""
    assert visible(shown, said, editable=False) == shown + said


# --- (d) starts over in other words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", EVERY_CUT)
def test_other_words_replace_the_text_on_a_page(after: int) -> None:
    """(d) Where text may be taken back, an answer that starts over replaces all of it."""
    shown, _ = cut(after)

    assert visible(shown, IN_OTHER_WORDS, editable=True) == IN_OTHER_WORDS


@pytest.mark.parametrize("after", EVERY_CUT)
def test_other_words_find_no_seam_in_an_append_only_stream(after: int) -> None:
    """(d) Where nothing may be taken back, an answer that starts over is not shown at all."""
    shown, _ = cut(after)

    with pytest.raises(NoSafeSeam):
        visible(shown, IN_OTHER_WORDS, editable=False)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("It is written in Java", "Script and runs everywhere."),
        ("Its capital is **", "Paris**, on the Seine."),
        ("Its seat is **", "The Hague**, by the sea."),
        ("the **breakwater** ", "The pilot said."),
        ("1. Terns eat fish in the morning.\n", "2. Terns eat fish in the evening."),
        ("Terns eat fish.\n\n", "Sailors mend their nets when storms come."),
        ("call `user", "Name` first"),
        ("```js\nlet user", "The = 1\n```"),
    ],
)
def test_capitals_alone_are_no_new_start(shown: str, said: str) -> None:
    """A continuation that begins with a capital is not taken for a new start."""
    assert visible(shown, said, editable=True) == shown + said


def test_common_beginning_stays_when_the_same_start_goes_elsewhere() -> None:
    """A model that starts over with the same words and then differs replaces only from there."""
    shown = "Arctic terns migrate from pole to pole every year. They see two"
    again = "Arctic terns migrate from pole to pole twice in a lifetime."
    seam = Seam(shown, editable=True)

    join = seam.feed(again) or seam.end()

    assert shown[: join.keep_chars] + join.text == again
    assert join.keep_chars >= len("Arctic terns migrate from pole to pole")


# --- (e) closes a fence wrongly --------------------------------------------------------------------------------------

OPEN = "Fly:\n\n```python\nfor leg in journey:\n"
CLOSED = OPEN + "    fly(leg)\n```\n"


@BOTH_SURFACES
@pytest.mark.parametrize(
    ("shown", "said", "whole"),
    [
        pytest.param(OPEN, "```python\n    fly(leg)\n```\n", CLOSED, id="opens the block again"),
        pytest.param(OPEN, "```\n\n```python\n    fly(leg)\n```\n", CLOSED, id="closes it and opens it again"),
        pytest.param(OPEN, "    fly(leg)\n```\n", CLOSED, id="goes on within"),
        pytest.param(OPEN, "```python\nfor leg in journey:\n    fly(leg)\n```\n", CLOSED, id="says the block again"),
        pytest.param(OPEN, "Sure, continuing:\n\n```python\n    fly(leg)\n```\n", CLOSED, id="courtesy, opens again"),
        pytest.param(OPEN + "    fly(leg)", "```\nDone.", CLOSED + "Done.", id="closes on the same line"),
        pytest.param(OPEN + "    fly(leg)\n", "```\nDone.", CLOSED + "Done.", id="closes rightly"),
        pytest.param(CLOSED, "```\nDone.", CLOSED + "Done.", id="closes a second time"),
        pytest.param(CLOSED.rstrip("\n"), "\n```\nDone.", CLOSED + "Done.", id="closes a second time on a new line"),
        pytest.param(CLOSED, "\n```bash\nls\n```\n", CLOSED + "\n```bash\nls\n```\n", id="opens another block"),
        pytest.param(OPEN[:-28], "```python\nfor leg in journey:\n", OPEN, id="opens a cut fence again"),
        pytest.param("Fly:", "```python\nx\n```", "Fly:\n\n```python\nx\n```", id="opens on the same line"),
        pytest.param("~~~js\nlet a\n", "~~~js\nlet b\n~~~", "~~~js\nlet a\nlet b\n~~~", id="tildes"),
    ],
)
def test_fences(shown: str, said: str, whole: str, editable: bool) -> None:
    """(e) A fence that would break the code block apart is dropped; one that belongs there stays."""
    for size in (1, 4, 1000):
        assert visible(shown, said, editable=editable, size=size) == whole


# --- holding back ----------------------------------------------------------------------------------------------------


def test_clear_case_is_shown_with_its_first_piece() -> None:
    """A space and a word that was not said just before needs no waiting."""
    assert Seam("Terns fly", editable=False).feed(" southward") == Join(9, " southward")


def test_impatient_caller_gets_a_plain_continuation() -> None:
    """When the time is up an unclear case joins as it is."""
    seam = Seam("Terns fly south.\n\n", editable=True)
    assert seam.feed("Then they rest") is None

    assert seam.feed(" there", patient=False) == Join(18, "Then they rest there")


@given(said=st.text("ab The.\n`", min_size=MAX_HELD_CHARS + 80, max_size=MAX_HELD_CHARS + 120))
@settings(max_examples=60, deadline=None)
def test_holding_is_bounded(said: str) -> None:
    """Whatever a model says, it is not held back much longer than the stated number of characters."""
    seam = Seam("a The. b\n" * 3, editable=True)

    assert any(seam.feed(char) is not None for char in said)


def test_long_answer_said_again_is_held_to_its_end() -> None:
    """Word for word the same is never shown twice, however long it takes."""
    shown = " ".join(f"word{n}" for n in range(400))

    assert visible(shown, shown + " and more", editable=False, size=7) == shown + " and more"


def test_nothing_more_to_say() -> None:
    """An empty continuation leaves the text as it is."""
    assert Seam("Terns fly", editable=False).end() == Join(9, "")


@BOTH_SURFACES
@pytest.mark.parametrize("after", [after for after in EVERY_CUT if after > 6])
def test_slow_repeat_of_the_end_is_waited_for(after: int, editable: bool) -> None:
    """A model that says the last words again as slowly as it likes never makes them stand there twice."""
    shown, rest = cut(after)
    said = last_words(shown, 6) + rest
    seam = Seam(shown, editable=editable)
    join: Join | None = None
    tail = ""
    for at, piece in enumerate(pieces(said, 6)):
        if join is None:
            join = seam.feed(piece, patient=at == 0)
        else:
            tail += piece
    join = join or seam.end()

    assert shown[: join.keep_chars] + join.text + tail == ANSWER
