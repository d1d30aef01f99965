"""Splitting a growing text into pages."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.markdown.parser import new_parser
from core.delivery.pages.graphemes import breaks_before
from core.delivery.pages.inline import unclosed
from core.delivery.pages.pages import Pages, split
from core.delivery.pages.tail import Measure
from core.ports.platform import code_points
from tests.work import HOSTILE, grows_evenly

PARSER = new_parser()


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def padded(text: str) -> int:
    """A renderer that pads tables: each row counts as long as the widest."""
    lines = text.split("\n")
    widest = max((len(line) for line in lines if "|" in line), default=0)
    return sum((widest if "|" in line else len(line)) + 1 for line in lines)


PROSE = ["word ", "longer-word ", "Ein Satz. ", "文字が続く。", "\n", "\n\n", " ", "\r\n", "x" * 90, "\\", "> quote\n"]
BLOCKS = ["- item\n", "  - nested item\n", "1. first\n", "10. tenth\n", "# Heading\n", "    code\n", "x = 1\n"]
FENCES = ["```python\n", "```\n", "~~~\n", "> ```\n", "   ```sh\n"]
TABLES = ["| a | b |\n", "|---|---|\n", "| 1 | 2 |\n", "|"]
INLINE = ["**bold ", "** ", "*it* ", "`code` ", "`", "``", "[link](http://example.org/x) ", "[half](http", "![", "***"]
CLUSTERS = ["👩\u200d👩\u200d👧\u200d👦", "🇩🇪🇫🇷", "e\u0301", "한글", "👍🏽"]
fragments = st.sampled_from(PROSE + BLOCKS + FENCES + TABLES + INLINE + CLUSTERS)
markdown = st.one_of(
    st.lists(fragments, max_size=60).map("".join),
    st.lists(st.one_of(fragments, st.text(max_size=40)), max_size=30).map("".join),
    st.text(max_size=400),
)
measures = st.sampled_from([code_points, utf16, padded])


@settings(max_examples=80, deadline=None)
@given(text=markdown, limit=st.integers(80, 300), measure=measures)
def test_no_character_is_lost(text: str, limit: int, measure: Measure):
    """The sources of all pages, joined, are the text; a page shows its source with what is re-opened and closed."""
    pages = Pages(limit, measure).update(text, growing=False)

    assert "".join(page.source for page in pages).strip() == text.strip()
    for page in pages:
        assert page.text.startswith(page.opened)
        assert page.text.endswith(page.closed)
        body = page.text[len(page.opened) : len(page.text) - len(page.closed)]
        assert body.strip() == page.source.strip()


@settings(max_examples=80, deadline=None)
@given(text=markdown, limit=st.integers(80, 300), measure=measures)
def test_every_page_is_within_the_limit_and_shows_something(text: str, limit: int, measure: Measure):
    """However a platform counts, no page is longer than it takes, and none is empty."""
    for page in split(text, limit, measure):
        assert measure(page) <= limit
        assert page.strip()


@settings(max_examples=80, deadline=None)
@given(pieces=st.lists(st.one_of(fragments, st.text(max_size=20)), max_size=60), limit=st.integers(80, 200))
def test_a_page_that_is_followed_by_another_never_changes(pieces: list[str], limit: int):
    """While a text grows, only its last page changes, and every page stays within the limit."""
    pages = Pages(limit)
    text, before = "", ()
    for piece in pieces:
        text += piece
        now = pages.update(text, growing=True)
        assert now[: len(before) - 1] == before[: max(len(before) - 1, 0)] or not before
        assert all(len(page.text) <= limit for page in now)
        before = now
    assert "".join(page.source for page in pages.update(text, growing=False)).strip() == text.strip()


@settings(max_examples=80, deadline=None)
@given(pieces=st.lists(fragments, max_size=80), limit=st.integers(80, 200))
def test_growing_and_whole_texts_are_cut_alike(pieces: list[str], limit: int):
    """Where a text is cut does not depend on how it came."""
    pages = Pages(limit)
    text = ""
    for piece in pieces:
        text += piece
        pages.update(text, growing=True)

    assert [page.text for page in pages.update(text, growing=False)] == split(text, limit)


@settings(max_examples=80, deadline=None)
@given(text=st.text(alphabet="e\u0301👩\u200d👧🇩🇪각\u11a8ab", min_size=90, max_size=400), limit=st.integers(80, 120))
def test_visible_characters_stay_whole(text: str, limit: int):
    """A cut never parts an emoji family, a flag, an accent from its letter, unless one alone exceeds a page."""
    pages = Pages(limit, utf16).update(text, growing=False)

    place = 0
    for page in pages[:-1]:
        place += len(page.source)
        start = max((i for i in range(place + 1) if breaks_before(text, i) and i < place), default=0)
        assert breaks_before(text, place) or utf16(text[start:place]) > limit // 2


@settings(max_examples=80, deadline=None)
@given(text=markdown, cut=st.integers(0, 400), other=markdown, limit=st.integers(80, 200))
def test_a_text_that_is_taken_back_is_cut_anew(text: str, cut: int, other: str, limit: int):
    """After `rewind` the pages are those of the new text, as if the old one had never come."""
    pages = Pages(limit)
    pages.update(text, growing=True)
    kept = text[:cut]

    pages.rewind(len(kept))

    assert [page.text for page in pages.update(kept + other, growing=False)] == split(kept + other, limit)


@settings(max_examples=80, deadline=None)
@given(text=st.lists(fragments, max_size=60).map("".join), limit=st.integers(80, 200))
def test_every_fence_is_closed_on_its_page(text: str, limit: int):
    """Each page can be rendered alone: it has no open code block at its end."""
    for page in split(text, limit):
        fence = ""
        for line in page.split("\n"):
            mark = re.match(r"[ \t>]*(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}|~{3,})", line)
            if fence:
                bare = line.strip(" \t\r>")
                left_quote = fence.startswith(">") and not line.lstrip().startswith(">")
                if left_quote or (bare and set(bare) == {fence[-1]} and len(bare) >= 3):
                    fence = ""
            elif mark and "`" not in line[mark.end() :].replace(" ", ""):
                fence = (">" if ">" in mark.group() else "") + mark.group(1)
        assert not fence or fence.startswith(">")  # a quote that ends closes what is in it


# --- by example ---


def lines(count: int, text: str = "This is line number {}.") -> str:
    return "\n".join(text.format(number) for number in range(count))


def test_a_short_text_is_one_page():
    """Nothing is added to what fits."""
    assert split("Hello **world**.", 100) == ["Hello **world**."]


def test_nothing_is_no_page():
    """An empty text has no page, nor has white space."""
    assert split("", 100) == []
    assert split(" \n\n ", 100) == []


def test_a_cut_falls_between_paragraphs():
    """A paragraph that does not fit any more begins the next page."""
    first, second = "a " * 35 + "end.", "b " * 30 + "end."

    assert split(f"{first}\n\n{second}", 100) == [first, second]


def test_a_cut_falls_between_sentences_of_a_long_paragraph():
    """A paragraph longer than a page is cut behind a sentence."""
    text = "This sentence is exactly forty letters. " * 4

    assert split(text, 100) == [
        "This sentence is exactly forty letters. This sentence is exactly forty letters."
    ] * 2  # fmt: skip


def test_words_are_not_broken():
    """Without a sentence's end in reach, the cut falls between words."""
    for page in split("incomprehensibilities " * 20, 100):
        assert set(page.split()) == {"incomprehensibilities"}


