"""What should be visible of a growing answer."""

from __future__ import annotations

from core.delivery.draft import Draft
from core.domain.events import Event, Notice, Restarted, Started, TextDelta, ToolCallDelta


def words(notice: Notice) -> str:
    return "" if notice.facts.get("silent") else f"<{notice.kind}>"


def drafted(*events: Event) -> Draft:
    draft = Draft(words)
    for event in events:
        draft.apply(event)
    return draft


def test_text_is_what_the_deltas_say():
    """Deltas are joined in order; other events leave the text alone."""
    draft = drafted(Started("m", "p"), TextDelta("Hel"), ToolCallDelta(0, "", "", "{}"), TextDelta("lo"))

    assert (draft.text, draft.chars) == ("Hello", 5)


def test_a_restart_keeps_the_beginning():
    """Only as much of the text stands as the next model keeps."""
    draft = drafted(TextDelta("Hello "), TextDelta("wurld"), Restarted("m2", 7), TextDelta("orld"))

    assert (draft.text, draft.chars) == ("Hello world", 11)


def test_a_restart_beyond_the_text_keeps_all_of_it():
    """A model that keeps more than there is keeps what there is."""
    assert drafted(TextDelta("Hi"), Restarted("m2", 9)).text == "Hi"


def test_a_tools_line_vanishes_into_the_answer():
    """What is being done shows until text comes, through the start of the model's next round."""
    draft = drafted(Notice("tool"), Started("m", "p"))
    before = draft.status

    draft.apply(TextDelta("It rains."))

    assert (before, draft.status) == ("<tool>", "")


def test_a_place_in_the_queue_is_over_when_a_model_starts():
    """A queued message says so until a model begins, even before its first word."""
    draft = drafted(Notice("queued"))
    before = draft.status

    draft.apply(Started("m", "p"))

    assert (before, draft.status) == ("<queued>", "")


def test_what_was_heard_stands_above_the_answer():
    """Openers are quotes above the text, in the order they came, each once."""
    draft = drafted(Notice("heard"), Notice("declined"), Notice("heard"), TextDelta("Yes."))

    assert draft.preface == "> <heard>\n\n> <declined>\n\n"
    assert draft.text == "Yes."


def test_nothing_pushes_shown_text_down():
    """A notice that comes after the first word becomes a footnote."""
    draft = drafted(TextDelta("Yes."), Notice("fallback"))

    assert (draft.preface, draft.footnotes) == ("", ("<fallback>",))


def test_a_notice_without_words_shows_nowhere():
    """A notice that is worded as nothing leaves no empty line."""
    draft = drafted(Notice("trimmed", {"silent": "1"}), Notice("tool", {"silent": "1"}))

    assert (draft.footnotes, draft.status) == ((), "")


def test_a_long_answer_costs_no_more_than_its_parts():
    """Applying is an append: the text is joined once when read, not with every delta."""
    draft = drafted(*[TextDelta("word ")] * 10_000)

    assert len(draft._parts) == 10_000
    assert len(draft.text) == 50_000
    assert len(draft._parts) == 1
