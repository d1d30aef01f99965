"""Which models hear: a table of wishes over the registry as it is shipped."""

from __future__ import annotations

import pytest

from core.domain.errors import BadRequest, UnknownModel
from core.domain.incoming import UserKey
from core.domain.requests import TranscribeRequest
from core.gateway.registry import load_registry
from core.providers.local_speech import local_speech_model
from core.voice.route import audio_route

TURBO, LARGE, BACKUP = "whisper-large-v3-turbo", "whisper-large-v3", "gpt-transcribe"


def request(**wishes: object) -> TranscribeRequest:
    return TranscribeRequest("r", UserKey("web", "", "u"), b"", "", 0.0, **wishes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wishes", "models"),
    [
        ({}, [TURBO, LARGE, BACKUP]),
        ({"requested_model": "quality"}, [LARGE, TURBO, BACKUP]),
        ({"requested_model": BACKUP}, [BACKUP, TURBO, LARGE]),
        ({"requested_model": "whisper-1"}, [BACKUP, TURBO, LARGE]),  # retired; its successor stands first
        ({"translate": True}, [LARGE]),
        ({"translate": True, "requested_model": "whisper-1"}, [LARGE]),
        ({"times": "words"}, [TURBO, LARGE, BACKUP]),
    ],
)
def test_order(wishes: dict[str, object], models: list[str]) -> None:
    """Turbo hears first, the larger one second, OpenAI last; only whisper-large-v3 translates."""
    assert [model.id for model in audio_route(load_registry(), request(**wishes))] == models


def test_local_model_is_last() -> None:
    """The model on this machine hears when nobody else does, and translates too."""
    registry = load_registry()
    registry.add(local_speech_model())

    assert audio_route(registry, request())[-1].id == "local-voice"
    assert [model.id for model in audio_route(registry, request(translate=True))] == [LARGE, "local-voice"]


def test_model_that_cannot_hear_is_refused() -> None:
    """Asking a chat model to listen is the caller's mistake, and so is asking turbo to translate."""
    registry = load_registry()

    with pytest.raises(BadRequest, match="cannot hear"):
        audio_route(registry, request(requested_model="openai/gpt-oss-20b"))
    with pytest.raises(BadRequest, match="does not translate"):
        audio_route(registry, request(requested_model=TURBO, translate=True))
    with pytest.raises(UnknownModel):
        audio_route(registry, request(requested_model="ear-9000"))
