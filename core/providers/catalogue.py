"""What GET /models says -> RemoteModel. Pure.

Groq's answer has many more fields than its SDK types: https://github.com/anomalyco/models.dev/pull/3761 and
https://github.com/anomalyco/models.dev/pull/5742 (measured 2026-08 and -09); OpenAI's has `shutdown_date`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from core.base.foreign import Malformed, json_value
from core.ports.gateway import RemoteModel


class _Pricing(msgspec.Struct):
    """USD per token, as strings; under both the names that were seen."""

    prompt: str | float | None = None
    input: str | float | None = None
    completion: str | float | None = None
    output: str | float | None = None
    input_cache_read: str | float | None = None


class _Model(msgspec.Struct):
    id: str
    context_window: int | None = None
    context_length: int | None = None
    max_completion_tokens: int | None = None
    max_output_length: int | None = None
    pricing: _Pricing | None = None
    active: bool | None = None
    shutdown_date: str | None = None


def read_models(raw: bytes) -> tuple[RemoteModel, ...]:
    """Return the models of a list. One that cannot be read counts by its id alone; no list at all is empty."""
    try:
        listed = json_value(raw)
    except Malformed:
        return ()
    entries = listed.get("data") if isinstance(listed, dict) else listed
    if not isinstance(entries, list):
        return ()
    return tuple(_remote(entry) for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))


def _remote(entry: dict[str, Any]) -> RemoteModel:
    try:
        model = msgspec.convert(entry, _Model)
    except msgspec.ValidationError:
        return RemoteModel(entry["id"])
    price = model.pricing or _Pricing()
    return RemoteModel(
        id=model.id,
        context_window=model.context_window or model.context_length,
        max_output=model.max_completion_tokens or model.max_output_length,
        price_prompt=_per_million(price.prompt or price.input),
        price_cached=_per_million(price.input_cache_read),
        price_output=_per_million(price.completion or price.output),
        shutdown_at=(model.shutdown_date or "")[:10] or None,
        active=model.active,
    )


def _per_million(per_token: str | float | None) -> float | None:
    """None where there is no usable price: a zero would make a model free by mistake."""
    try:
        price = float(per_token or 0) * 1e6
    except ValueError:
        return None
    return round(price, 6) if price > 0 else None
