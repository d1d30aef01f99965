"""Tools of other programs, through the Model Context Protocol. The only module that knows the `mcp` package.

Servers are named in `tern.toml`. Each has a keeper that starts it, offers its tools as SERVER__TOOL, notices when it
dies, takes the tools back and starts it again, later each time. A server sees our calls and nothing else of us: a
command gets the environment written for it in `tern.toml`, not ours.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from core.base.clock import Clock
from core.base.waiting import wait_for
from core.domain.errors import BadRequest, TernError
from core.domain.json_schema import bound, check
from core.domain.requests import Tool
from core.tools.toolbox import Caller, Toolbox, ToolSpec

if TYPE_CHECKING:
    from mcp import Client
    from mcp import types as mcp_types


@dataclass(frozen=True, slots=True)
class McpServer:
    """One `[mcp.servers.NAME]`: either a command (stdio) or a url (streamable HTTP)."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    reads_only: frozenset[str] = frozenset()
    """Tools the operator knows to change nothing, whatever the server says of them."""
    acts: frozenset[str] = frozenset()
    """Tools that must be confirmed although the server calls them read-only."""
    tools: frozenset[str] | None = None
    """The only tools taken over; None takes all."""
    deadline_s: float = 30.0


class McpFailed(TernError):
    """A server or its tool failed; the text is for the model."""


MAX_TOOLS = 64
"""Of one server. Groq takes 128 tools a request (facts/groq.md 2); two such servers still fit."""

MAX_DESCRIPTION_CHARS = 1_000
MAX_SCHEMA_BYTES = 8_000
_PING_S = 30.0
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 300.0
_BAD_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


class McpTools:
    """Keeps every server's tools in the toolbox while the server lives."""

    def __init__(
        self,
        servers: Sequence[McpServer],
        toolbox: Toolbox,
        clock: Clock,
        *,
        report: Callable[[str, str], None] = lambda server, what: None,
    ) -> None:
        """*report* gets (server, what happened) for the log; never a secret, never a tool's words."""
        self._servers = servers
        self._toolbox = toolbox
        self._clock = clock
        self._report = report

    async def run(self) -> None:
        """Keep all servers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(self._keep(server), name=f"mcp-{server.name}")

    async def _keep(self, server: McpServer) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            began = self._clock.monotonic()
            try:
                await self._serve(server)
            except* Exception as failures:  # noqa: BLE001 - a foreign program may fail in any way; the others go on
                self._report(server.name, f"stopped: {_kinds(failures)}")
            finally:
                self._toolbox.add((), replacing=f"{server.name}__")
            if self._clock.monotonic() - began > _LONGEST_WAIT_S:
                wait_s = _FIRST_WAIT_S
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _serve(self, server: McpServer) -> None:
        """Connect, offer the tools, and stay until the server no longer answers."""
        async with _client(server) as client:
            doubt = asyncio.Event()
            tools = await _all_tools(client)
            wanted = [tool for tool in tools if server.tools is None or tool.name in server.tools]
            specs = [_spec(server, client, tool, doubt) for tool in wanted if _describable(tool)]
            self._toolbox.add(specs[:MAX_TOOLS], replacing=f"{server.name}__")
            self._report(server.name, f"offers {len(specs[:MAX_TOOLS])} tools")
            if len(specs) < len(wanted):
                self._report(server.name, f"has {len(wanted) - len(specs)} tools whose arguments nobody can check")
            while True:
                await wait_for(doubt, self._clock, _PING_S)
                doubt.clear()
                await client.list_tools()


def _client(server: McpServer) -> Client:
    from mcp import Client, StdioServerParameters

    where: Any = server.url
    if server.command:
        # The package adds PATH, HOME and the like, which programs need to start, and nothing else of ours.
        where = StdioServerParameters(command=server.command[0], args=list(server.command[1:]), env=dict(server.env))
    return Client(where, read_timeout_seconds=server.deadline_s)


async def offered_tools(server: McpServer) -> list[str]:
    """Connect once and return the names of its tools. Raises McpFailed."""
    names: list[str] = []
    failed = ""
    try:
        async with _client(server) as client:
            names = [tool.name for tool in await _all_tools(client)]
    except* Exception as failures:  # noqa: BLE001 - a foreign program may fail in any way
        failed = _kinds(failures)
    if failed:
        raise McpFailed(f"it cannot be used: {failed}")
    return names


async def _all_tools(client: Client) -> list[mcp_types.Tool]:
    found: list[mcp_types.Tool] = []
    cursor: str | None = None
    for _ in range(MAX_TOOLS):  # a server may name a next page for ever
        page = await client.list_tools(cursor=cursor)
        found.extend(page.tools)
        cursor = page.next_cursor
        if not cursor or len(found) >= MAX_TOOLS:
            break
    return found


def _describable(tool: mcp_types.Tool) -> bool:
    """Whether the arguments' schema is one, and no longer than a model should read with every question."""
    try:
        bound(tool.input_schema)
        if len(msgspec.json.encode(tool.input_schema)) > MAX_SCHEMA_BYTES:
            return False
        check(tool.input_schema, patterns=False)
    except BadRequest:
        return False
    return True


def _spec(server: McpServer, client: Client, tool: mcp_types.Tool, doubt: asyncio.Event) -> ToolSpec:
    """*doubt* is set when a call fails in a way that makes one look whether the server still lives."""
    notes = tool.annotations
    reads_only = tool.name in server.reads_only or (notes is not None and notes.read_only_hint is True)
    return ToolSpec(
        tool=Tool(
            name=_BAD_NAME.sub("_", f"{server.name}__{tool.name}")[:64],
            description=(tool.description or tool.name)[:MAX_DESCRIPTION_CHARS],
            parameters=tool.input_schema,
        ),
        run=_runner(server, client, tool.name, doubt),
        label=lambda arguments: f"Asking {server.name}: {tool.title or tool.name}",
        reaches_outside=True,
        acts=tool.name in server.acts or not reads_only,
        untrusted=True,
        deadline_s=server.deadline_s,
    )


def _runner(
    server: McpServer, client: Client, name: str, doubt: asyncio.Event
) -> Callable[[Mapping[str, Any], Caller], Awaitable[str]]:
    async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
        try:
            result = await client.call_tool(name, dict(arguments))
        except Exception as error:
            doubt.set()
            raise McpFailed(f"{server.name} could not do it: {type(error).__name__}") from error
        text = _told(result)
        if result.is_error:
            raise McpFailed(text[:2_000] or f"{server.name} says it failed")
        return text

    return run


def _told(result: mcp_types.CallToolResult) -> str:
    """The result's words; its structured content as JSON where it has none, as newer servers answer."""
    text = "\n".join(_words(block) for block in result.content)
    if not text.strip() and result.structured_content is not None:
        return msgspec.json.encode(result.structured_content).decode()
    return text


def _words(block: mcp_types.ContentBlock) -> str:
    text = getattr(block, "text", None)
    if isinstance(text, str):
        return text
    resource = getattr(getattr(block, "resource", None), "text", None)
    return resource if isinstance(resource, str) else f"[{block.type}, which cannot be shown as text]"


def _kinds(failures: BaseExceptionGroup[Exception]) -> str:
    """The names of what went wrong; messages may quote arguments or addresses."""
    names = [
        _kinds(error) if isinstance(error, BaseExceptionGroup) else type(error).__name__
        for error in failures.exceptions
    ]
    return ", ".join(dict.fromkeys(names))
