"""What a reply's pages should look like now, from its draft. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.delivery.draft import Draft
from core.delivery.pages.pages import Page, Pages, split
from core.ports.platform import Controls, Shown, SurfaceLimits

MIN_PAGE_CHARS = 200
"""A page is never made shorter than this, however often the platform finds it too long."""

_MAX_FOOTER_CHARS = 400


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ends."""

    footer: str = ""
    outcome: str = "ok"
    final: bool = True
    """False where it only pauses: it waits for a model and can still be stopped."""
    asks_approval: bool = False
    """Confirm and Decline instead of the usual buttons."""
    choices: tuple[str, ...] = ()
    """A button for each of these instead."""


@dataclass(frozen=True, slots=True)
class View:
    """All pages of a reply, in order, and the whole answer as a file where it has more pages than may be posted."""

    pages: tuple[Shown, ...]
    file: bytes = b""


class Composer:
    """Splits one draft again and again while it grows, and remembers the cuts it made."""

    def __init__(self, draft: Draft, limits: SurfaceLimits, reply_id: str, *, controls: bool) -> None:
        self._draft = draft
        self._limits = limits
        self._reply_id = reply_id
        self._controls = controls
        self._max_chars = limits.max_chars
        self._preface = ""
        self._pages = self._fresh_pages()
        self._instead: str | None = None
        self.plain = False

    def _fresh_pages(self) -> Pages:
        return Pages(self._max_chars, self._limits.measure)

    def rewind(self, kept_chars: int) -> None:
        """Only the first *kept_chars* characters of the draft's text stand."""
        self._pages.rewind(len(self._preface) + kept_chars)

    def replace(self, sentence: str) -> None:
        """Show *sentence* in the text's place from now on; "" takes the whole reply back."""
        self._instead = sentence
        self._pages = self._fresh_pages()

    def shorten(self) -> bool:
        """The platform found a page too long: make all of them shorter. False when they are as short as they get."""
        if self._max_chars <= MIN_PAGE_CHARS:
            return False
        self._max_chars = max(MIN_PAGE_CHARS, self._max_chars * 3 // 4)
        self._pages = self._fresh_pages()
        return True

    def view(self, ending: Ending | None) -> View:
        """What should stand on the screen; *ending* is None while the answer grows."""
        preface = "" if self._instead == "" else self._draft.preface
        if preface != self._preface:  # it changes only while there is no text, so nothing that was shown moves
            self._preface, self._pages = preface, self._fresh_pages()
        text = self._draft.text if self._instead is None else self._instead
        pages = self._pages.update(preface + text, growing=ending is None)
        if len(pages) <= self._limits.max_pages:
            return View(self._dressed(pages, ending))
        file = self._draft.text.encode("utf-8", "replace") if ending else b""
        return View(self._dressed(pages[: self._limits.max_pages], ending), file)

    def shows_answer(self, page: int, shown: Shown) -> bool:
        """Whether a word of the answer itself stands on that page."""
        return (
            bool(self._draft.chars)
            and self._instead is None
            and len(shown.text) > (len(self._preface.rstrip()) if page == 0 else 0)
        )

    def _dressed(self, pages: tuple[Page, ...], ending: Ending | None) -> tuple[Shown, ...]:
        """The pages with what stands around them: buttons, status and footer on the last one only."""
        texts = [(page.text, len(page.closed)) for page in pages]
        status = "" if ending or self._instead is not None else self._draft.status
        footer = ""
        if ending and self._instead != "":
            notes = (*self._draft.footnotes, ending.footer)
            footer = " ".join(note for note in notes if note)[:_MAX_FOOTER_CHARS]
        if not texts and (status or footer):
            texts = [("", 0)]
        if texts and footer and not self._has_room(texts[-1][0], footer):
            room = self._max_chars - self._limits.measure(footer) - 2
            texts[-1:] = [(text, 0) for text in split(texts[-1][0], max(room, MIN_PAGE_CHARS), self._limits.measure)]
        if texts and status and not self._has_room(texts[-1][0], status):
            status = ""
        final = ending is not None and ending.final
        # A page that another follows is complete: shown as final now, it owes no edit when the last words are due.
        shown = [Shown(text, final=True, closing_chars=closing, plain=self.plain) for text, closing in texts]
        if shown:
            text, closing = texts[-1]
            shown[-1] = Shown(text, final, self._buttons(ending), status, footer, closing, self.plain)
        return tuple(shown)

    def _has_room(self, text: str, line: str) -> bool:
        return self._limits.measure(f"{text}\n\n{line}") <= self._max_chars

    def _buttons(self, ending: Ending | None) -> Controls | None:
        if not self._controls or self.plain:
            return None
        if ending is None or not ending.final:
            return Controls(self._reply_id, stop=True)
        asks = ending.asks_approval or bool(ending.choices)
        return Controls(self._reply_id, finished=not asks, confirm=ending.asks_approval, choices=ending.choices)
