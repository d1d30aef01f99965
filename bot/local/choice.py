"""Which local model LOCAL_MODEL means, as the registry needs to know it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urldefrag, urlsplit

from core.domain.model_spec import Capability, ModelSpec
from core.ports.gateway import RemoteModel

EMBEDDED = ModelSpec(
    id="smollm2-135m-instruct",
    provider="local",
    tier="local",
    context_window=8_192,  # facts: local, 2026-11-22: longer prompts get 400 exceed_context_size_error
    max_output=256,  # what is longer is rarely better; it ends after some four seconds
    # No tools: it makes no tool calls. Pictures end in a 500.
    capabilities=frozenset({Capability.TEXT, Capability.JSON, Capability.JSON_SCHEMA}),
    speed=60,  # tokens/s on one core of two, measured 2026-11-23
)
"""It proves the pipe, not the answers (17 + 25 = 32)."""

OF_ONES_OWN = replace(
    EMBEDDED,
    id="local",
    max_output=4_096,
    # No tools: llama.cpp answers 500 to them unless it was started for them, and small models garble the calls.
    speed=0,
)
"""What is assumed of a model that somebody brings; `[models."ID"]` in tern.toml says more."""


@dataclass(frozen=True, slots=True)
class LocalChoice:
    """`file`: run it in a process of ours. `server`: somebody else runs it at `base_url`."""

    kind: Literal["off", "embedded", "file", "server"]
    spec: ModelSpec | None = None
    """None for a server that has to be asked what it serves."""
    path: str = ""
    base_url: str = ""
    api_key: str = field(default="", repr=False)


def choice_of(local_model: str) -> LocalChoice:
    """Take LOCAL_MODEL apart, as bot/config/settings.py checked it.

    A server's URL may name one of its models after a "#", and carry a key as a password:
    http://127.0.0.1:11434/v1#llama4:12b, https://:KEY@models.example.org/v1
    """
    if local_model == "off":
        return LocalChoice("off")
    if not local_model:
        return LocalChoice("embedded", EMBEDDED)
    if local_model.startswith(("http://", "https://")):
        whole, model_id = urldefrag(local_model)
        parts = urlsplit(whole)
        base_url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        spec = replace(OF_ONES_OWN, id=model_id) if model_id else None
        return LocalChoice("server", spec, base_url=base_url, api_key=parts.password or "")
    name = re.sub(r"[^a-z0-9.:-]+", "-", Path(local_model).stem.lower()).strip("-")
    return LocalChoice("file", replace(OF_ONES_OWN, id=name or "local"), path=local_model)


def spec_of(remote: RemoteModel) -> ModelSpec:
    """What a server's list says of a model, with our assumptions where it says nothing."""
    return replace(
        OF_ONES_OWN,
        id=remote.id,
        context_window=remote.context_window or OF_ONES_OWN.context_window,
        max_output=remote.max_output or OF_ONES_OWN.max_output,
    )
