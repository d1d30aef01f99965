"""Where a second model's text joins what the reader already has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.gateway.continuation.fences import in_code_span, mend_fence, open_fence
from core.gateway.continuation.glue import glue
from core.gateway.continuation.overlap import HOLD, Folded, Hold, Shown, overlap, resume_at
from core.gateway.continuation.preface import preface_end
from core.gateway.continuation.prompt import anchor_of
from core.gateway.continuation.restart import SAME_CHARS, same_start, starts_over

MAX_HELD_CHARS = 400
"""Longest text held back while the seam is unclear. A model that says word for word what stands already is held
longer: there is nothing new to show."""

MIN_REPEAT_CHARS = 4
"""So many characters of the end said again are waited with, however slow the model is: a word of six letters is two
tokens, and the small local model writes four a second (models.toml)."""

MIN_WHOLE_CHARS = 12
"""A shorter answer, or code block, said again from its beginning is left to the rules for repeats."""


class NoSafeSeam(Exception):
    """The text starts over and nothing may be taken back: another model must try."""


@dataclass(frozen=True, slots=True)
class Join:
    """Keep the first `keep_chars` characters of what was shown, then show `text`, then whatever follows."""

    keep_chars: int
    text: str


class Seam:
    """Takes a second model's text piece by piece until it is clear how it joins on.

    `feed` returns None while it holds the text back, and the Join once; text after that needs no seam any more. The
    holding is bounded in characters here and in time by the caller, who says `patient=False`; a clear case (a space
    and a word that was not said just before) is decided on its first piece.

    Where *editable* is False nothing that was shown may be taken back: NoSafeSeam instead of a Join that would.
    """

    def __init__(self, shown: str, *, editable: bool) -> None:
        self._shown = Shown.of(shown, anchor_of(shown))
        self._editable = editable
        self._held = ""
        self._looked_at = 0
        block = open_fence(shown)
        self._in_code = block is not None or in_code_span(shown)
        self._code_at = block.code_at if block is not None else None
        code = shown[block.code_at :] if block is not None else ""
        self._block = Shown.of(code, "") if code.strip() else None

    @property
    def held(self) -> str:
        return self._held

    def feed(self, text: str, *, patient: bool = True) -> Join | None:
        self._held += text
        if len(self._held) > MAX_HELD_CHARS and len(self._held) - self._looked_at < 64:
            return None  # a long verbatim repeat: looking at every piece would cost the square of its length
        self._looked_at = len(self._held)
        return self._decide(final=False, patient=patient and len(self._held) <= MAX_HELD_CHARS)

    def end(self) -> Join:
        """The second model has finished; decide with what there is."""
        said = Folded.of(self._held).text.rstrip(" ")
        if MIN_WHOLE_CHARS <= len(said) < len(self._shown.text) and self._says_it_again(said):
            return self._append("")  # it began again and stopped early: what stands says more
        return self._decide(final=True, patient=False) or self._append("")

    def _decide(self, *, final: bool, patient: bool) -> Join | None:
        """One look at everything held. Not patient: an unclear case is decided as a plain continuation."""
        settle = final or not patient
        courtesy = preface_end(self._held, final=settle)
        if courtesy is HOLD:
            return None
        said = self._held[courtesy:]
        if not final and len(said.strip()) < (4 if courtesy else 1):
            return None
        folded = Folded.of(said)
        if not final and (patient or len(folded.text) >= MIN_WHOLE_CHARS) and self._says_it_again(folded.text):
            return None
        if not final and len(self._held) <= MAX_HELD_CHARS and self._says_the_end_again(said, folded):
            return None
        if (join := self._after_repeat(said, folded, final=settle)) is not None:
            return join if isinstance(join, Join) else None
        mended = mend_fence(self._shown.raw, said, final=settle)
        if mended is HOLD:
            return None
        if mended is not said:
            if not mended.strip() and not final:
                return None
            join = self._after_repeat(mended, Folded.of(mended), final=settle)
            if join is not None:
                return join if isinstance(join, Join) else None
            return self._append(mended)
        match starts_over(self._shown, said, in_code=self._in_code, final=settle):
            case True:
                return self._replace(0, said)
            case False:
                return self._append(glue(self._shown.raw, said, courtesy=self._held[:courtesy]))
            case _:
                return None

    def _says_it_again(self, said: str) -> bool:
        """Whether all that was said repeats the beginning of the answer, or of its open code block."""
        said = said.rstrip(" ")
        return any(place.text.startswith(said) for place in self._beginnings())

    def _says_the_end_again(self, said: str, folded: Folded) -> bool:
        """Whether all that was said repeats the end of the answer, as it was asked to: there is nothing new to show, so
        a slow model is not hurried. Shown as it is, its repetition would stand there twice."""
        return (
            len(folded.text) >= MIN_REPEAT_CHARS
            and overlap(self._shown, said, final=False, code_at=self._code_at) is HOLD
        )

    def _beginnings(self) -> tuple[Shown, ...]:
        return (self._shown,) if self._block is None else (self._shown, self._block)

    def _after_repeat(self, said: str, folded: Folded, *, final: bool) -> Join | Literal[Hold.HOLD] | None:
        """The Join where *said* repeats its beginning or its end, HOLD while it may, None where it does not."""
        for place in self._beginnings():
            same = same_start(place, folded)
            if same == len(place.text) and same >= MIN_WHOLE_CHARS:
                return self._append(said[resume_at(self._shown, folded, same) :])
            if place is self._shown and SAME_CHARS <= same < len(folded.text.rstrip(" ")):
                return self._replace(*_word_start(self._shown.folded, folded, same))
        found = overlap(self._shown, said, final=final, code_at=self._code_at)
        if found is None or found is HOLD:
            return found
        return self._append(said[found:])

    def _append(self, text: str) -> Join:
        return Join(len(self._shown.raw), text)

    def _replace(self, keep_chars: int, text: str) -> Join:
        if not self._editable:
            raise NoSafeSeam
        return Join(keep_chars, text)


def _word_start(shown: Folded, said: Folded, same: int) -> tuple[int, str]:
    """How much of *shown* stands, and what replaces the rest, when both agree on *same* folded characters."""
    space = shown.text.rfind(" ", 0, same)
    if space < 1:
        return 0, said.raw
    return shown.end_of(space), said.raw[said.end_of(space) :]
