"""Making a request fit one model: its context, its eyes, its longest answer. Pure; tells what it left out."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import Protocol

from core.domain.events import Notice
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import ChatRequest, Image, Part, Text, ToolResult, Turn

DEFAULT_OUTPUT_TOKENS = 4_096
"""Longest answer where the request says none. Groq counts prompt plus this against the minute before it runs anything
(facts/groq.md 2), so it must leave room for a prompt in the free plan's 8,000."""

_PICTURE_LEFT_OUT = "[a picture that this model was not shown]\n"
_GAP = "\n[... {n} characters left out ...]\n"
_HEAD_SHARE = 0.75
"""Of a message that is cut: so much from its beginning, the rest from its end, where questions often stand."""

_PRECISION = 16
"""Characters: how closely a cut fills the room there is."""


class Scale(Protocol):
    """What `fit` needs of TokenScale."""

    def of_request(self, request: ChatRequest, model_id: str = "") -> int: ...


def output_reserve(request: ChatRequest, model: ModelSpec) -> int:
    """Return how many tokens the answer may take on *model*."""
    return min(request.max_output_tokens or DEFAULT_OUTPUT_TOKENS, model.max_output, model.context_window // 2)


def fit(request: ChatRequest, model: ModelSpec, tokens: Scale) -> tuple[ChatRequest, tuple[Notice, ...]]:
    """Return *request* as *model* can take it, and what the reader should know about that.

    Pictures beyond what the model sees become a word each; history is trimmed from its oldest exchange; if the last
    question alone is too long, its longest texts are cut in the middle. `max_output_tokens` is always set afterwards.
    """
    notices: list[Notice] = []
    turns, declined = _without_surplus_pictures(request.turns, model)
    if declined:
        notices.append(Notice("declined", {"name": "pictures", "reason": f"{model.id} takes {model.max_images}"}))
    fitted = replace(request, turns=turns, max_output_tokens=output_reserve(request, model))
    budget = model.room(output_reserve(request, model))
    if tokens.of_request(fitted, model.id) <= budget:
        return fitted, tuple(notices)

    fitted, dropped = _trimmed(fitted, model, tokens, budget)
    if dropped:
        notices.append(Notice("trimmed", {"turns": str(dropped)}))
    if tokens.of_request(fitted, model.id) > budget:
        fitted, kept, total = _cut(fitted, model, tokens, budget)
        if kept < total:
            notices.append(Notice("cut", {"kept_chars": str(kept), "total_chars": str(total)}))
    return fitted, tuple(notices)


def _without_surplus_pictures(turns: tuple[Turn, ...], model: ModelSpec) -> tuple[tuple[Turn, ...], bool]:
    """Keep the newest pictures that *model* takes. The flag is whether the last question itself lost one.

    A text model answers 400 when an earlier turn still carries a picture (facts/groq.md 2, "history trap").
    """
    left = model.max_images if Capability.VISION in model.capabilities else 0
    last_question = _last_question(turns)
    declined = False
    kept: list[Turn] = []
    for index in range(len(turns) - 1, -1, -1):
        parts: list[Part] = []
        for part in reversed(turns[index].parts):
            if isinstance(part, Image) and left == 0:
                declined |= index >= last_question
                part = Text(_PICTURE_LEFT_OUT)
            elif isinstance(part, Image):
                left -= 1
            parts.append(part)
        kept.append(replace(turns[index], parts=tuple(reversed(parts))))
    return tuple(reversed(kept)), declined


def _trimmed(request: ChatRequest, model: ModelSpec, tokens: Scale, budget: int) -> tuple[ChatRequest, int]:
    """Drop whole exchanges, oldest first: a tool's result never stays without its call, nor an answer without its
    question. The system turns and everything from the last question on stay."""
    turns = request.turns
    system = tuple(turn for turn in turns if turn.role == "system")
    talk = tuple(turn for turn in turns if turn.role != "system")
    starts = [index for index, turn in enumerate(talk) if turn.role == "user"]
    shorter = [start for start in starts if start > 0]
    if not shorter:
        return request, 0

    def fits(start: int) -> bool:
        return tokens.of_request(replace(request, turns=system + talk[start:]), model.id) <= budget

    start = shorter[min(bisect_left(shorter, True, key=fits), len(shorter) - 1)]
    return replace(request, turns=system + talk[start:]), start


def _cut(request: ChatRequest, model: ModelSpec, tokens: Scale, budget: int) -> tuple[ChatRequest, int, int]:
    """Cut the longest texts to one common length, the largest that fits.

    Returns the request with (characters kept, characters before) of the texts that were cut. The system turns are
    touched last: a persona is worth more than the middle of a pasted log.
    """
    for roles in (frozenset({"user", "assistant", "tool"}), frozenset({"user", "assistant", "tool", "system"})):
        low, high = 0, max(len(_text_of(part)) for turn in request.turns for part in turn.parts)
        while high - low > _PRECISION:
            middle = (low + high) // 2
            fits = tokens.of_request(_cut_to(request, middle, roles), model.id) <= budget
            low, high = (middle, high) if fits else (low, middle)
        if low > 0:
            break
    shorter = _cut_to(request, low, roles)
    lengths = [len(_text_of(part)) for turn in request.turns if turn.role in roles for part in turn.parts]
    return shorter, low * sum(n > low for n in lengths), sum(n for n in lengths if n > low)


def _cut_to(request: ChatRequest, max_chars: int, roles: frozenset[str]) -> ChatRequest:
    return replace(
        request,
        turns=tuple(
            replace(turn, parts=tuple(_shortened(part, max_chars) for part in turn.parts))
            if turn.role in roles
            else turn
            for turn in request.turns
        ),
    )


def _shortened(part: Part, max_chars: int) -> Part:
    text = _text_of(part)
    if len(text) <= max_chars:
        return part
    shorter = _middle_out(text, max_chars)
    return replace(part, content=shorter) if isinstance(part, ToolResult) else Text(shorter)


def _text_of(part: Part) -> str:
    match part:
        case Text(text=text) | ToolResult(content=text):
            return text
        case _:
            return ""


def _middle_out(text: str, keep_chars: int) -> str:
    head = int(keep_chars * _HEAD_SHARE)
    tail = keep_chars - head
    return text[:head] + _GAP.format(n=len(text) - keep_chars) + text[len(text) - tail :]


def _last_question(turns: tuple[Turn, ...]) -> int:
    return max((index for index, turn in enumerate(turns) if turn.role == "user"), default=0)