def test_a_word_longer_than_a_page_is_cut_where_it_must():
    """A text without any place to cut is cut at the limit."""
    assert split("x" * 250, 100) == ["x" * 100, "x" * 100, "x" * 50]


def test_a_fence_is_closed_and_reopened_with_its_language():
    """Code that runs over a page's end goes on in a fence of its own, with the same info string, between lines."""
    code = lines(12, "value_{} = compute()")
    first, *rest = split(f"```python title=x\n{code}\n```", 120)

    assert first.endswith("\n```")
    assert all(page.startswith("```python title=x\nvalue_") for page in rest)
    assert all(page.endswith("= compute()\n```") for page in (first, *rest))


def test_a_fence_in_a_list_keeps_its_indentation():
    """A code block inside a list item is re-opened as deep as it stood."""
    text = "1. Do this:\n\n   ```sh\n" + lines(8, "   command --number {}") + "\n   ```\n"

    for page in split(text, 120)[1:]:
        assert page.startswith("   ```sh\n   command")
        assert page.endswith("\n   ```")


def test_no_page_ends_with_an_empty_fence():
    """A fence whose first line does not fit moves to the next page as a whole."""
    text = "word " * 17 + "\n\n```python\nprint('a line of code')\nprint(2)\n```"

    assert split(text, 100)[1] == "```python\nprint('a line of code')\nprint(2)\n```"


