"""Plain-text tables for commands whose output may be piped."""

from __future__ import annotations

from core.domain.model_spec import ModelSpec
from core.gateway.registry import Registry


def models_table(registry: Registry) -> str:
    """One model a line: id, provider, tier, context, prices in USD per million tokens, capabilities, remarks."""
    rows: list[tuple[str, ...]] = [("MODEL", "PROVIDER", "TIER", "CONTEXT", "IN", "OUT", "CAN", "")]
    rows += [_row(model) for model in registry.all()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(model: ModelSpec) -> tuple[str, ...]:
    tokens = f"{model.context_window:,}" if model.context_window else "-"
    price_in, price_out = f"{model.price.prompt:g}", f"{model.price.output:g}"
    if model.price.audio_hour:
        price_in, price_out = f"{model.price.audio_hour:g}/h", "-"
    if model.price.characters:
        price_in, price_out = f"{model.price.characters:g}/Mch", "-"
    remarks: list[str] = [model.status] if model.status != "production" else []
    if model.shutdown_at:
        remarks.append(f"shuts down {model.shutdown_at}")
    capabilities = " ".join(sorted(model.capabilities))
    return (model.id, model.provider, model.tier, tokens, price_in, price_out, capabilities, ", ".join(remarks))
