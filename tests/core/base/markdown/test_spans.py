"""Links, addresses, code and mentions in a paragraph."""

from __future__ import annotations

import pytest

from core.base.markdown.addresses import SCHEME, address_end
from core.base.markdown.flanking import flanks
from core.base.markdown.spans import find_spans


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://a.org/x.", "https://a.org/x"),
        ("(https://a.org/x)", "https://a.org/x"),
        ("(https://a.org/x_(y))", "https://a.org/x_(y)"),
        ("**https://a.org/x**", "https://a.org/x"),
        ("**https://a.org/__init__**", "https://a.org/__init__"),
        ("https://a.org/__main__.html, and", "https://a.org/__main__.html"),
        ("_https://a.org/a_b_", "https://a.org/a_b"),
        ("https://a.org/a*b*c", "https://a.org/a*b*c"),
        ("https://a.org/?r[0]=1&s=2]", "https://a.org/?r[0]=1&s=2"),
        ("https://a.org/x[1](https://b.org)", "https://a.org/x"),
        ("见https://a.org/x，或", "https://a.org/x"),
        ("https://zh.example/东京（", "https://zh.example/东京"),
        ("<https://a.org/x>", "https://a.org/x"),
        ("https://a.org/{id}/x`", "https://a.org/{id}/x"),
        ("https://a.org/x…", "https://a.org/x"),
        ("HTTPS://A.ORG/x!?", "HTTPS://A.ORG/x"),
    ],
)
def test_where_an_address_ends(text: str, address: str) -> None:
    """Its own brackets and underscores belong to it, the sentence's and the emphasis' do not."""
    start = SCHEME.search(text).start()

    assert text[start : address_end(text, start)] == address


@pytest.mark.parametrize("text", ["https", "xhttps://a.org", "https://", "https:// a.org", "ahttp://b"])
def test_what_is_no_address(text: str) -> None:
    """A scheme within a word, or with nothing behind it."""
    assert find_spans(text).by_start == {}


def kinds(text: str) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in find_spans(text).outer]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](b)", [("link", "[a](b)")]),
        ("[a](b_(c)_d)e", [("link", "[a](b_(c)_d)")]),
        ("[a](<b c> 'd')", [("link", "[a](<b c> 'd')")]),
        ("![a](b \"c)\")", [("picture", "![a](b \"c)\")")]),
        ("[a [b](c)](d)", [("link", "[b](c)")]),
        ("[![a](b)](c)", [("link", "[![a](b)](c)")]),
        ("[`]`](c)", [("link", "[`]`](c)")]),
        ("`[a](b)` ``c`d``", [("code", "`[a](b)`"), ("code", "``c`d``")]),
        (r"\[a](b) \`c`", []),
        ("[a](b c)", []),
        ("array[0](", []),
        ("<@U123> <:a_b:12> <br/> <a@b.org>",
         [("mention", "<@U123>"), ("mention", "<:a_b:12>"), ("break", "<br/>"), ("angle", "<a@b.org>")]),
    ],
)  # fmt: skip
def test_what_stands_in_a_paragraph(text: str, found: list[tuple[str, str]]) -> None:
    """As CommonMark has it: a link holds no link, code holds nothing, what is escaped is text."""
    assert kinds(text) == found


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("see [the docs](http://exa", 4),
        ("see [Rust](https://a.org/Rust_(prog", 4),
        ("see [Rust](https://a.org/Rust_(prog)", 4),
        ("see [Rust](https://a.org/Rust_(prog))", None),
        ('see [a](b "ti', 4),
        ("see [the docs]", 4),
        ("an array[0", None),
        ("`[a](`", None),
        ("[a](b c and more", None),
    ],
)
def test_a_link_that_has_not_come_to_its_end(text: str, half: int | None) -> None:
    """Where it begins, so that a growing answer does not show half of it."""
    assert find_spans(text).half == half


@pytest.mark.parametrize(
    ("marker", "before", "after", "may"),
    [
        ("*", " ", "a", (True, False)),
        ("*", "a", " ", (False, True)),
        ("*", "a", "b", (True, True)),
        ("_", "a", "b", (False, False)),
        ("_", "t", "(", (False, True)),
        ("*", ":", "a", (True, False)),
        ("*", "：", "代", (True, True)),
        ("*", "含", "「", (True, True)),
        ("*", ":", "는", (True, True)),
        ("*", '"', "는", (True, True)),
        ("*", "", "a", (True, False)),
    ],
)
def test_which_run_may_open_and_close(marker: str, before: str, after: str, may: tuple[bool, bool]) -> None:
    """CommonMark's rule, and beside it writing that has no spaces."""
    assert flanks(marker, before, after) == may