def test_a_table_that_fits_a_page_stays_whole():
    """A table that would be cut moves to the next page."""
    table = "| a | b |\n|---|---|\n" + lines(5, "| {0} | value |")

    assert split(f"Some words first, quite a few of them.\n\n{table}\n\nEnd.", 110) == [
        "Some words first, quite a few of them.",
        f"{table}\n\nEnd.",
    ]


def test_a_table_longer_than_a_page_repeats_its_header():
    """Such a table is cut between rows."""
    table = "| a | b |\n|---|---|\n" + lines(12, "| row {0} | value |")

    for page in split(table, 110):
        assert page.startswith("| a | b |\n|---|---|\n| row")
        assert all(line.startswith("|") and line.endswith("|") for line in page.split("\n"))


def test_list_numbers_go_on():
    """The next page begins with the number the list has reached."""
    pages = split("\n".join(f"{n}. point number {n} of the list" for n in range(1, 9)), 100)

    assert [page.split(".")[0] for page in pages] == ["1", "4", "7"]


def test_a_nested_item_keeps_its_parent():
    """A page that begins inside a nested list re-opens the items around it, so that its depth can be seen."""
    text = "3. Third point\n" + lines(8, "   - nested item number {}") + "\n4. Fourth"

    pages = split(text, 120)

    assert pages[1].startswith("3. …\n   - nested item")
    assert "\n4. Fourth" in pages[-1]


def test_emphasis_is_closed_and_reopened():
    """Bold text that runs over a page's end is bold on both."""
    first, second, *_ = split("**" + "many words " * 12 + "end**", 100)

    assert first == "**" + "many words " * 8 + "many**"
    assert second.startswith("**words many")


def test_links_are_not_parted():
    """A link moves to the next page as a whole."""
    text = "word " * 16 + "[the documentation page](https://example.org/a/b/c) and more words"

    assert "[the documentation page](https://example.org/a/b/c)" in split(text, 100)[1]


def test_an_address_is_no_emphasis_at_a_pages_end():
    """A page that ends in mid-paragraph adds nothing for what an underscore in an address might open."""
    text = "See https://en.wikipedia.org/wiki/Rust_(programming_language) first. " * 4

    pages = split(text, 200)

    assert len(pages) > 1
    assert " ".join(pages) == text.strip()


