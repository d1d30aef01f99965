"""A page becomes what Slack takes."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.slack.mention_guard import held_back
from adapters.slack.mrkdwn import to_markdown
from adapters.slack.render import (
    MAX_PAGE_CHARS,
    aligned,
    around,
    blocks,
    fallback_text,
    heading,
    in_sections,
    page_length,
    plainer,
    stream_length,
    to_mrkdwn,
)
from core.ports.platform import Controls, Shown
from tests.fakes.slack.checks import check_blocks, parts_of, pings_in
from tests.work import HOSTILE, grows_evenly

GROWING = Controls("r-17", stop=True)
FINISHED = Controls("r-17", finished=True)


def test_a_growing_page() -> None:
    """One markdown block, the status below it, and Stop."""
    built = blocks(Shown("Hello **world**", status="Searching <the web>", controls=GROWING))

    assert [block["type"] for block in built] == ["markdown", "context", "actions"]
    assert built[0]["text"] == "Hello **world**"
    assert built[1]["elements"][0]["text"] == "_Searching &lt;the web&gt;_"
    assert built[2]["elements"][0]["value"] == "r-17"


def test_a_finished_page() -> None:
    """Footer, Regenerate, Shorter and the thumbs."""
    built = blocks(Shown("Hello", final=True, footer="stopped", controls=FINISHED))

    assert [block["type"] for block in built] == ["markdown", "context", "actions", "context_actions"]
    assert [element["action_id"] for element in built[2]["elements"]] == ["tern_regenerate", "tern_shorter"]
    assert built[3]["elements"][0]["negative_button"]["value"] == "down:r-17"


def test_a_page_of_status_alone() -> None:
    """An empty markdown block would be refused; there is none."""
    assert [block["type"] for block in blocks(Shown("", status="Queued, place 3"))] == ["context"]


def test_what_a_stream_gets_at_its_end() -> None:
    """The same without the text, which was streamed."""
    assert [block["type"] for block in around(Shown("Hello", final=True, controls=FINISHED))] == [
        "actions", "context_actions"
    ]  # fmt: skip


@pytest.mark.parametrize("shown", [Shown("x" * 50_000, final=True), Shown("&" * 5_000, final=True), Shown("<" * 3_999)])
def test_the_fallback_text_is_short_enough(shown: Shown) -> None:
    """chat.update refuses more than 4,000 characters of text, escapes counted."""
    assert 0 < len(fallback_text(shown)) <= 4_000


@pytest.mark.parametrize("place", range(296, 303))
def test_the_fallback_text_loses_no_more_than_a_halved_entity(place: int) -> None:
    """What screen readers and notifications say is cut at its limit, wherever an ampersand stands."""
    text = "A & B < C " + "x" * place + "&more"

    said = fallback_text(Shown(text))

    assert said.startswith("A &amp; B &lt; C x")
    assert 294 <= len(said) <= 300
    assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt);)*", said)


def test_a_section_parts_no_link() -> None:
    """A long paragraph is cut between words; a link and an entity stay whole."""
    pieces = in_sections(to_mrkdwn("word [a b](https://a.org/x) R&D " * 400))

    assert len(pieces) > 3
    assert "".join(piece + " " for piece in pieces).split() == ("word <https://a.org/x|a b> R&amp;D " * 400).split()
    assert all(piece.count("<") == piece.count(">") for piece in pieces)


def test_the_fallback_text_is_never_empty() -> None:
    """Blocks without text leave the notification empty."""
    assert fallback_text(Shown("")) == "…"


def test_a_heading_cannot_break_out() -> None:
    """A name chosen by its bearer is neither markup nor a ping."""
    assert heading("<!here> *Ada*", "a & b") == "*‹!here&gt; *Ada* asked:* a &amp; b"


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("# Title", "*Title*"),
        ("- one\n  - two", "• one\n  • two"),
        ("[a|b](https://example.org/?x=1&y=2)", "<https://example.org/?x=1&amp;y=2|a¦b>"),
        ("[a [b](https://example.org)", "[a <https://example.org|b>"),
        ("*it* and ***both***", "_it_ and _*both*_"),
        ("[Rust](https://a.org/Rust_(x_y))", "<https://a.org/Rust_(x_y)|Rust>"),
        ("https://a.org/__main__.html?a&b", "<https://a.org/__main__.html?a&amp;b>"),
        ("[r](../x.md) <a@b.org>", "r (../x.md) <mailto:a@b.org>"),
        ("> one\n> two", "&gt; one\n&gt; two"),
        ("- [x] done\n- ```py\n  a < b\n  ```", "• ☑ done\n•\n```\na &lt; b\n```"),
        (
            "| a | b |\n|-|-|\n| [x](https://a.org) | `c|d` |",
            "```\na                 | b  \nx (https://a.org) | c|d\n```",
        ),
        ("snake_case &amp; \\*star\\*", "snake_case &amp; *star*"),
        ("**开源：**代码", "*开源：*代码"),
        ("~~gone~~", "~gone~"),
        ("`a < b`", "`a &lt; b`"),
        ("```py\na < b **no**\n```", "```\na &lt; b **no**\n```"),
        ("| a | b |\n| --- | --- |\n| 1 | 22 |", "```\na | b \n1 | 22\n```"),
        ("5 < 6 & 7", "5 &lt; 6 &amp; 7"),
    ],
)
def test_mrkdwn(markdown: str, mrkdwn: str) -> None:
    """Slack's older dialect, as near as it comes."""
    assert to_mrkdwn(markdown) == mrkdwn


