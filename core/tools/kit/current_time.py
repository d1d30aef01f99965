"""The current date and time, in the asker's zone or a named one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.domain.errors import BadRequest
from core.domain.requests import Tool
from core.tools.toolbox import Caller, Services, ToolSpec


def make(services: Services) -> ToolSpec:
    async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
        name = arguments.get("zone") or caller.tz or "UTC"
        try:
            zone = ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
            raise BadRequest(f"{name!r} is no time zone; use an IANA name such as Europe/Berlin") from error
        now = datetime.fromtimestamp(services.clock.now(), zone)
        return f"{now:%A, %Y-%m-%d %H:%M:%S}, {name} (UTC{now:%z})"

    return ToolSpec(
        tool=Tool(
            "current_time",
            "Current date, weekday and time.",
            {
                "type": "object",
                "properties": {"zone": {"type": "string", "description": "IANA zone; default: the user's own"}},
                "required": [],
                "additionalProperties": False,
            },
        ),
        run=run,
        label=lambda arguments: "Looking at the clock",
    )
