"""The registry's values: what a model is and can do. The facts themselves are data in models.toml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Tier = Literal["speed", "quality", "vision", "audio", "speech", "local", "backup"]


class Capability(StrEnum):
    """What a request may need of a model."""

    TEXT = "text"
    TOOLS = "tools"
    JSON = "json"
    JSON_SCHEMA = "json_schema"
    VISION = "vision"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens; audio per hour, speech per million characters."""

    prompt: float = 0.0
    cached: float = 0.0
    output: float = 0.0
    audio_hour: float = 0.0
    characters: float = 0.0
    long_above: int = 0
    """Prompts of more tokens cost `long_input` and `long_output` times as much; 0 where none do."""
    long_input: float = 1.0
    long_output: float = 1.0
    uses: Mapping[str, float] = field(default_factory=dict)
    """Tool that the provider runs -> USD for each use."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of one provider; see models.toml for where each figure comes from."""

    id: str
    provider: str
    tier: Tier
    context_window: int
    """Tokens, prompt and answer together."""
    max_output: int
    """Tokens."""
    capabilities: frozenset[Capability]
    price: Price = Price()
    max_input: int = 0
    """Tokens of the prompt, where it may not fill the whole window; 0 where it may."""
    speed: int = 0
    """Tokens per second as published; 0 where unknown."""
    efforts: tuple[str, ...] = ()
    """Reasoning efforts it accepts, lowest first; empty where it takes no such parameter."""
    default_effort: str | None = None
    """The effort we ask for when the request says none."""
    refuses: frozenset[str] = frozenset()
    """Combinations that end in a 400; each name is explained in models.toml: "schema+stream", "schema+tools",
    "temperature+effort", "tools+effort", "parallel_tools", "n", "translation", "timestamps", "word_timestamps"."""
    builtin_tools: frozenset[str] = frozenset()
    max_images: int = 0
    max_audio_bytes: int = 0
    min_billed_audio_s: float = 0.0
    limits: Mapping[str, int] = field(default_factory=dict)
    """Published limits to start from: "RPM", "RPD", "TPM", "TPD", "ITPM", "OTPM" -> count; headers correct them."""
    status: Literal["production", "preview", "retired", "dead"] = "production"
    shutdown_at: str = ""
    """ISO date of the published shutdown, "" where none is."""
    enabled: bool = True
    only_by_name: bool = False
    """Never asked instead of another: it costs more than anybody agreed to."""

    @property
    def name_there(self) -> str:
        """What its provider calls it: `elsewhere/their-model` of the provider `elsewhere` is their-model there."""
        return self.id.removeprefix(f"{self.provider}/")

    def room(self, output_tokens: int) -> int:
        """How many tokens a prompt may have beside an answer of *output_tokens*."""
        room = self.context_window - output_tokens
        return min(room, self.max_input) if self.max_input else room

    def cost_usd(self, prompt_tokens: int, cached_tokens: int, output_tokens: int) -> float:
        """Price of one answer; `cached_tokens` are part of `prompt_tokens`."""
        price = self.price
        fresh = max(0, prompt_tokens - cached_tokens)
        asked, answered = fresh * price.prompt + cached_tokens * price.cached, output_tokens * price.output
        if price.long_above and prompt_tokens > price.long_above:
            asked, answered = asked * price.long_input, answered * price.long_output
        return (asked + answered) / 1e6


@dataclass(frozen=True, slots=True)
class Route:
    """The router's answer: which models to try, best first, and why the first was chosen."""

    models: tuple[ModelSpec, ...]
    reason: str

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self.models)
