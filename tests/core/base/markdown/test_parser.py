"""The one parser of the Markdown that models write."""

from __future__ import annotations

import pytest

from core.base.markdown.parser import new_parser, split_row
from core.base.markdown.spans import find_spans
from tests.work import HOSTILE, grows_evenly

PARSER = new_parser()


def words(markdown: str) -> str:
    """What stands between the marks, and addresses behind their labels."""
    found = []
    for token in PARSER.parse(markdown):
        found.append(token.content if token.type in ("fence", "code_block") else "")
        for child in token.children or []:
            found += [child.content, str(child.attrs.get("href", ""))]
    return " ".join(" ".join(found).split())


@pytest.mark.parametrize(
    ("markdown", "kept"),
    [
        ("| a | b |\n|---|---|\n| 1 | 2 | 3 |", "a b 1 2 | 3"),
        ("| a | b |\n|---|---|\n| `1|2` | 3 |", "a b 1|2 3"),
        ("> " * 60 + "deep", "> " * 48 + "deep"),
        ("- " * 60 + "deep", "- " * 48 + "deep"),
        ("[a]: https://a.org\n[b]: https://b.org\n\n[x][a]", "[b]: https://b.org https://b.org https://a.org x"),
        ("[a]: https://a.org\n[a]: https://b.org", "[a]: https://a.org https://a.org [a]: https://b.org https://b.org"),
        (">>> 1 + 1", ">>> 1 + 1"),
        ("<b>x</b> <script>", "<b>x</b> <script>"),
    ],
)
def test_no_word_is_dropped(markdown: str, kept: str) -> None:
    """What CommonMark drops (cells too many, nesting too deep, references that nothing names) is shown."""
    for word in kept.split():
        assert word in words(markdown)


def test_a_row_is_split_at_its_bars() -> None:
    r"""Not at ``\|``, nor within code."""
    assert split_row(r"| a \| b | `c | d` | ``e`|f`` | `g |") == ["a | b", "`c | d`", "``e`|f``", "`g"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_text_not_faster(piece: str) -> None:
    """Whatever is repeated, in the parser and in its look-up of spans."""
    assert grows_evenly(PARSER.parse, piece)
    assert grows_evenly(find_spans, piece)
