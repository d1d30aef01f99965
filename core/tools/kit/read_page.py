"""Reading a web page or PDF by its address.

An address can carry words out: one that a model put together is opened only after its asker agreed. At once are opened
those that stand in somebody's words or in what a tool brought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from core.domain.errors import Unreadable
from core.domain.requests import Part, Text, Tool, ToolResult, Turn
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
        asks_about=lambda arguments, turns: not stands_in(str(arguments["url"]), turns),
        untrusted=True,
        deadline_s=20.0,
        max_result_chars=20_000,
    )


def _host(arguments: Mapping[str, Any]) -> str:
    try:
        return urlsplit(str(arguments["url"])).hostname or "a page"
    except ValueError:  # "https://[your-domain].com"
        return "a page"


def stands_in(url: str, turns: Sequence[Turn]) -> bool:
    """Whether *url* was written by a person or came with a result, as it is; "https://", "www." and a last "/" do not
    count, for people leave them out."""
    wanted = _bare(url)
    return bool(wanted) and any(
        _holds(text.casefold(), wanted)
        for turn in turns
        if turn.role in ("user", "tool")
        for text in (_words(part) for part in turn.parts)
    )


def _words(part: Part) -> str:
    return part.text if isinstance(part, Text) else part.content if isinstance(part, ToolResult) else ""


def _bare(url: str) -> str:
    scheme, found, rest = url.strip().casefold().partition("://")
    rest = rest if found and scheme in ("http", "https") else ""
    return rest.partition("#")[0].removeprefix("www.").rstrip("/")


def _holds(text: str, wanted: str) -> bool:
    at = text.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if _begins(text[max(0, at - 8) : at].removesuffix("www.")) and _ends(text[end : end + 3].removeprefix("/")):
            return True
        at = text.find(wanted, at + len(wanted))
    return False


def _begins(before: str) -> bool:
    return before.endswith("://") or not before or not (before[-1].isalnum() or before[-1] in "-_.@/=%+&~")


def _ends(behind: str) -> bool:
    """A mark that ends a sentence ends the address as well, unless the address goes on behind it."""
    if not behind or behind[0].isspace() or behind[0] in "<>\"'`|#)]}*_\u3002\uff0c":
        return True
    return behind[0] in ".,;:!?" and not behind[1:2].isalnum()
