"""Markdown for Discord: tables, headings, links, what must not ping, and how long it all is."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.render import MAX_UNITS, PAGE_UNITS, RULE, clip, measure, message_text, render, units
from adapters.discord.tables import width
from core.base.markdown.parser import split_row
from core.domain.errors import SurfaceRejected
from tests.work import HOSTILE, grows_evenly

ZERO = "\u200b"


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("# One\n## Two\n### Three", "# One\n## Two\n### Three"),
        ("#### Four", "**Four**"),
        ("###### Six **bold** ######", "**Six bold**"),
        ("#hashtag", "#hashtag"),
        ("Title\n=====\ntext", "# Title\ntext"),
        ("Title\n---\ntext", "## Title\ntext"),
        ("text\n\n---\n\ntext", f"text\n\n{RULE}\n\ntext"),
        ("- item\n---", f"- item\n{RULE}"),
        ("* * *", RULE),
        ("![a cat](https://x.org/c.png)", "[a cat](https://x.org/c.png)"),
        ("![](https://x.org/c.png)", "[image](https://x.org/c.png)"),
        ("[https://x.org](https://x.org/)", "https://x.org/"),
        ("[docs](https://x.org 'title')", "[docs](https://x.org)"),
        ("[docs](../readme.md)", "docs (../readme.md)"),
        ("__bold__ and snake__case__name", "**bold** and snake__case__name"),
        ("a || b || c", r"a \|\| b \|\| c"),
        ("`a || b`", "`a || b`"),
        ("- [ ] open\n- [x] done", "- ☐ open\n- ☑ done"),
        (">>> 1 + 1", r"\>>> 1 + 1"),
        ("> quote", "> quote"),
        ("one<br>two", "one\ntwo"),
        ("~~~py\nx\n~~~", "```py\nx\n```"),
        ("```python title=x\n# no heading\n| a | b |\n|---|---|\n```",
         "```python\n# no heading\n| a | b |\n|---|---|\n```"),
        ("a stray ``` in prose", f"a stray `{ZERO}`{ZERO}` in prose"),
        ("````md\n```\nx\n```\n````", f"```md\n`{ZERO}`{ZERO}`\nx\n`{ZERO}`{ZERO}`\n```"),
        ("```\nopen", "```\nopen\n```"),
        ("- ```py\n  x = 1\n\n    y\n  ```\n- next", "-\n```py\nx = 1\n\n  y\n```\n- next"),
        ("> ```py\n> a\n>\n> b\n> ```\nafter", "> ```py\n> a\n> \n> b\n> ```\nafter"),
        ("> 1. ~~~\n>    a\n>    ~~~", "> 1.\n> ```\n> a\n> ```"),
        ("> lazy\nline", "> lazy\n> line"),
        ("**开源：**代码，含**「重点」**内容", "**开源：**代码，含**「重点」**内容"),
        ("1) one\n2) two", "1. one\n2. two"),
        ("a &amp; b &#42;c&#42; \\*d\\*", "a & b \\*c\\* \\*d\\*"),
        ("[1]: https://a.org/x", "[1]: https://a.org/x"),
        ("see [it][1]\n\n[1]: https://a.org/x", "see [it](https://a.org/x)"),
    ],
)  # fmt: skip
def test_what_discord_cannot_show_is_written_another_way(markdown: str, shown: str) -> None:
    """Each construct becomes the nearest thing that Discord renders; code is left alone."""
    assert render(markdown) == shown


ADDRESSES = [
    "https://docs.python.org/3/library/__main__.html",
    "https://en.wikipedia.org/wiki/Rust_(programming_language)",
    "https://example.org/a_b_c/*x*/~y~?q=__z__&r[0]=1",
    "https://ja.wikipedia.org/wiki/東京_(曖昧さ回避)",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "frame", ["{}", "see {}, then", "({})", "**{}**", "- {}", "> {}", "_{}_ and _x_", "# {}", "见{}，或"]
)
def test_an_address_is_left_as_it_is(address: str, frame: str) -> None:
    """Bare and masked, quiet or not, in whatever it stands: its underscores, brackets and stars are its own."""
    assert render(frame.format(address)) == frame.format(address)
    assert f"<{address}>" in render(frame.format(address), quiet_links=True)
    assert render(f"[label]({address})") == f"[label]({address})"
    assert render(f"[label]({address})", quiet_links=True) == f"[label](<{address}>)"


def test_a_table_with_links_is_a_list() -> None:
    """In a code block no link could be followed, and only its label would be left."""
    markdown = "| What | Where |\n|---|---|\n| **docs** | [here](https://a.org/x_(y)) |\n| code | https://b.org |"

    assert render(markdown) == (
        "**What: docs**\n- Where: [here](https://a.org/x_(y))\n**What: code**\n- Where: https://b.org"
    )


def test_a_row_longer_than_its_header_keeps_its_words() -> None:
    """Markdown drops cells beyond the header's; here they join the last column."""
    assert render("| a | b |\n|---|---|\n| 1 | 2 | 3 |").split("\n")[3] == "1 │ 2 | 3"