@pytest.mark.parametrize("lead", ["10. ", "- a\n  - b\n    - c\n\n      ", "1. a\n   1. "])
def test_a_fence_deep_in_a_list_is_reopened_in_its_list(lead: str):
    """Indented by four or more it would be no fence on a page of its own: its code is the same on all pages."""
    indent = " " * len(lead.rpartition("\n")[2])
    code = "\n".join(f"{indent}command --number {n}" for n in range(12))

    pages = split(f"{lead}```sh\n{code}\n{indent}```", 160)

    assert len(pages) > 2
    blocks = [token.content for page in pages for token in PARSER.parse(page) if token.type == "fence"]
    assert "".join(blocks) == "".join(f"command --number {n}\n" for n in range(12))


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_text_not_faster(piece: str):
    """However often something is repeated: on one page, over several, and what is open at its end."""
    assert grows_evenly(lambda text: split(text, 100), piece, chars=2_400)
    assert grows_evenly(lambda text: Pages(100).update(text, growing=True), piece, chars=2_400)
    assert grows_evenly(unclosed, piece)


def test_an_endless_info_string_is_not_repeated():
    """A fence whose first line would fill every page is re-opened without it."""
    pages = split("```" + "x" * 300 + "\n" + "y\n" * 100 + "```", 100)

    assert all(len(page) <= 100 for page in pages)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("some **bo", "some **bo**"),
        ("some **bold*", "some **bold**"),
        ("some **", "some"),
        ("some *it", "some *it*"),
        ("a ~~b", "a ~~b~~"),
        ("a `co", "a `co`"),
        ("a `", "a"),
        ("**bold `code", "**bold `code`**"),
        ("**bold and *both", "**bold and *both***"),
        ("2 * 3 = 6 and 2*3", "2 * 3 = 6 and 2*3"),
        ("snake_case_name", "snake_case_name"),
        ("Read https://a.org/wiki/Rust_(language) first, then", "Read https://a.org/wiki/Rust_(language) first, then"),
        ("a_(b) then", "a_(b) then"),
        ("see __main__ and _x", "see __main__ and _x_"),
        ("**开源：**代", "**开源：**代"),
        ("含**「重", "含**「重**"),
        ("see [Rust](https://a.org/Rust_(prog", "see"),
        ("see [Rust](https://a.org/Rust_(prog)", "see"),
        ("see [Rust](https://a.org/Rust_(prog)) and", "see [Rust](https://a.org/Rust_(prog)) and"),
        ("code `[a](` and", "code `[a](` and"),
        ("a \\*star", "a \\*star"),
        ("* item", "* item"),
        ("see [the docs](http://exa", "see"),
        ("see [the docs]", "see"),
        ("see [the docs](http://example.org)", "see [the docs](http://example.org)"),
        ("an array[0", "an array[0"),
        ("```python", ""),
        ("```python\n", ""),
        ("```python\nx = 1", "```python\nx = 1\n```"),
        ("```python\nx = 1\n``", "```python\nx = 1\n```"),
        ("```python\nx = 1\n```", "```python\nx = 1\n```"),
        ("text\n\n``", "text"),
        ("text\n-", "text"),
        ("text\n- item\n-", "text\n- item"),
        ("text\n\n##", "text"),
        ("text\n\n1.", "text"),
        ("text\n\n| a | b", "text"),
        ("text\n\n| a | b |\n", "text"),
        ("text\n\n| a | b |\n|--", "text"),
        ("text\n\n| a | b |\n|---|---|\n", "text\n\n| a | b |\n|---|---|"),
        ("text\n\n| a | b |\n|---|---|\n| 1", "text\n\n| a | b |\n|---|---|\n| 1"),
        ("a | b is a choice", "a | b is a choice"),
        ("a | b\n-", ""),
    ],
)
def test_half_markdown_is_closed_or_held_back(text: str, shown: str):
    """A growing page shows no marker that is still half, and flashes nothing that turns out to be something else."""
    pages = Pages(1_000).update(text, growing=True)

    assert "".join(page.text for page in pages) == shown


@pytest.mark.parametrize("text", ["some **bo", "a `co", "see [the docs](http://exa", "| a | b", "text\n-", "```"])
def test_nothing_is_held_back_at_the_end(text: str):
    """What the model never finished is shown as it wrote it, only fences are closed."""
    [page] = Pages(1_000).update(text, growing=False)

    assert page.source == text
    assert page.text.startswith(text)
