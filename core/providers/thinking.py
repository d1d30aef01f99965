"""Keeps what a model thinks aloud at the head of an answer out of it, however the text is cut into pieces. Pure."""

from __future__ import annotations

import re
from typing import Final, Literal

from core.domain.model_spec import ModelSpec

_TAGS: Final = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "[THINK]": "[/THINK]",
}
"""Of DeepSeek and Qwen, of those trained on Claude's answers, of Gemma, of Magistral."""

_MOST_BLANKS: Final = 1_000

_OPENED: Final = re.compile(r"\br1\b|qwq|thinking|reasoner|magistral", re.IGNORECASE)
"""Models whose chat template ends with the opening tag, so that it is never in the answer: DeepSeek R1 and what was
distilled from it, QwQ, Qwen's thinking ones (their tokenizer_config.json on huggingface.co, read 2026-11-30)."""


def thinks_unopened(model: ModelSpec) -> bool:
    """Whether *model* may begin with a thought that only a closing tag tells from the answer."""
    return _OPENED.search(model.id.rpartition("/")[2]) is not None


class ThinkFilter:
    """Only a block that the answer begins with is thinking; the tag in mid-answer is the answer's own business.

    Args:
        opened: The opening tag may have stood in the prompt. Everything is then held back until the closing tag; a
            model that does not think after all is shown at its end only.
    """

    __slots__ = ("_close", "_held", "_opened", "_state", "_thought")

    def __init__(self, *, opened: bool = False) -> None:
        self._state: Literal["head", "thinking", "after", "answer"] = "head"
        self._opened = opened
        self._held = ""
        self._close = "</think>"
        self._thought: list[str] = []

    def feed(self, text: str) -> tuple[str, str]:
        """Return (answer, thought) of the next piece; what cannot be told yet is held back."""
        if self._state == "answer":
            return text, ""
        self._held += text
        if self._state == "head":
            self._state = self._begun()
            if self._state == "head":
                return "", ""
            if self._state == "answer":
                return self._take(), ""
        thought = ""
        if self._state == "thinking":
            piece, closed, rest = self._held.partition(self._close)
            if not closed:
                keep = _overlap(piece, self._close)
                self._held = piece[len(piece) - keep :]
                self._thought.append(piece[: len(piece) - keep])
                return "", ""
            thought = "".join((*self._thought, piece))
            self._thought.clear()
            self._held = rest
            self._state = "after"
        self._held = self._held.lstrip()
        if not self._held:
            return "", thought
        self._state = "answer"
        return self._take(), thought

    def thoughts_go_elsewhere(self) -> None:
        """Thoughts came in a field of their own: the text is answer from its first word."""
        self._opened = False

    def close(self, *, whole: bool) -> tuple[str, str]:
        """Return (answer, thought) of what was held back.

        Args:
            whole: The answer came to its end. What was never closed was no thinking then, or has the answer in it: it
                is shown. In an answer that was cut it is a thought.
        """
        if self._state != "thinking":
            return (self._take(), "") if self._state == "head" else ("", "")
        self._thought.append(self._take())
        held = "".join(self._thought)
        self._thought.clear()
        return (held.strip("\n"), "") if whole else ("", held)

    def _begun(self) -> Literal["head", "thinking", "answer"]:
        """What the text begins with; "head" while that is open."""
        head = self._held.lstrip()
        if any(len(head) < len(tag) and tag.startswith(head) for tag in _TAGS) and len(self._held) < _MOST_BLANKS:
            return "head"
        tag = next((tag for tag in _TAGS if head.startswith(tag)), "")
        if not tag and not self._opened:
            return "answer"
        self._close = _TAGS.get(tag, self._close)
        self._held = head[len(tag) :]
        return "thinking"

    def _take(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of *text* may be the beginning of *tag*."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:n])), 0)
