"""What should be visible of a growing answer: a value that events are applied to. No clock, no platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from core.domain.events import Event, Notice, NoticeKind, Restarted, Started, TextDelta, ToolCallDelta

_WAITS: frozenset[NoticeKind] = frozenset({"queued", "waiting", "tool"})
"""Notices about what goes on just now: they vanish into the answer."""

_OPENERS: frozenset[NoticeKind] = frozenset({"heard", "read", "declined", "cut", "retired", "fallback"})
"""Notices that a reader wants before the answer. Everything else is a footnote."""


class Draft:
    """One answer, as far as it is known.

    `apply` is on the hot path (once per token): it appends to a list and joins only when somebody reads. Reading after
    every delta would therefore cost O(n) each time; the writer reads a few times a second.
    """

    __slots__ = ("_footnotes", "_line", "_openers", "_parts", "_status", "_status_kind", "chars")

    def __init__(self, line: Callable[[Notice], str]) -> None:
        """*line* words a notice (`core.wording.notice_line`)."""
        self._line = line
        self._parts: list[str] = []
        self._openers: list[str] = []
        self._footnotes: list[str] = []
        self._status = ""
        self._status_kind: NoticeKind | None = None
        self.chars = 0
        """Length of `text`, in code points."""

    def apply(self, event: Event) -> None:
        if type(event) is TextDelta:  # once per token: matching a class pattern would take three times as long
            self._parts.append(event.text)
            self.chars += len(event.text)
            self._status_kind = None
            return
        match event:
            case Restarted(_, keep_chars):
                kept = self.text[:keep_chars]
                self._parts = [kept]
                self.chars = len(kept)
            case Notice():
                self._note(event)
            case Started():
                # A tool's line stays until its result shows in the text; a wait is over as soon as a model began.
                if self._status_kind != "tool":
                    self._status_kind = None
            case ToolCallDelta() | TextDelta():
                pass
            case _:
                assert_never(event)

    def _note(self, notice: Notice) -> None:
        line = self._line(notice)
        if not line:
            return
        if notice.kind in _WAITS:
            self._status, self._status_kind = line, notice.kind
        elif notice.kind in _OPENERS and not self.chars:
            # Once text stands on the screen nothing may push it down: a late opener becomes a footnote.
            _add_once(self._openers, line)
        else:
            _add_once(self._footnotes, line)

    @property
    def text(self) -> str:
        """The answer's Markdown, without notices."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def preface(self) -> str:
        """Lines that stand above the answer, as Markdown quotes; "" or ending in a blank line."""
        return "".join("> " + line.replace("\n", "\n> ") + "\n\n" for line in self._openers)

    @property
    def status(self) -> str:
        return self._status if self._status_kind else ""

    @property
    def footnotes(self) -> tuple[str, ...]:
        return tuple(self._footnotes)


def _add_once(lines: list[str], line: str) -> None:
    if line not in lines:
        lines.append(line)
