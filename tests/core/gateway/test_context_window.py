"""Making a request fit one model."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.events import Notice
from core.domain.incoming import UserKey
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import ChatRequest, Image, Text, ToolCall, ToolResult, Turn
from core.gateway.context_window import DEFAULT_OUTPUT_TOKENS, fit
from core.gateway.tokens import TokenScale

SMALL = ModelSpec("small", "local", "local", 2_000, 2_000, frozenset({Capability.TEXT}))
EYES = replace(
    SMALL, id="eyes", context_window=20_000, capabilities=SMALL.capabilities | {Capability.VISION}, max_images=2
)
SCALE = TokenScale()
SYSTEM = Turn("system", (Text("Be brief."),))
PICTURE = Image("blob:1", "image/png", 512, 512)


def user(*parts: str | Image) -> Turn:
    return Turn("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def bot(text: str) -> Turn:
    return Turn("assistant", (Text(text),))


def ask(*turns: Turn, max_output_tokens: int | None = 200) -> ChatRequest:
    return ChatRequest("r1", UserKey("api", "", "u"), turns, max_output_tokens=max_output_tokens)


def test_what_fits_stays_as_it_is() -> None:
    """Without a notice."""
    request = ask(SYSTEM, user("hi"))

    assert fit(request, SMALL, SCALE) == (request, ())


def test_the_answers_length_is_always_set() -> None:
    """Admission counts with it; half the context at most."""
    assert fit(ask(user("hi"), max_output_tokens=None), EYES, SCALE)[0].max_output_tokens == 2_000
    roomy = replace(EYES, max_output=50_000)
    assert fit(ask(user("hi"), max_output_tokens=None), roomy, SCALE)[0].max_output_tokens == DEFAULT_OUTPUT_TOKENS
    assert fit(ask(user("hi"), max_output_tokens=None), SMALL, SCALE)[0].max_output_tokens == 1_000


def test_history_goes_from_the_oldest() -> None:
    """Whole exchanges; the system turn and the question stay."""
    old, new = user("a" * 4_000), user("b" * 400)

    fitted, notices = fit(ask(SYSTEM, old, bot("c" * 4_000), new, bot("d"), user("e")), SMALL, SCALE)

    assert fitted.turns == (SYSTEM, new, bot("d"), user("e"))
    assert notices == (Notice("trimmed", {"turns": "2"}),)


def test_a_tools_result_never_stays_without_its_call() -> None:
    """A provider answers 400 to it."""
    rounds = (Turn("assistant", (ToolCall("c", "f", "{}"),)), Turn("tool", (ToolResult("c", "f", "r" * 8_000),)))

    fitted, _ = fit(ask(user("a"), *rounds, bot("b"), user("c")), SMALL, SCALE)

    assert fitted.turns == (user("c"),)


def test_an_over_long_question_is_cut_in_its_middle() -> None:
    """Its end often holds the question itself; the notice says how much is left."""
    fitted, notices = fit(ask(SYSTEM, user("start " + "x" * 20_000 + " end?")), SMALL, SCALE)

    text = fitted.turns[1].text
    assert text.startswith("start ")
    assert text.endswith(" end?")
    assert "characters left out" in text
    assert [notice.kind for notice in notices] == ["cut"]
    assert notices[0].facts["total_chars"] == "20011"
    assert fitted.turns[0] == SYSTEM


def test_a_tools_over_long_result_is_cut() -> None:
    """In the round that is under way it cannot be dropped."""
    turns = (
        user("a"),
        Turn("assistant", (ToolCall("c", "f", "{}"),)),
        Turn("tool", (ToolResult("c", "f", "r" * 20_000),)),
    )

    fitted, notices = fit(ask(*turns), SMALL, SCALE)

    result = fitted.turns[2].parts[0]
    assert isinstance(result, ToolResult)
    assert result.call_id == "c"
    assert len(result.content) < 8_000
    assert notices[0].kind == "cut"


def test_a_persona_is_cut_last() -> None:
    """Only where it alone is too long."""
    fitted, _ = fit(ask(Turn("system", (Text("s" * 20_000),)), user("hi")), SMALL, SCALE)

    assert fitted.turns[1].text == "hi"
    assert 5_000 < len(fitted.turns[0].text) < 8_000


def test_the_newest_pictures_are_kept() -> None:
    """Older ones become a word, without a notice: they were seen before."""
    fitted, notices = fit(ask(user("a", PICTURE), bot("b"), user("c", PICTURE, PICTURE)), EYES, SCALE)

    kinds = [[type(part) for part in turn.parts] for turn in fitted.turns]
    assert kinds == [[Text, Text], [Text], [Text, Image, Image]]
    assert notices == ()


def test_a_picture_of_the_question_itself_is_missed_aloud() -> None:
    """The reader should know which were not looked at."""
    fitted, notices = fit(ask(user("a", PICTURE, PICTURE, PICTURE)), EYES, SCALE)

    assert [type(part) for part in fitted.turns[0].parts] == [Text, Text, Image, Image]
    assert notices[0].kind == "declined"


def test_a_text_model_gets_no_picture_at_all() -> None:
    """Not even out of the history."""
    fitted, _ = fit(ask(user("a", PICTURE), bot("b"), user("c")), SMALL, SCALE)

    assert not any(isinstance(part, Image) for turn in fitted.turns for part in turn.parts)


def test_a_learned_scale_is_heeded() -> None:
    """A model that reports twice the tokens gets half the text."""
    scale = TokenScale()
    for _ in range(50):
        scale.correct("small", 1_000, 2_000)

    plain, _ = fit(ask(user("x" * 20_000)), SMALL, SCALE)
    learned, _ = fit(ask(user("x" * 20_000)), SMALL, scale)

    assert len(learned.turns[0].text) < 0.6 * len(plain.turns[0].text)


TURNS = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=30), st.integers(1, 400)), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(TURNS, st.text(max_size=30), st.integers(1, 2_000))
def test_it_always_fits(turns: list[tuple[str, str, int]], question: str, times: int) -> None:
    """Whatever was said, in any script; and the last question is still there."""
    history = [Turn(role, (Text(text * n),)) for role, text, n in turns]  # type: ignore[arg-type]
    request = ask(*history, user(question * times))

    fitted, _ = fit(request, SMALL, SCALE)

    assert SCALE.of_request(fitted, SMALL.id) <= 1_800
    assert fitted.turns[-1].role == "user"
