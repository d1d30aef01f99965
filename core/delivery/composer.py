"""What a reply's pages should look like now, from its draft. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core import wording
from core.delivery.draft import Draft
from core.delivery.pages.pages import Page, Pages, split
from core.ports.platform import Controls, Shown, SurfaceLimits

MIN_PAGE_CHARS = 200
"""A page is never made shorter than this, however often the platform finds it too long."""

_MAX_FOOTER_CHARS = 400

_MORE_PAGES = 2
"""Where the file for an answer of too many pages is refused, the rest is shown as pages: in all so many times as many
as would be posted otherwise. A degenerate answer does not fill a channel."""


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
        self._plain: set[int] = set()
        """Pages that were refused with their form: shown with the least of it, and without buttons."""
        self._refused: dict[int, str] = {}
        """Pages that were refused even so -> what stands there in spite of it."""
        self._stood: dict[int, str] = {}
        """The same from before the text was complete."""
        self._given_up: set[int] = set()
        """Pages that nothing more can be done for."""
        self._whole_refused = ""
        self._max_pages = limits.max_pages

    def _fresh_pages(self) -> Pages:
        return Pages(self._max_chars, self._limits.measure)

    def rewind(self, kept_chars: int) -> None:
        """Only the first *kept_chars* characters of the draft's text stand."""
        self._pages.rewind(len(self._preface) + kept_chars)

    def replace(self, sentence: str) -> None:
        """Show *sentence* in the text's place from now on; "" takes the whole reply back."""
        self._instead = sentence
        self._pages = self._fresh_pages()
        self._refused.clear()
        self._stood.clear()
        self._given_up.clear()

    def refuse(self, page: int, stands: str | None, sentence: str) -> None:
        """The platform refused *page* as it is: show it plainer, then say beside what stands that the rest is missing,
        then leave it.

        Args:
            stands: The page's text that the platform has taken before; None where something stands that we do not know.
            sentence: What is said where nothing of the whole answer can be shown.
        """
        if page not in self._plain:
            self._plain.add(page)
        elif page not in self._refused and stands is not None:
            self._refused[page] = self._stood.pop(page, stands)
            self._whole_refused = sentence
        else:
            self._given_up.add(page)

    def given_up(self, page: int) -> bool:
        return page in self._given_up

    @property
    def nothing_shown(self) -> bool:
        """Whether a sentence, or not even that, stands in the whole answer's place."""
        return self._pages.count <= 1 and self._refused.get(0) == ""

    def try_again(self) -> None:
        """The text is complete: what was refused while it grew may be taken now."""
        self._stood, self._refused = self._refused, {}
        self._given_up.clear()

    def refuse_file(self) -> None:
        """The platform does not take the whole answer as a file: the rest goes onto pages."""
        self._max_pages = _MORE_PAGES * self._limits.max_pages

    @property
    def max_pages(self) -> int:
        """The number of the first page that is no text."""
        return self._max_pages

    def shorten(self) -> bool:
        """The platform found a page too long: make all of them shorter. False when they are as short as they get."""
        if self._max_chars <= MIN_PAGE_CHARS:
            return False
        self._max_chars = max(MIN_PAGE_CHARS, self._max_chars * 3 // 4)
        self._pages = self._fresh_pages()
        self._refused.clear()
        self._stood.clear()
        self._given_up.clear()
        return True

    def view(self, ending: Ending | None) -> View:
        """What should stand on the screen; *ending* is None while the answer grows."""
        preface = "" if self._instead == "" else self._draft.preface
        if preface != self._preface:  # it changes only while there is no text, so nothing that was shown moves
            self._preface, self._pages = preface, self._fresh_pages()
        text = self._draft.text if self._instead is None else self._instead
        pages = self._pages.update(preface + text, growing=ending is None)
        if len(pages) <= self._max_pages:
            return View(self._dressed(pages, ending))
        if self._max_pages > self._limits.max_pages:
            left_out = sum(len(page.source) for page in pages[self._max_pages :])
            return View(self._dressed(pages[: self._max_pages], ending, wording.left_out(left_out)))
        file = self._draft.text.encode("utf-8", "replace") if ending else b""
        return View(self._dressed(pages[: self._max_pages], ending), file)

    def shows_answer(self, page: int, shown: Shown) -> bool:
        """Whether a word of the answer itself stands on that page."""
        return (
            bool(self._draft.chars)
            and self._instead is None
            and len(shown.text) > (len(self._preface.rstrip()) if page == 0 else 0)
        )

    def _dressed(self, pages: tuple[Page, ...], ending: Ending | None, missing: str = "") -> tuple[Shown, ...]:
        """The pages with what stands around them: buttons, status and footer on the last one only."""
        texts = [
            (self._in_spite(number, ending, alone=len(pages) == 1), 0)
            if number in self._refused
            else (page.text, len(page.closed))
            for number, page in enumerate(pages)
        ]
        status = "" if ending or self._instead is not None else self._draft.status
        footer = ""
        if ending and self._instead != "":
            notes = (*self._draft.footnotes, ending.footer, missing)
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
        shown = [
            Shown(text, final=True, closing_chars=closing, plain=number in self._plain)
            for number, (text, closing) in enumerate(texts)
        ]
        if shown:
            (text, closing), plain = texts[-1], len(texts) - 1 in self._plain
            buttons = None if plain else self._buttons(ending)
            shown[-1] = Shown(text, final, buttons, status, footer, closing, plain)
        return tuple(shown)

    def _in_spite(self, page: int, ending: Ending | None, *, alone: bool) -> str:
        """A refused page: what stands there, and once nothing more comes that something is missing."""
        stands = self._refused[page]
        if stands:
            return f"{stands}\n\n{wording.REST_REFUSED}" if ending else stands
        return self._whole_refused if alone else wording.PART_REFUSED

    def _has_room(self, text: str, line: str) -> bool:
        return self._limits.measure(f"{text}\n\n{line}") <= self._max_chars

    def _buttons(self, ending: Ending | None) -> Controls | None:
        if not self._controls:
            return None
        if ending is None or not ending.final:
            return Controls(self._reply_id, stop=True)
        asks = ending.asks_approval or bool(ending.choices)
        return Controls(self._reply_id, finished=not asks, confirm=ending.asks_approval, choices=ending.choices)
