"""Keeps <think>...</think> at the head of an answer out of it, however the text is cut into pieces. Pure."""

from __future__ import annotations

from typing import Final, Literal

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


class ThinkFilter:
    """Only a block that the answer begins with is thinking; the tag in mid-answer is the answer's own business."""

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._state: Literal["head", "thinking", "after", "answer"] = "head"
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Return (answer, thought) of the next piece; what cannot be told yet is held back."""
        if self._state == "answer":
            return text, ""
        self._held += text
        thought = ""
        if self._state == "head":
            head = self._held.lstrip()
            if _OPEN.startswith(head[: len(_OPEN)]) and len(head) < len(_OPEN):
                return "", ""
            if not head.startswith(_OPEN):
                self._state = "answer"
                return self._take(), ""
            self._held = head[len(_OPEN) :]
            self._state = "thinking"
        if self._state == "thinking":
            thought, closed, rest = self._held.partition(_CLOSE)
            if not closed:
                keep = _overlap(thought, _CLOSE)
                self._held = thought[len(thought) - keep :]
                return "", thought[: len(thought) - keep]
            self._held = rest
            self._state = "after"
        self._held = self._held.lstrip()
        if not self._held:
            return "", thought
        self._state = "answer"
        return self._take(), thought

    def close(self) -> str:
        """Return what was held back and turned out to be answer."""
        return self._take() if self._state == "head" else ""

    def _take(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of *text* may be the beginning of *tag*."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:n])), 0)
