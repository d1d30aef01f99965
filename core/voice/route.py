"""Which models hear a recording, best first. Pure: the same request and the same registry give the same order."""

from __future__ import annotations

from core.domain.errors import BadRequest
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import TranscribeRequest
from core.gateway.registry import Registry


def audio_route(registry: Registry, request: TranscribeRequest) -> list[ModelSpec]:
    """Return every usable audio model that can do what *request* asks, in the registry's order; a wished one first.

    "quality" asks for the registry's dearest model of the first provider instead of its fastest: whisper-large-v3
    hears a little better than its turbo form (word error rate 10.3 % to 12 %, facts/groq.md 1a).

    Raises:
        UnknownModel: For what is neither a tier nor a known id.
        BadRequest: For a model that cannot hear, or cannot translate where that is asked.
    """
    resolved = registry.resolve(request.requested_model, able=Capability.AUDIO)
    # OpenAI's clients send whisper-1 to /audio/translations, whose successor does not translate: take whoever does.
    requested_model = "auto" if request.translate and resolved.retired_from else resolved.requested_model
    hearing = [model for model in registry.usable() if Capability.AUDIO in model.capabilities]
    if requested_model not in ("auto", "speed", "quality"):
        wanted = registry.get(requested_model)
        if Capability.AUDIO not in wanted.capabilities:
            raise BadRequest(f"{requested_model} cannot hear; pick an audio model or auto.", param="model")
        if request.translate and "translation" in wanted.refuses:
            raise BadRequest(f"{requested_model} does not translate; pick whisper-large-v3 or auto.", param="model")
    able = [model for model in hearing if not (request.translate and "translation" in model.refuses)]
    first = able[0].provider if able else ""

    def rank(model: ModelSpec) -> tuple[bool, bool, bool, float]:
        blind_to_time = bool(_TIMES[request.times] & model.refuses)
        dearness = -model.price.audio_hour if requested_model == "quality" else 0.0
        return (
            model.id != requested_model and requested_model in registry.ids(),
            blind_to_time,
            model.provider != first,
            dearness,
        )

    return sorted(able, key=rank)


_TIMES = {"none": frozenset[str](), "segments": frozenset({"timestamps"}), "words": frozenset({"word_timestamps"})}