def test_aligned_tables() -> None:
    """Columns are padded, the separator goes."""
    assert aligned([["name", "n"], ["a", "1"]]) == "name | n\na    | 1"


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab \n`|-*<&", max_size=9_000))
def test_plain_sections_fit_and_lose_nothing(text: str) -> None:
    """Every section is within Slack's 3,000 characters."""
    for piece in in_sections(to_mrkdwn(text)):
        assert 0 < len(piece) <= 3_000


WORDS = st.integers(0, 999).map(lambda number: f"w{number}")
MARKS = st.sampled_from((
    *("\n", "\n\n", " ", "```", "```py\n", "\n```\n", "~~~", "`", "``", "|", "| a | b |\n", "|---|---|\n", "# ", "**"),
    *("__", "*", "_", "~~", "- ", "> ", "<", ">", "&", "&lt;", "[x](https://e.org/a?b=1&c=<2>|3)", "![i](https://e.org)"),
    *("@here", "@channel ", "<!here>", "<@U1>", "\0", "\x000\0", "\ud800", "\ude00", "\u202e", "\u200b", "\\"),
    *("\u0301" * 30, "\r", "\u2028", "\U0001f600", "[" * 50, "> " * 50, "&" * 500, "a" * 3_000, "https://e.org/x"),
))  # fmt: skip
ANSWERS = st.lists(WORDS | MARKS, max_size=40).map(" ".join) | st.lists(WORDS | MARKS, max_size=40).map("".join)


def words_in(text: str) -> list[str]:
    return re.findall(r"w\d+", text)


def within(few: list[str], many: list[str]) -> bool:
    """Whether *few* are among *many*, in order."""
    rest = iter(many)
    return all(word in rest for word in few)


def without_info(markdown: str) -> str:
    """What stands behind an opening fence names a language; it is no part of the text."""
    return re.sub(r"^(`{3,}|~{3,})[^\n]*", r"\1", markdown, flags=re.MULTILINE)


@given(ANSWERS)
@example("\x001\0")
@example("[x](https://e.org)\x000\0")
@example("|---|---|\n|---|---|\n")
@example("\ud800")
def test_whatever_a_model_writes_slack_takes_and_nobody_is_pinged(text: str) -> None:
    """In both forms: within Slack's limits, encodable, no order in any disguise, fences closed, no word lost."""
    shown = Shown(text, final=True, status="s", footer="f", controls=FINISHED)
    for built in (blocks(shown), plainer(shown)):
        if page_length(text) <= MAX_PAGE_CHARS and not (built and built[0]["type"] == "markdown" and "|" in text):
            check_blocks(built)
        parts = parts_of(built, fallback_text(shown))
        assert "".join(parts).encode()
        assert [ping for part in parts for ping in pings_in(part)] == []
    assert stream_length(text) >= page_length(text) / 2
    pieces = in_sections(to_mrkdwn(text))
    assert all(piece.count("```") % 2 == 0 for piece in pieces[:-1])
    shown_words = words_in("\n".join(pieces))
    assert within(words_in(without_info(text)), shown_words)
    assert within(shown_words, words_in(text))


@given(st.integers(0, 3_000), st.integers(0, 1_500))
@example(3_000, 1_300)
def test_one_wide_cell_does_not_blow_a_table_up(width: int, rows: int) -> None:
    """The plainer form of any page fits into the 50 blocks of a message."""
    text = f"|{'x' * width}|b|\n|-|-|\n" + "|w1|b|\n" * rows

    if page_length(text) <= MAX_PAGE_CHARS:
        built = plainer(Shown(text, final=True))
        check_blocks(built)
        assert len(words_in(str(built))) == rows


PLAIN = st.text(st.sampled_from("abc 123.,;:()'\"!?<>&é字😀"), min_size=1, max_size=12).map(lambda text: f"x{text}x")
PIECES = st.one_of(
    PLAIN,
    PLAIN.map(lambda text: f"**{text}**"),
    PLAIN.map(lambda text: f"~~{text}~~"),
    PLAIN.map(lambda text: f"`{text}`"),
    st.just("[label](https://example.org/?a=1&b=2)"),
    PLAIN.map(lambda text: f"\n```\n{text}\n```\n"),
)


@given(st.lists(PIECES, min_size=1, max_size=8).map(" ".join))
def test_what_was_posted_is_read_back(markdown: str) -> None:
    """The bot's own page, met again as a message of its thread, is the Markdown it was."""
    assert to_markdown(to_mrkdwn(markdown)).split() == markdown.split()


def test_plain_pages_are_taken_by_slack() -> None:
    """The plainer form of a hard page passes Slack's checks with its buttons."""
    shown = Shown("# T\n\n" + "word " * 2_000 + "\n\n```\n" + "code\n" * 500 + "```", final=True, controls=FINISHED)

    built = plainer(shown)
    check_blocks(built)

    assert built[-1]["type"] == "actions"
    texts = [block["text"]["text"] for block in built if block["type"] == "section"]
    assert all(text.count("```") % 2 == 0 for text in texts)


def test_lengths_are_counted_as_a_pessimist_does() -> None:
    """Edited pages in UTF-16 units, streamed ones in bytes of UTF-8."""
    assert page_length("a😀") == 3
    assert stream_length("a😀é") == 7


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_text_not_faster(piece: str) -> None:
    """Whatever a model, or a person in Slack, repeats."""
    assert grows_evenly(lambda text: in_sections(to_mrkdwn(text)), piece)
    for walks in (to_markdown, held_back, lambda text: fallback_text(Shown(text))):
        assert grows_evenly(walks, piece)
