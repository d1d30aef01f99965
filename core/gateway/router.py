"""Which models to ask, best first. Pure: the same request and the same registry give the same route."""

from __future__ import annotations

from core.domain.model_spec import Capability, ModelSpec, Route, Tier
from core.domain.requests import ChatRequest, Image, Turn
from core.gateway.context_window import output_reserve
from core.gateway.registry import REQUESTABLE_TIERS, Registry
from core.gateway.tokens import TokenScale

LOW_LATENCY_MS = 100
"""A wished time to first text below this asks for the speed tier."""

_AFTER: dict[Tier, tuple[Tier, ...]] = {
    "speed": ("speed", "quality", "vision", "backup", "local"),
    "quality": ("quality", "speed", "vision", "backup", "local"),
    "vision": ("vision", "quality", "speed", "backup", "local"),
}
"""Tier asked for -> order of tiers. Groq's other models have rate pools of their own, so they come before OpenAI."""


class Router:
    """Implements Routing over the registry's usable models."""

    def __init__(self, registry: Registry, scale: TokenScale | None = None) -> None:
        self._registry = registry
        self._scale = scale or TokenScale()

    def route(self, request: ChatRequest) -> Route:
        """Return every usable model that can do what *request* needs, best first; empty where none can.

        Models whose context holds the request stand before those it must be trimmed for. Raises UnknownModel.
        """
        requested_model = self._registry.resolve(request.requested_model).requested_model
        needs = needed(request)
        tier, reason = _tier(request, requested_model, needs)
        usable = (model for model in self._registry.usable() if model.id not in request.avoid)
        able = [model for model in usable if _can(model, request, needs, requested_model)]
        ordered = sorted(able, key=lambda model: _rank(model, tier, request))
        if requested_model not in REQUESTABLE_TIERS:
            ordered.sort(key=lambda model: model.id != requested_model)
            reason = (
                f"asked for {requested_model}"
                if ordered and ordered[0].id == requested_model
                else f"{requested_model} cannot do it, {reason}"
            )
        holds = [model for model in ordered if self._holds(model, request)]
        rest = sorted((model for model in ordered if model not in holds), key=lambda model: -model.context_window)
        if holds and ordered[0] is not holds[0]:
            reason += f"; too long for {ordered[0].id}"
        if not able:
            reason = "no usable model has " + " and ".join(sorted(needs))
        return Route((*holds, *rest), reason)

    def spec(self, model_id: str) -> ModelSpec | None:
        """The model of that id, None where nobody knows it."""
        return self._registry.get(model_id) if model_id in self._registry.ids() else None

    def _holds(self, model: ModelSpec, request: ChatRequest) -> bool:
        prompt = self._scale.of_request(request, model.id)
        return prompt <= model.room(output_reserve(request, model))


def needed(request: ChatRequest) -> frozenset[Capability]:
    """Return what a model must be able to do: what the request says, and what its content shows.

    Tools that the model is free to ignore are a preference, not a need: a model without tools may stand in, last. So
    are pictures of earlier turns: who sees is asked first, who does not gets a word in each picture's place.
    """
    needs = set(request.needs)
    asked = max((index for index, turn in enumerate(request.turns) if turn.role == "user"), default=0)
    if any(_pictured(turn) for turn in request.turns[asked:]):
        needs.add(Capability.VISION)
    if request.tools and request.tool_choice not in (None, "auto", "none"):
        needs.add(Capability.TOOLS)
    if request.output_format.kind == "json_object":
        needs.add(Capability.JSON)
    if request.output_format.kind == "json_schema":
        needs.add(Capability.JSON_SCHEMA)
    if Capability.AUDIO not in needs:
        needs.add(Capability.TEXT)
    return frozenset(needs)


def _pictured(turn: Turn) -> bool:
    return any(isinstance(part, Image) for part in turn.parts)


def _tier(request: ChatRequest, requested_model: str, needs: frozenset[Capability]) -> tuple[Tier, str]:
    if Capability.VISION in needs:
        return "vision", "it has pictures"
    if any(map(_pictured, request.turns)):
        return "vision", "an earlier turn has pictures"
    if requested_model == "quality":
        return "quality", "quality was asked for"
    if requested_model == "speed":
        return "speed", "speed was asked for"
    if request.cost_sensitive:
        return "speed", "it should cost little"
    if request.latency_ms is not None and request.latency_ms < LOW_LATENCY_MS:
        return "speed", "it should start at once"
    if request.tools or needs & {Capability.TOOLS, Capability.JSON, Capability.JSON_SCHEMA}:
        return "quality", "it needs tools or JSON"
    return "speed", "nothing special is needed"


def _can(model: ModelSpec, request: ChatRequest, needs: frozenset[Capability], requested_model: str) -> bool:
    if model.tier == "local" and not request.allow_local and model.id != requested_model:
        return False
    if model.only_by_name and model.id != requested_model:
        return False
    if "schema+tools" in model.refuses and request.tools and request.output_format.kind == "json_schema":
        return False
    return needs <= model.capabilities


def _rank(model: ModelSpec, tier: Tier, request: ChatRequest) -> tuple[bool, bool, int]:
    """Stable beside equals: the registry's own order decides there."""
    tiers = _AFTER[tier]
    blind = tier == "vision" and Capability.VISION not in model.capabilities
    without_tools = bool(request.tools) and Capability.TOOLS not in model.capabilities
    return blind, without_tools, tiers.index(model.tier) if model.tier in tiers else len(tiers)
