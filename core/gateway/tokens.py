"""How many tokens a text will be: estimated from its bytes, corrected by what providers report."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from core.domain.requests import ChatRequest, Image, Part, Reasoning, Text, ToolCall, ToolResult, Turn

BYTES_PER_TOKEN = 4
"""UTF-8 bytes per token. English runs at about 4.5, code at 3.5; Cyrillic (2 bytes a letter) and Chinese (3) land near
their true counts because they take more bytes. No tokenizer is loaded: gpt-oss, Qwen and SmolLM each have another one,
and the measured correction below is closer than any of them would be for the others."""

TURN_OVERHEAD = 4
"""Tokens a chat template spends on each turn's role and delimiters."""

IMAGE_TOKENS = 1_400
"""A 512 x 512 PNG with a short prompt cost 1,361 input tokens on qwen3.6 (facts/groq.md 2, read 2026-11-22)."""

PIXELS_PER_TOKEN = 784
"""28 x 28 pixels a token, how Qwen's vision encoder cuts larger pictures: https://arxiv.org/abs/2409.12191"""


def estimate_tokens(text: str) -> int:
    """Return a cheap guess at how many tokens *text* is; within about 30 % for prose in any script, 0 for ""."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def estimate_turns(turns: Iterable[Turn]) -> int:
    """Return the uncorrected guess for whole turns, pictures and tool calls included."""
    return sum(TURN_OVERHEAD + sum(_part_tokens(part) for part in turn.parts) for turn in turns)


def estimate_request(request: ChatRequest) -> int:
    """Return the uncorrected guess for everything that *request* sends: turns, tool descriptions and schema."""
    tokens = estimate_turns(request.turns)
    for tool in request.tools:
        tokens += estimate_tokens(tool.name + tool.description) + _json_tokens(tool.parameters)
    if request.output_format.schema is not None:
        tokens += _json_tokens(request.output_format.schema)
    return tokens


def _json_tokens(value: object) -> int:
    return -(-len(msgspec.json.encode(value)) // BYTES_PER_TOKEN)


def _part_tokens(part: Part) -> int:
    match part:
        case Text(text=text) | Reasoning(text=text) | ToolResult(content=text):
            return estimate_tokens(text)
        case Image(width=width, height=height):
            return max(IMAGE_TOKENS, width * height // PIXELS_PER_TOKEN)
        case ToolCall(name=name, arguments=arguments):
            return estimate_tokens(name) + estimate_tokens(arguments)


class TokenScale:
    """Estimates that learn: per model, the moving ratio of reported to estimated prompt tokens.

    Weakness: one ratio per model, so a model that is asked in English and Thai by turns is off for both.
    """

    _WEIGHT = 0.2
    _LOWEST, _HIGHEST = 0.5, 3.0
    _ENOUGH = 50
    """Below so many tokens the template's fixed preamble (Harmony's is about 70) would swamp the ratio."""

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def tokens(self, turns: Iterable[Turn], model_id: str = "") -> int:
        """Return the corrected guess for *turns*; uncorrected for a model that has not reported yet."""
        return self._scaled(estimate_turns(turns), model_id)

    def of_request(self, request: ChatRequest, model_id: str = "") -> int:
        """Return the corrected guess for the whole prompt: turns, tools and schema."""
        return self._scaled(estimate_request(request), model_id)

    def correct(self, model_id: str, estimated: int, reported: int) -> None:
        """Learn from one answer: *estimated* as `estimate_request` gave it, *reported* by the provider's usage."""
        if estimated < self._ENOUGH or reported <= 0:
            return
        seen = min(self._HIGHEST, max(self._LOWEST, reported / estimated))
        before = self._ratios.get(model_id, 1.0)
        self._ratios[model_id] = before + self._WEIGHT * (seen - before)

    def _scaled(self, estimated: int, model_id: str) -> int:
        return round(estimated * self._ratios.get(model_id, 1.0))