@pytest.mark.parametrize("ping", ["@everyone", "@here", "<@&123456789012345678>"])
def test_pings_look_harmless(ping: str) -> None:
    """They notify nobody anyway; in prose they do not look like it either, in code they stay as they are."""
    assert ping not in render(f"hello {ping}!")
    assert ping in render(f"`{ping}`")


def test_a_persons_name_stays_readable() -> None:
    """A user's mention is how an answer names somebody; allowed_mentions keeps it silent."""
    assert render("ask <@123456789012345678>") == "ask <@123456789012345678>"


def test_table_stands_under_each_other_by_display_width() -> None:
    """Wide characters and emoji count two cells; numbers align right; marks inside cells are dropped."""
    markdown = "| Name | Größe | 数量 |\n|---|--:|:-:|\n| **a** | 10 | 漢字 |\n| `x|y` | 2 | 😀 |\n\nafter"

    assert render(markdown).split("\n") == [
        "```",
        "Name │ Größe │ 数量",
        "─────┼───────┼─────",
        "a    │    10 │ 漢字",
        "x|y  │     2 │ 😀",
        "```",
        "",
        "after",
    ]


def test_table_without_outer_bars_is_one_too() -> None:
    """GitHub's short form."""
    assert render("a | b\n--- | ---\n1 | 2") == "```\na │ b\n──┼──\n1 │ 2\n```"


def test_wide_table_becomes_a_list() -> None:
    """What would wrap in a code block is told row by row."""
    markdown = f"| Name | What |\n|---|---|\n| tern | {'word ' * 20}|\n| gull | short |"

    assert render(markdown) == f"**Name: tern**\n- What: {('word ' * 20).strip()}\n**Name: gull**\n- What: short"


def test_sentence_with_bars_is_no_table() -> None:
    """Bars alone make no table; the line under them must be a separator of as many cells."""
    assert render("a | b\nc | d") == "a | b\nc | d"
    assert render("a | b\n---\nc") == "## a | b\nc"


def test_growing_table_does_not_flash_its_bars() -> None:
    """A last row that may become a table is held back until it is known what it is."""
    assert render("text\n| a | b |", final=False) == "text"
    assert render("text\n| a | b |\n|--", final=False) == "text"
    assert "a │ b" in render("text\n| a | b |\n|---|---|", final=False)


def test_cells_keep_escaped_bars_and_code() -> None:
    r"""``\|`` is a bar, and so is one inside a code span."""
    assert split_row(r"| a \| b | `c | d` | e |") == ["a | b", "`c | d`", "e"]


@pytest.mark.parametrize(
    ("text", "cells_wide"),
    [
        ("abc", 3),
        ("漢字", 4),
        ("😀", 2),
        ("e\u0301", 1),
        ("👩\u200d🔬", 2),
        ("\u2764\ufe0f", 2),
        ("\u2764", 1),
        ("1\ufe0f\u20e3", 2),
        ("👍\U0001f3fd", 2),
        ("🇮🇸", 2),
    ],
)
def test_width_is_what_a_terminal_would_show(text: str, cells_wide: int) -> None:
    """East Asian wide characters and emoji take two, combining marks none, a joined or coloured emoji counts once."""
    assert width(text) == cells_wide


def test_quiet_links_unfurl_into_nothing() -> None:
    """Addresses get angle brackets, but not in code and not twice."""
    assert render("https://a.org/x. <https://b.org> [c](https://c.org) `https://d.org`", quiet_links=True) == (
        "<https://a.org/x>. <https://b.org> [c](<https://c.org>) `https://d.org`"
    )


def test_bracket_left_open_is_no_part_of_a_link() -> None:
    """The label begins at the last bracket; so is it in CommonMark, and a page of brackets is read in one go."""
    assert render("[a [b](https://c.org) ![d [e](https://f.org)") == "[a [b](https://c.org) ![d [e](https://f.org)"
    assert render("[a [b](https://c.org)", quiet_links=True) == "[a [b](<https://c.org>)"


