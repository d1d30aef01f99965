"""Exact arithmetic and unit conversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.domain.requests import Tool
from core.files.values import Document, Job, ReadLimits
from core.tools.toolbox import Caller, Services, ToolSpec

_DEADLINE_S = 5.0


def make(services: Services) -> ToolSpec:
    async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
        expression = arguments["expression"]
        job = Job("arithmetic", expression[:40], expression.encode(), ReadLimits(), caller.user)
        result = await services.quick.run(job, deadline_s=_DEADLINE_S)
        return result.text if isinstance(result, Document) else ""

    return ToolSpec(
        tool=Tool(
            "calculate",
            "Exact arithmetic and unit conversion. Use it for every calculation.",
            {
                "type": "object",
                "properties": {
                    "expression": {"type": "string", "description": "e.g. 17*(3+4), 15% * 80, 100 degF to degC"}
                },
                "required": ["expression"],
                "additionalProperties": False,
            },
        ),
        run=run,
        label=lambda arguments: f"Calculating {arguments['expression'][:40]}",
    )
