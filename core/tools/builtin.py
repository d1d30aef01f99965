"""Tools that a provider runs itself, inside one request: they are offered, and what was done is told (facts/groq.md 4).

They reach outside, and what they cost beyond tokens is not published, so each is off until a place allows it. Only
models that have them are told of them (core/providers/wire.py).
"""

from __future__ import annotations

from core.domain.requests import Tool
from core.tools.toolbox import ToolSpec

BUILTIN = tuple(
    ToolSpec(
        tool=Tool(name, builtin=True),
        run=None,
        label=lambda arguments: "",  # the provider's own report becomes the notice
        reaches_outside=True,
        untrusted=True,
    )
    for name in ("browser_search", "code_interpreter")
)
"""Of gpt-oss on Groq: https://console.groq.com/docs/tool-use/built-in-tools, read 2026-11-22."""
