"""Markdown to safe HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.web.growing import GrowingHtml
from adapters.web.highlight import GrowingCode, highlight, language_of
from adapters.web.markdown import Markdown
from tests.work import HOSTILE as REPEATED
from tests.work import grows_evenly

MARKDOWN = Markdown()

ALLOWED = {
    "p": set(),
    "br": set(),
    "hr": set(),
    "em": set(),
    "strong": set(),
    "s": set(),
    "code": set(),
    "blockquote": set(),
    "ul": set(),
    "ol": {"start"},
    "li": set(),
    **{f"h{level}": set() for level in range(1, 7)},
    "div": {"class"},
    "table": set(),
    "thead": set(),
    "tbody": set(),
    "tr": set(),
    "th": {"class"},
    "td": {"class"},
    "a": {"class", "href", "target", "rel"},
    "figure": {"class"},
    "figcaption": set(),
    "span": {"class"},
    "button": {"type", "class", "aria-label"},
    "pre": {"tabindex"},
}
"""Every tag and attribute that the page may ever be given."""


class Inspector(HTMLParser):
    """Reads HTML as a browser does and refuses whatever is not on the list."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        assert {name for name, _ in attrs} <= ALLOWED[tag], (tag, attrs)
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_data(self, text: str) -> None:
        self.text += text

    def handle_comment(self, text: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, text: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, text: str) -> None:
        raise AssertionError("a processing instruction")


def inspected(html: str) -> Inspector:
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    for link in inspector.links:
        assert re.match(r"(?:https?://|mailto:)", link, re.IGNORECASE), link
    return inspector


HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](java\tscript:alert(1)) [d](&#106;avascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=) [b](vbscript:x) [c](file:///etc/passwd) [d](blob:x)",
    '![x](javascript:alert(1)) ![y](https://a.b/c "onerror=alert(1)") [z](<https://a.b/" onclick="x>)',
    '[t](https://a.b "\\"><script>alert(1)</script>")',
    "<javascript:alert(1)> <https://a.b/?x=<script>>",
    "```<script>\nalert(1)\n```",
    '```"onmouseover="alert(1)\n</code></pre><script>alert(1)</script>\n```',
    "| <script> | b |\n|:--|--:|\n| <img src=x onerror=alert(1)> | [x](javascript:1) |",
    "https://a.b/\"onmouseover=alert(1) https://a.b/'><script>alert(1)</script>",
    "<!-- comment --> <?php ?> <!DOCTYPE html> <![CDATA[x]]>",
    "[ref]: javascript:alert(1)\n\n[ref]",
    '[ref]: https://a.b "title\'\\"><script>"\n\n[ref] ![ref]',
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
    "[a](//evil.example/x) [b](/page/forget) [c](?x) [d](#y) [e](\\evil) [f](https:evil)",
    "\u202e<script>\u202d \u0000 \ufeff <\u0000script>",
    "# <h1 onclick=x>\n\n> <blockquote onclick=x>\n\n- <li onclick=x>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_yields_only_listed_tags_and_safe_links(text):
    """Whatever is written, the output holds only our own tags and attributes, and links that only open something."""
    inspected(MARKDOWN.html(text))


@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=30), max_size=4).map("\n\n".join))
@settings(max_examples=150, deadline=None)
def test_any_text_yields_only_listed_tags(text):
    """The list holds for mixtures of attacks and random text, too."""
    inspected(MARKDOWN.html(text))


# fmt: off
PIECES = st.sampled_from([
    "word ", "a", "2", ".", " ", "\t", "\n", "\n\n", "\r\n", "\r", "  \n", "*", "`", "|", "===",
    "- item\n", "* x\n", "+ ", "1. one\n", "1) ", "```python\n", "```\n", "~~~\n", "x = 1\n", "    code\n",
    "# title\n", "> quote\n", "**b**", "| a | b |\n|---|---|\n", "| 1 | 2 |\n", "---\n",
])
# fmt: on


@given(st.lists(PIECES, max_size=25))
@settings(max_examples=100, deadline=None)
def test_growing_text_renders_like_the_whole(pieces):
    """At every step the incremental blocks are what rendering the text whole would give."""
    growing = GrowingHtml(MARKDOWN)
    text = ""
    for piece in pieces:
        text += piece
        assert "".join(growing.render(text)) == MARKDOWN.html(text)


def test_finished_blocks_are_not_rendered_again():
    """A long answer costs its last block per edit: what stands before it is the very same string."""
    growing = GrowingHtml(MARKDOWN)
    before = growing.render("First.\n\nSecond.\n\nThi")

    after = growing.render("First.\n\nSecond.\n\nThird")

    assert after[0] is before[0]
    assert growing.unsettled("First.\n\nSecond.\n\nThird") == len("Third")


def test_text_that_was_taken_back_is_rendered_anew():
    """After a restart with other words nothing of the old blocks remains."""
    growing = GrowingHtml(MARKDOWN)
    growing.render("First.\n\nSecond.\n\nThird")

    assert "".join(growing.render("Other.\n\nWords")) == MARKDOWN.html("Other.\n\nWords")


