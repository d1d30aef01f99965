"""What a call raises that is none of our errors: a defect of ours, and no reason to leave anybody without an answer."""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import Any, Final

import structlog

from core.domain.errors import ProviderError

log: Any = structlog.get_logger(__name__)

_FRAMES: Final = 6


def defect(error: Exception, *, provider: str, model: str) -> ProviderError:
    """Write *error* into the log, with the places it came through and without its words, which may be somebody's.
    Returns what the chain goes on with."""
    places = [
        f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    ]
    log.error("defect in a model call", provider=provider, model=model, error=type(error).__name__, places=places)
    return ProviderError(f"a defect: {type(error).__name__}", provider=provider, model=model)