def test_status_and_footer_stand_small_under_the_text() -> None:
    """The footer takes the status's place at the end; a message is never empty."""
    assert message_text("answer", status="Searching ...") == "answer\n-# Searching ..."
    assert message_text("answer", status="Searching ...", footer="stopped") == "answer\n-# stopped"
    assert message_text("", status="Thinking ...") == "-# Thinking ..."
    assert message_text("") == "-# …"


def test_refused_page_is_shown_as_it_was_written() -> None:
    """Plain changes nothing about the text."""
    assert message_text("#### x", plain=True) == "#### x"


def test_cut_never_halves_a_character() -> None:
    """A surrogate pair stays whole."""
    assert clip("😀😀😀", 4) == "😀…"


PIECES = st.sampled_from(
    [
        "word ",
        "\n",
        "|",
        " | ",
        "---",
        "```",
        "~~~",
        "#",
        "# ",
        "@everyone",
        "||",
        "`",
        "__",
        "**",
        "[a](b)",
        "😀",
        "- ",
    ]
)


WORDS = st.integers(0, 999).map(lambda number: f"w{number}")
MARKS = st.sampled_from(
    [
        *(
            "\n",
            "\n\n",
            " ",
            "```\n",
            "```py\n",
            "~~~\n",
            "````\n",
            "`",
            "``",
            "|",
            "|---|---|\n",
            "|-|\n",
            "# ",
            "#### ",
        ),
        *("**", "__", "*", "_", "~~", "- ", "- [ ] ", "> ", ">>> ", "||", "---\n", "===\n", "<", ">", "\\", "<br>"),
        *("@everyone", "@here", "<@&12>", "<@12>", "https://e.org/x", "\0", "\ud800", "\ude00", "\u202e", "\u200b"),
        *("\u0301" * 30, "\r", "\r\n", "\u2028", "\x0b", "\U0001f600", "[" * 50, "> " * 50, "a" * 300, "(", ")", "["),
    ]
)


def without_info(markdown: str) -> str:
    """What stands behind an opening fence names a language; it is no part of the text."""
    return re.sub(r"^(\s*(?:`{3,}|~{3,}))[^\n]*", r"\1", markdown, flags=re.MULTILINE)


@given(st.lists(WORDS | MARKS, max_size=40).map(" ".join) | st.lists(WORDS | MARKS, max_size=40).map("".join))
@example("_@everyone_")
@example("\ud800")
def test_whatever_a_model_writes_is_shown_whole_and_pings_nobody(markdown: str) -> None:
    """Encodable, nothing that looks like a ping of many, fences closed, no word lost; quiet links change no word."""
    shown = render(markdown)

    for text in (shown, render(markdown, quiet_links=True)):
        text.encode()  # raises for what no wire carries
        prose = re.sub(r"```.*?```|(`+).*?\1", "", text, flags=re.DOTALL)  # in code nothing is a mention
        assert not re.search(r"@(everyone|here)(?![^\W_])|<@&\d", prose)
        assert text.count("```") % 2 == 0
        words = iter(re.findall(r"w\d+", text))
        assert all(word in words for word in re.findall(r"w\d+", without_info(markdown)))
    assert measure(markdown) == units(shown)
    if units(shown) <= PAGE_UNITS:
        assert units(message_text(markdown, status=markdown, footer="f")) <= MAX_UNITS


def test_a_wide_table_without_rows_shows_its_header() -> None:
    """Too wide for columns, and nothing yet that could stand in a list."""
    markdown = f"| {'first ' * 8}| {'second ' * 8}|\n|---|---|"

    assert render(markdown).split() == ["first"] * 8 + ["|"] + ["second"] * 8


@given(st.lists(PIECES, max_size=60).map("".join))
def test_nothing_a_model_writes_breaks_the_limits(markdown: str) -> None:
    """Whatever comes, a message is within Discord's limit or refused, not empty, and its fences are closed."""
    page = markdown * 20
    if measure(page) > PAGE_UNITS:
        with pytest.raises(SurfaceRejected):
            message_text(page)
        page = markdown
    shown = message_text(page, status="s" * 200)

    assert 0 < units(shown) <= MAX_UNITS
    assert measure(markdown) == units(render(markdown))
    assert render(markdown).count("```") % 2 == 0


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_text_not_faster(piece: str) -> None:
    """Whatever a model repeats."""
    assert grows_evenly(render.__wrapped__, piece)
