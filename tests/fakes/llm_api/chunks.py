"""A script -> the bytes of a streamed answer, encoded once per script. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.llm_api.rules import Flavour
from tests.fakes.llm_api.scripts import Cut, Say, Stall, tokens_of

DONE = b"data: [DONE]\n\n"


def sse(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class Chunks:
    """Chunks as the API of one flavour shapes them."""

    def __init__(self, flavour: Flavour, model: str, request_id: str) -> None:
        self._flavour = flavour
        self._request_id = request_id
        self._base: dict[str, Any] = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": 1_795_000_000,
            "model": model,
            "system_fingerprint": "fp_44709d6fcb",
        }
        blank = sse(self._chunk({"content": "@@"}))
        self._head, self._tail = blank.split(b'"@@"')

    def role(self) -> bytes:
        """The first chunk: Groq's carries its request id, OpenAI's an empty text."""
        delta: dict[str, Any] = {"role": "assistant", "content": "" if self._flavour == "openai" else None}
        more = {"x_groq": {"id": self._request_id}} if self._flavour == "groq" else {}
        return sse({**self._chunk(delta), **more})

    def text(self, piece: str) -> bytes:
        return self._head + json.dumps(piece, ensure_ascii=False).encode() + self._tail

    def reasoning(self, piece: str) -> bytes:
        name = "reasoning_content" if self._flavour == "local" else "reasoning"
        return sse(self._chunk({name: piece}))

    def calls(self, calls: list[tuple[str, str]]) -> Iterator[bytes]:
        """Groq sends each call whole; OpenAI in pieces, id and name on the first only (facts/groq.md 4)."""
        for index, (name, arguments) in enumerate(calls):
            first = {"index": index, "id": f"call_{index}", "type": "function"}
            if self._flavour == "groq":
                whole = {**first, "function": {"name": name, "arguments": arguments}}
                yield sse(self._chunk({"tool_calls": [whole]}))
                continue
            yield sse(self._chunk({"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]}))
            for start in range(0, len(arguments), 7):
                piece = {"index": index, "function": {"arguments": arguments[start : start + 7]}}
                yield sse(self._chunk({"tool_calls": [piece]}))

    def end(self, finish: str, usage: dict[str, Any] | None, *, asked_for_usage: bool) -> bytes:
        """Finish reason, usage as this flavour sends it, and [DONE]."""
        last = self._chunk({}, finish)
        if self._flavour == "groq":
            last["x_groq"] = {"id": self._request_id, **({"usage": usage} if usage else {})}
        parts = [sse(last)]
        if usage and asked_for_usage:
            parts.append(sse({**self._base, "choices": [], "usage": usage}))
        return b"".join((*parts, DONE))

    def x_groq_error(self, message: str) -> bytes:
        return sse({**self._chunk({}), "x_groq": {"id": self._request_id, "error": message}})

    @staticmethod
    def error_event(error: Any) -> bytes:
        return b"event: error\n" + sse({"error": error})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._base, "choices": [choice]}


def said(script: Say | Cut | Stall) -> tuple[str, ...]:
    """The text tokens that *script* gets out."""
    if isinstance(script, Say):
        return script.pieces
    return tokens_of(script.text)[: script.after]
