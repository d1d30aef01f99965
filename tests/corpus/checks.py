"""What must be true of an answer on every surface: each word once and in order, addresses unchanged, code as it was."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterable
from html.parser import HTMLParser

from rich.console import Console

from adapters.discord.render import PAGE_UNITS, measure, render
from adapters.slack.mention_guard import disarm
from adapters.slack.render import MAX_PAGE_CHARS, in_sections, page_length, to_mrkdwn
from adapters.terminal.screen import PlainScreen, RichScreen
from adapters.web.markdown import Markdown
from core.delivery.pages.pages import Page, Pages
from core.ports.platform import code_points
from tests.corpus.documents import Document

_NUMBER = re.compile(r"(\d+)q")
_PAGE = Markdown()


def check_everywhere(document: Document, *, page_chars: int = 11_000, drawn: bool = True) -> None:
    """On Slack (markdown block, mrkdwn, plain), Discord, the page and the terminal, in pages of at most *page_chars*.

    Args:
        drawn: Whether rich draws it too, which takes ten times as long as all others together.

    Raises:
        AssertionError: Says which surface loses, doubles or changes what.
    """
    check_slack(document, page_chars)
    check_discord(document, page_chars)
    check_page(document)
    check_terminal(document, drawn=drawn)


def check_slack(document: Document, page_chars: int) -> None:
    pages = pages_of(document, min(page_chars, MAX_PAGE_CHARS), page_length)
    split = _Split(document, pages)
    texts = [disarm(page.text) for page in pages]
    split.check("slack markdown", texts, lambda text: text, raw=True)
    sections = [in_sections(to_mrkdwn(page.text)) for page in pages]
    assert all(0 < len(piece) <= 3_000 for pieces in sections for piece in pieces)
    split.check("slack mrkdwn", ["\n".join(pieces) for pieces in sections], escaped)


def check_discord(document: Document, page_chars: int) -> None:
    pages = pages_of(document, min(page_chars, PAGE_UNITS), measure)
    split = _Split(document, pages)
    split.check("discord", [render(page.text) for page in pages], lambda text: text)
    split.check("discord quiet", [render(page.text, quiet_links=True) for page in pages], lambda text: text)
    plain = pages_of(document, min(page_chars, PAGE_UNITS), code_points)
    _Split(document, plain).check("plain", [page.text for page in plain], lambda text: text, raw=True)


def check_page(document: Document) -> None:
    read = _Read()
    read.feed(_PAGE.html(document.markdown))
    read.close()
    _same_words("page", document, read.text, set())
    missing = [address for address in document.addresses if address not in read.links]
    assert not missing, f"page: addresses {missing} became {read.links}"
    assert read.blocks == document.code, f"page: code {document.code} became {read.blocks}"
    assert [code for code in document.spans if code not in read.codes] == [], f"page: {document.spans} -> {read.codes}"


def check_terminal(document: Document, *, drawn: bool = True) -> None:
    plain = io.StringIO()
    PlainScreen(plain).end(document.markdown, "")
    assert plain.getvalue().strip() == document.markdown.strip()
    if drawn:
        screen = io.StringIO()
        RichScreen(Console(file=screen, width=2_000, color_system=None)).end(document.markdown, "")
        # Cells of two lines stand beside each other: all words are there, not one after the other.
        seen = sorted(_NUMBER.findall(screen.getvalue()))
        assert seen == sorted(_NUMBER.findall(" ".join(document.words + document.headers))), "terminal: other words"


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def pages_of(document: Document, max_chars: int, measured: Callable[[str], int]) -> tuple[Page, ...]:
    pages = Pages(max_chars, measured).update(document.markdown, growing=False)
    assert all(measured(page.text) <= max_chars for page in pages)
    return pages


class _Split:
    """Knows what a page's end runs through, since no surface can show that in one piece."""

    def __init__(self, document: Document, pages: Iterable[Page]) -> None:
        self._document = document
        self._ends: list[int] = []
        self._text = "".join(page.source for page in pages)
        at = 0
        for page in pages:
            at += len(page.source)
            self._ends.append(at)

    def parted(self, piece: str) -> bool:
        found = re.search(re.escape(piece) + r"(?!\d)", self._text)
        return found is None or any(found.start() < end < found.end() for end in self._ends)

    def check(self, surface: str, pages: list[str], written: Callable[[str], str], *, raw: bool = False) -> None:
        """*raw*: the surface reads Markdown itself, so what it gets is the answer's source."""
        document, text = self._document, "\n".join(pages)
        _same_words(surface, document, text, {word for word in document.words if self.parted(word)})
        for address in document.addresses:
            assert written(address) in text or self.parted(address), f"{surface}: {address} is not in {text!r}"
        for code in document.spans:
            assert f"`{written(code)}`" in text or self.parted(f"`{code}`"), f"{surface}: `{code}` is not in {text!r}"
        for code in document.code:
            words = re.findall(r"k\d+z", code)
            assert [word for word in words if word not in text] == [], f"{surface}: {words} are not all in {text!r}"
            if len(pages) == 1 and not raw:
                quoted = written(code).replace("\n", "\n> ")
                whole = f"\n{text}\n"
                assert f"\n{written(code)}\n```" in whole or f"\n> {quoted}\n> ```" in whole, (
                    f"{surface}: code {code!r} is not in {text!r}"
                )


def _same_words(surface: str, document: Document, text: str, parted: set[str]) -> None:
    headers = {_NUMBER.search(word)[1] for word in document.headers}  # type: ignore[index]  # every word has a number
    skipped = {_NUMBER.search(word)[1] for word in parted}  # type: ignore[index]
    found = [number for number in _NUMBER.findall(text) if number not in headers | skipped]
    expected = [number for word in document.words if (number := _NUMBER.search(word)[1]) not in skipped]  # type: ignore[index]
    if skipped:  # half a number may look like another
        found = [number for number in found if number in expected]
    missing = [word for word in document.words if word not in parted and word not in text]
    assert not missing, f"{surface}: words {missing} are not in {text!r}"
    assert found == expected, f"{surface}: words in another order or number:\n{found}\n{expected}\n{text!r}"
    assert all(header in text for header in document.headers), f"{surface}: {document.headers} are not all in {text!r}"


class _Read(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.blocks: list[str] = []
        self.codes: list[str] = []
        self._in: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append(html.unescape(dict(attrs)["href"] or ""))
        if tag in ("pre", "code", "figcaption"):
            self._in.append(tag)
            if tag == "pre":
                self.blocks.append("")
            elif tag == "code":
                self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("pre", "code", "figcaption"):
            self._in.remove(tag)
            if tag == "pre":
                self.blocks[-1] = self.blocks[-1].removesuffix("\n")

    def handle_data(self, text: str) -> None:
        if "figcaption" in self._in:
            return
        if "pre" in self._in:
            self.blocks[-1] += text
        elif "code" in self._in:
            self.codes[-1] += text
        self.text += text
