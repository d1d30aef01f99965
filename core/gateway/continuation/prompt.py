"""What a model is asked when it must go on with an answer that another one began."""

from __future__ import annotations

import re
from dataclasses import replace

from core.domain.requests import ChatRequest, Text, Turn
from core.gateway.continuation.fences import open_fence

ANCHOR_WORDS = 6
"""How many words we ask to hear again: enough to be found for sure, few enough to cost no time."""

_MAX_ANCHOR_CHARS = 80
_MIN_ANCHOR_CHARS = 20
_LOOK_CHARS = 400

_INSTRUCTION = (
    "Your answer above was cut off by a technical fault; the reader has seen it up to its last character. "
    'Go on from exactly there, in the same language and form. Begin by repeating its last words, "{anchor}", '
    "and continue. No greeting, no comment, no summary of what was said; do not start over"
    "{fence}. If the answer was already complete, write those last words and nothing else."
)

_INSIDE_CODE = "; it stopped inside a code block that is still open, so do not open it again"


def continuation_request(request: ChatRequest, shown: str) -> ChatRequest:
    """Return *request* extended by what was *shown* and by the instruction to go on.

    Works without prefill: OpenAI-format targets cannot be handed the beginning of their own answer, so the
    instruction is a turn of its own.
    """
    instruction = _INSTRUCTION.format(anchor=anchor_of(shown), fence=_INSIDE_CODE if open_fence(shown) else "")
    turns = (*request.turns, Turn("assistant", (Text(shown),)), Turn("user", (Text(instruction),)))
    return replace(request, turns=turns)


def anchor_of(shown: str) -> str:
    """Return the last words of *shown* (a word that was cut is one of them), with single spaces between.

    As many whole ones as 80 characters hold; where that leaves too few to be found again, as in writing without spaces,
    the end of a longer one too.
    """
    words = re.findall(r"\S+", shown[-_LOOK_CHARS:])[-ANCHOR_WORDS:]
    while len(" ".join(words)) > _MAX_ANCHOR_CHARS and len(" ".join(words[1:])) >= _MIN_ANCHOR_CHARS:
        del words[0]
    return " ".join(words)[-_MAX_ANCHOR_CHARS:]
