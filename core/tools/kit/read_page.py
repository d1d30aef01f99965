"""Reading a web page or PDF by its address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from core.domain.errors import Unreadable
from core.domain.requests import Tool
from core.files.kinds import sniff
from core.files.values import Document, Job, ReadLimits
from core.net.guarded_fetch import FetchPolicy
from core.tools.toolbox import Caller, Services, ToolSpec

_POLICY = FetchPolicy(max_bytes=10 * 1024 * 1024, deadline_s=12.0, schemes=frozenset({"https", "http"}))
_LIMITS = ReadLimits(max_chars=20_000, max_pages=40)


def make(services: Services) -> ToolSpec:
    async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
        fetched = await services.fetcher.fetch(arguments["url"], _POLICY)
        family = sniff(fetched.content).family
        if fetched.mime in ("text/html", "application/xhtml+xml") and family == "text":
            task: Any = "html"
        elif family in ("text", "pdf", "docx"):
            task = family
        else:
            raise Unreadable(_host(arguments), f"it is {sniff(fetched.content).label}, no text")
        read = await services.reader.run(Job(task, _host(arguments), fetched.content, _LIMITS, caller.user))
        if not isinstance(read, Document):
            raise Unreadable(_host(arguments), "it is no text")
        note = "" if read.complete else f"\n[Only {read.read} were read.]"
        return f"{fetched.url}\n\n{read.text}{note}"

    return ToolSpec(
        tool=Tool(
            "read_page",
            "Fetch a public web page or PDF and return its text.",
            {
                "type": "object",
                "properties": {"url": {"type": "string", "description": "full address, https://..."}},
                "required": ["url"],
                "additionalProperties": False,
            },
        ),
        run=run,
        label=lambda arguments: f"Reading {_host(arguments)}",
        reaches_outside=True,
        untrusted=True,
        deadline_s=20.0,
        max_result_chars=20_000,
    )


def _host(arguments: Mapping[str, Any]) -> str:
    return urlsplit(str(arguments["url"])).hostname or "a page"
