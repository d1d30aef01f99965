"""What Groq ran and cited, from the stream to the footnotes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.requests import Citation, OutputFormat, Reply
from core.providers.citations import CitationFilter, footnotes
from core.providers.completions import Completions
from core.providers.executed import Found, RanBook
from tests.core.providers.conftest import QUICK, REGISTRY, SMALL, Heard, ask
from tests.core.providers.streams import END, c, t
from tests.core.providers.test_streams import Wire

TERNS = {"title": "Arctic tern", "url": "https://birds.example/tern_(bird)", "content": "...", "score": 0.9}
GULLS = {"title": "Gulls", "url": "https://birds.example/gulls", "content": "..."}
OUTPUT = (
    "[0] Search\nL0: \nL1: 【0†Arctic tern†birds.example】\nL2: They fly far.\n"
    "L3: 【1†Gulls†birds.example】\nL4: They eat."
)
SEARCH = {"index": 0, "type": "browser_search", "name": "browser.search", "arguments": '{"query":"tern"}'}
SEARCHED = {**SEARCH, "output": OUTPUT, "search_results": {"results": [TERNS, GULLS]}}
OPEN = {"index": 1, "type": "browser_search", "name": "browser.open", "arguments": '{"id":0}'}
OPENED = {**OPEN, "output": "[1] Arctic tern\nL0: Arctic tern", "browser_results": [TERNS]}


def ran(*calls: Any) -> RanBook:
    book = RanBook()
    book.add(list(calls))
    return book


async def told(raw: bytes, size: int = 10**6, **wanted: Any) -> tuple[str, Reply]:
    heard = Heard()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    reply = await Completions("groq", "groq", Wire(pieces), QUICK)(ask(**wanted), REGISTRY.get(SMALL), heard.send)
    return heard.text, reply


STREAM = (
    c({"executed_tools": [SEARCH]})
    + c({"executed_tools": [SEARCHED]})
    + c({"executed_tools": [OPEN]})
    + c({"executed_tools": [OPENED]})
    + t("They fly far 【0†L2")
    + t("】, and 【1†L0-L3】 eat fish【0†L4】. See 【9†L1】nothing.")
    + END
)
SHOWN = (
    "They fly far [1], and [1] eat fish[2]. Seenothing.\n\n"
    "- [1] [Arctic tern](https://birds.example/tern_%28bird%29)\n- [2] [Gulls](https://birds.example/gulls)"
)


@pytest.mark.parametrize("size", [10**6, 100, 1])
async def test_marks_become_footnotes(size: int) -> None:
    """Only pages that were retrieved are linked; a mark that leads nowhere goes; each page has one number."""
    text, reply = await told(STREAM, size)

    assert text == reply.text == SHOWN
    assert [(one.number, one.url) for one in reply.citations] == [
        (1, "https://birds.example/tern_%28bird%29"),
        (2, "https://birds.example/gulls"),
    ]
    assert all(text[a:b] == f"[{one.number}]" for one in reply.citations for a, b in one.at)


async def test_searches_and_pages_are_paid_for() -> None:
    """They can cost more than the tokens."""
    _, reply = await told(STREAM)
    _, plain = await told(t("x") + END)

    assert reply.usage.cost_usd - plain.usage.cost_usd == pytest.approx(0.006, abs=1e-4)


async def test_json_gets_no_footnotes() -> None:
    """They would break it."""
    text, _ = await told(STREAM.replace(b"They fly", b"{}"), output_format=OutputFormat("json_object"))

    assert "birds.example" not in text


async def test_brackets_without_a_browser_are_the_answers_own() -> None:
    """Chinese and Japanese write in them, and other models have marks of their own."""
    text, reply = await told(t("【重点】 and 【6†L9】") + END)

    assert (text, reply.citations) == ("【重点】 and 【6†L9】", ())


@pytest.mark.parametrize(
    ("calls", "cursor", "line", "url"),
    [
        ((SEARCHED,), 0, 2, "https://birds.example/tern_%28bird%29"),
        ((SEARCHED,), 0, 4, "https://birds.example/gulls"),
        ((SEARCHED,), 0, 99, None),
        ((SEARCHED, OPENED), 1, 77, "https://birds.example/tern_%28bird%29"),
        ((SEARCHED,), 1, 2, None),
        (({**OPENED, "output": "no number"},), 0, 5, "https://birds.example/tern_%28bird%29"),
        (({**OPENED, "output": "[6] Arctic tern"},), 6, 5, "https://birds.example/tern_%28bird%29"),
        (({**OPENED, "browser_results": [{"title": "x", "url": "javascript:alert(1)"}]},), 1, 0, None),
        (({**OPENED, "browser_results": "none", "search_results": 5, "code_results": {}},), 1, 0, None),
        ((SEARCH,), 0, 1, None),
        (({"index": 0, "type": "code_interpreter", "browser_results": [TERNS]},), 0, 1, None),
    ],
)
def test_what_a_citation_leads_to(calls: tuple[Any, ...], cursor: int, line: int, url: str | None) -> None:
    """By the number at the head of a display, else by the order of the displays; a list by the line."""
    found = ran(*calls).source(cursor, line)

    assert (found and found.url) == url


def test_a_call_is_told_twice_and_counts_once() -> None:
    """First that it runs, later what came out."""
    book = RanBook()

    assert book.add([SEARCH]) == ["browser_search"]
    assert book.add([SEARCHED]) == []
    assert book.add("none") == book.add([None, 5]) == []
    assert book.names == ("browser_search",)
    assert [one.output for one in book] == [OUTPUT]


def test_what_code_printed_is_kept() -> None:
    """Charts and pictures are not."""
    book = ran({"index": 0, "type": "code_interpreter", "code_results": [{"text": "42"}, {"png": "..."}, "odd"]})

    assert [one.code for one in book] == [("42",)]


def test_titles_cannot_leave_their_link() -> None:
    """They are strangers' words."""
    cited = (Citation(1, "a](https://evil.example) *b*\n", "https://x.example/"), Citation(2, "", "https://y.example/"))

    assert footnotes(cited) == (
        "\n\n- [1] [a\\](https://evil.example) \\*b\\*](https://x.example/)\n- [2] [y.example](https://y.example/)"
    )


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="【】†L0-9 a\n", max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_any_split_of_the_text_says_the_same(text: str, cuts: list[int]) -> None:
    """Marks may be cut anywhere."""

    def sifted(*pieces: str) -> str:
        sieve = CitationFilter(lambda cursor, line: Found("t", "https://t.example/") if cursor < 5 else None)
        return "".join(map(sieve.feed, pieces)) + sieve.close()

    bounds = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]
    assert sifted(text) == sifted(*(text[a:b] for a, b in pairwise(bounds)))
