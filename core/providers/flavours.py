"""What OpenAI-compatible servers take otherwise than OpenAI: one row each, and a body made fit for it. Pure.

Source: facts/models-2.md 5 (read 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Flavour:
    """How a server differs."""

    base_url: str = ""
    """Its public address, "" where everybody has his own."""
    answer_limit: str = "max_tokens"
    """The name of the longest answer's parameter."""
    refuses: frozenset[str] = frozenset()
    """Parameters that end in a 400, or hang."""
    strict: bool = True
    """Whether tools and schemas may say "strict"."""
    required: str = "required"
    """What it calls the choice of any tool."""
    seed: str = "seed"
    key_header: str = "Authorization"
    """Where the key goes; a bearer token in this one, the key alone in any other."""
    lists: bool = True
    """Whether GET /models lists what may be asked for."""
    adds: tuple[tuple[str, Any], ...] = ()


def _without(*names: str) -> frozenset[str]:
    return frozenset(names)


FLAVOURS: Final[Mapping[str, Flavour]] = {
    "compatible": Flavour(),
    "openai": Flavour("https://api.openai.com/v1", answer_limit="max_completion_tokens"),
    "groq": Flavour("https://api.groq.com", answer_limit="max_completion_tokens"),
    "openrouter": Flavour("https://openrouter.ai/api/v1", adds=(("usage", {"include": True}),)),
    "cerebras": Flavour(
        "https://api.cerebras.ai/v1",
        answer_limit="max_completion_tokens",
        refuses=_without("parallel_tool_calls", "service_tier", "frequency_penalty", "presence_penalty"),
    ),
    "together": Flavour("https://api.together.xyz/v1"),
    "fireworks": Flavour("https://api.fireworks.ai/inference/v1", strict=False),
    "mistral": Flavour(
        "https://api.mistral.ai/v1", refuses=_without("stream_options"), required="any", seed="random_seed"
    ),
    "gemini": Flavour(
        "https://generativelanguage.googleapis.com/v1beta/openai", refuses=_without("seed", "parallel_tool_calls")
    ),
    "anthropic": Flavour("https://api.anthropic.com/v1", strict=False, refuses=_without("seed")),
    "azure": Flavour(answer_limit="max_completion_tokens", key_header="api-key", lists=False),
    "vllm": Flavour(strict=False),
    "ollama": Flavour(strict=False, refuses=_without("tool_choice", "parallel_tool_calls")),
    "lmstudio": Flavour(strict=False),
}
"""Name in tern.toml -> its row. "compatible" is whoever keeps to what OpenAI wrote down in 2024."""


def shaped(body: Mapping[str, Any], flavour: Flavour) -> dict[str, Any]:
    """Return *body*, which OpenAI would take, as *flavour* takes it."""
    made = {name: value for name, value in body.items() if name not in flavour.refuses}
    for name in ("max_tokens", "max_completion_tokens"):
        if name in made:
            made[flavour.answer_limit] = made.pop(name)
    if "seed" in made:
        made[flavour.seed] = made.pop("seed")
    if made.get("tool_choice") == "required":
        made["tool_choice"] = flavour.required
    if not flavour.strict:
        if "tools" in made:
            made["tools"] = [_lax(tool, "function") for tool in made["tools"]]
        if "response_format" in made:
            made["response_format"] = _lax(made["response_format"], "json_schema")
    # An assistant's turn that is calls alone has no text in it, and some refuse an empty one.
    made["messages"] = [message for message in made["messages"] if _says_something(message)]
    return {**made, **dict(flavour.adds)}


def _lax(value: Mapping[str, Any], inner: str) -> dict[str, Any]:
    if inner not in value:
        return dict(value)
    return {**value, inner: {name: one for name, one in value[inner].items() if name != "strict"}}


def _says_something(message: Mapping[str, Any]) -> bool:
    return message["role"] != "assistant" or bool(message.get("content") or message.get("tool_calls"))