def test_a_reference_defined_late_is_right_in_the_end():
    """A link whose address is defined below it is a link once the answer is final."""
    growing = GrowingHtml(MARKDOWN)
    text = "See [it].\n\nMore.\n\n[it]: https://a.example\n"
    for end in range(len(text)):
        growing.render(text[:end])

    assert 'href="https://a.example"' in growing.render(text, final=True)[0]


def test_pictures_become_links():
    """A picture loads nothing: it is a link with the picture's name."""
    html = MARKDOWN.html("![a gull](https://a.example/gull.png)")

    assert "<img" not in html
    assert ">a gull</a>" in html


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://a.example/x.", "https://a.example/x"),
        ("(https://a.example/x)", "https://a.example/x"),
        ("https://en.wikipedia.org/wiki/Tern_(bird)", "https://en.wikipedia.org/wiki/Tern_(bird)"),
        ("**https://a.example**", "https://a.example"),
        ("HTTPS://A.EXAMPLE/x, and", "HTTPS://A.EXAMPLE/x"),
        ("https://docs.python.org/3/library/__main__.html", "https://docs.python.org/3/library/__main__.html"),
        ("[m](https://a.example/__main__/x_(y))", "https://a.example/__main__/x_(y)"),
        ("https://a.example/a_b_c?d=_e_*f*", "https://a.example/a_b_c?d=_e_*f*"),
    ],
)
def test_bare_addresses_become_links(text, address):
    """An address in running text is a link, without the sentence's punctuation."""
    assert inspected(MARKDOWN.html(text)).links == [address]


def test_addresses_in_code_and_links_stay_as_they_are():
    """Nothing is linked inside code, nor twice inside a link."""
    assert inspected(MARKDOWN.html("`https://a.example`")).links == []
    assert inspected(MARKDOWN.html("[https://b.example](https://a.example)")).links == ["https://a.example"]


def test_table_columns_are_aligned_by_class():
    """Alignment is a class, as the page's policy refuses inline styles."""
    html = MARKDOWN.html("| a | b |\n|--:|:-:|\n| 1 | 2 |")

    assert '<td class="align-right">1</td>' in html
    assert "style=" not in html


@pytest.mark.parametrize("piece", REPEATED)
def test_work_grows_with_the_text_not_faster(piece):
    """Whatever is repeated; what was parsed before is not counted again, so no call meets its text twice."""
    assert grows_evenly(Markdown().html, piece)


def test_no_paragraph_is_too_long_to_be_read():
    """A long one keeps every character, and its links."""
    text = "[a " * 20_000 + "[b](https://b.example)"

    page = inspected(MARKDOWN.html(text))

    assert page.text.strip() == "[a " * 20_000 + "b"
    assert page.links == ["https://b.example"]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**开源：**代码", "<strong>开源：</strong>代码"),
        ("含**「重点」**内容", "含<strong>「重点」</strong>内容"),
        ("これは**「引用」**です。", "これは<strong>「引用」</strong>です。"),
        ("**중요:**는", "<strong>중요:</strong>는"),
        ("*强调！*的", "<em>强调！</em>的"),
        ("~~旧：~~新", "<s>旧：</s>新"),
        ("a<br>b", "a<br />\nb"),
        ("[docs](../readme.md)", "docs (../readme.md)"),
        ("snake_case and 2 * 3 * 4", "snake_case and 2 * 3 * 4"),
    ],
)
def test_what_models_write(text, html):
    """Emphasis beside full-width marks, line breaks in HTML, addresses that lead nowhere."""
    assert MARKDOWN.html(text) == f"<p>{html}</p>\n"


@pytest.mark.parametrize("language", ["python", "rust", "no-such-language", "", "html", "diff"])
@given(code=st.text(max_size=200))
@example(code="\ufeff")
@example(code="\ufeff\ufeffx = 1\n")
@settings(max_examples=40, deadline=None)
def test_colours_lose_no_character_of_code(language, code):
    """Highlighted code reads exactly as it was written, whatever the language."""
    code = code.replace("\r", "").replace("\x00", "")

    assert inspected(highlight(code, language)).text == code


@given(st.lists(st.sampled_from(["def f(x):\n", "    return x\n", '"""', "# note\n", "x", "\n"]), max_size=60))
@settings(max_examples=15, deadline=None)
def test_growing_code_loses_no_character(pieces):
    """Colours may lag behind in a growing block, characters never do."""
    growing = GrowingCode()
    code = ""
    for piece in pieces:
        code += piece * 20
        assert inspected(growing.render(code, "python")).text == code


@pytest.mark.parametrize(
    ("fence", "language"),
    [("python", "python"), ("Python title=x", "python"), ("{.js}", "js"), ("", ""), ('"><script>', '"><script>')],
)
def test_language_is_the_fences_first_word(fence, language):
    """What follows the language is not part of it."""
    assert language_of(fence) == language
