"""Tools of a real MCP server that nobody here wrote (mcp-server-time), started over stdio; and of one that misbehaves,
over stdio and streamable HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import ListToolsResult, Tool
from mcp.types import CallToolResult, TextContent

from core.base.clock import SystemClock
from core.domain.requests import ChatRequest
from core.tools.loop import _bounded
from core.tools.mcp import MAX_TOOLS, McpFailed, McpServer, McpTools, _all_tools, _describable, _told
from core.tools.toolbox import Caller, Toolbox, ToolRules, ToolSpec
from tests.core.voice.hearing import USER

TIME = McpServer("time", command=(sys.executable, "-m", "mcp_server_time"))
ODD = (sys.executable, "-m", "tests.core.tools.odd_mcp_server")
ROOT = Path(__file__).parents[3]
CALLER = Caller("r", USER, "web", None, "")


class Reports:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.came = asyncio.Event()

    def __call__(self, server: str, what: str) -> None:
        self.lines.append(f"{server} {what}")
        self.came.set()

    async def wait_for(self, words: str) -> None:
        async with asyncio.timeout(30):
            while not any(words in line for line in self.lines):
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def running(*servers: McpServer) -> AsyncIterator[tuple[Toolbox, Reports]]:
    toolbox, reports = (
        Toolbox([], ToolRules(by_channel={"web": frozenset({"time__get_current_time", "odd__*"})})),
        Reports(),
    )
    task = asyncio.create_task(McpTools(servers, toolbox, SystemClock(), report=reports).run())
    try:
        yield toolbox, reports
    finally:
        task.cancel()
        await asyncio.wait([task])


async def call(tool: ToolSpec, **arguments: object) -> str:
    assert tool.run is not None
    return await tool.run(arguments, CALLER)


async def test_real_server_offers_and_answers() -> None:
    """Its tools appear under its name, off until a place allows them, and answer."""
    async with running(TIME) as (toolbox, reports):
        await reports.wait_for("offers")
        allowed = toolbox.allowed(ChatRequest("r", USER, (), channel_key="web"))
        elsewhere = toolbox.allowed(ChatRequest("r", USER, (), channel_key="slack:C1"))
        answer = await call(allowed["time__get_current_time"], timezone="Europe/Berlin")
        with pytest.raises(McpFailed):
            await call(allowed["time__get_current_time"], timezone="Mars/Olympus")

    assert set(toolbox.names()) <= {"time__get_current_time", "time__convert_time"}
    assert "Europe/Berlin" in answer
    assert not elsewhere
    assert not allowed["time__get_current_time"].acts  # the server says read-only


async def test_operator_knows_better() -> None:
    """A tool named as acting must be confirmed, whatever the server says; a list of tools is all that is taken."""
    strict = McpServer(
        "time", TIME.command, acts=frozenset({"get_current_time"}), tools=frozenset({"get_current_time"})
    )
    async with running(strict) as (toolbox, reports):
        await reports.wait_for("offers")
        tool = toolbox.allowed(ChatRequest("r", USER, (), channel_key="web"))["time__get_current_time"]

        assert tool.acts
        assert list(toolbox.names()) == ["time__get_current_time"]


async def test_server_that_cannot_start_leaves_the_others() -> None:
    """A broken server is reported and offers nothing; the one beside it works."""
    broken = McpServer("broken", ("/nonexistent/program",))
    async with running(broken, TIME) as (toolbox, reports):
        await reports.wait_for("broken stopped")
        await reports.wait_for("time offers")

        assert all(name.startswith("time__") for name in toolbox.names())


async def test_server_sees_only_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our keys are not in the environment of a server we start."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret")
    async with running(TIME) as (_, reports):
        await reports.wait_for("offers")
        children = [
            Path(f"/proc/{pid}/environ").read_bytes()
            for pid in os.listdir("/proc")
            if pid.isdigit() and _parent(pid) == os.getpid()
        ]

    assert children
    assert not any(b"gsk_secret" in environ for environ in children)


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return -1


@asynccontextmanager
async def listening() -> AsyncIterator[str]:
    """The odd server over streamable HTTP, in a process of its own; its address."""
    process = await asyncio.create_subprocess_exec(
        *ODD, "http", cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/mcp"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def odd(**more: Any) -> McpServer:
    if "url" not in more:
        more |= {"command": ODD, "env": {"PYTHONPATH": str(ROOT)}}
    return McpServer("odd", **more)


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_server_that_floods_hangs_and_fails(transport: str) -> None:
    """Over both transports: a call is answered; one that floods is cut for the model, one that hangs or fails is an
    error of its own, and the next call is answered again."""
    async with AsyncExitStack() as opened:
        where = {}
        if transport == "http":
            where = {"url": await opened.enter_async_context(listening())}
        toolbox, reports = await opened.enter_async_context(running(odd(**where)))
        await reports.wait_for("offers 5 tools")
        tools = toolbox.allowed(ChatRequest("r", USER, (), channel_key="web"))

        greeting = await call(tools["odd__greet"], name="Ann")
        flood = _bounded(await call(tools["odd__flood"]), tools["odd__flood"])
        with pytest.raises(McpFailed):
            await call(tools["odd__fail"])
        with pytest.raises(TimeoutError):  # as the tool loop ends it
            await asyncio.wait_for(call(tools["odd__hang"]), 0.5)
        again = await call(tools["odd__greet"], name="Bob")

    assert (greeting, again) == ("Hello Ann", "Hello Bob")
    assert len(flood) < 9_000


async def test_server_that_dies_in_a_call_is_started_again() -> None:
    """The call fails by name, the death is noticed by it and not at the next ping, and its tools come back."""
    async with running(odd()) as (toolbox, reports):
        await reports.wait_for("offers")
        tools = toolbox.allowed(ChatRequest("r", USER, (), channel_key="web"))
        with pytest.raises(McpFailed):
            await call(tools["odd__die"])
        await reports.wait_for("stopped")
        reports.lines.clear()
        await reports.wait_for("offers")
        tools = toolbox.allowed(ChatRequest("r", USER, (), channel_key="web"))

        assert await call(tools["odd__greet"], name="Ann") == "Hello Ann"


@pytest.mark.parametrize(
    ("schema", "fine"),
    [
        ({"type": "object", "properties": {"n": {"type": "integer"}}}, True),
        ({"type": "object", "properties": {"n": {"type": "banana"}}}, False),
        ({"type": "object", "properties": {"n": {"$ref": "https://evil.example/schema"}}}, False),
        ({"type": "string"}, False),
        ({"type": "object", "description": "x" * 9_000}, False),
    ],
)
def test_tool_whose_arguments_cannot_be_checked_is_left_out(schema: dict[str, Any], fine: bool) -> None:
    """Broken, endless and faraway schemas never reach a model or our own validator."""
    assert _describable(Tool(name="t", input_schema=schema)) is fine


async def test_list_of_tools_that_never_ends_is_left() -> None:
    """A server may name a next page for ever."""

    class Endless:
        pages = 0

        async def list_tools(self, cursor: str | None) -> ListToolsResult:
            self.pages += 1
            return ListToolsResult(tools=[], next_cursor="more")

    client = Endless()

    assert await _all_tools(client) == []  # type: ignore[arg-type]
    assert client.pages <= MAX_TOOLS


@pytest.mark.parametrize(
    ("content", "structured", "told"),
    [
        ([], {"rows": [1, 2]}, '{"rows":[1,2]}'),
        ([TextContent(type="text", text=" ")], {"a": "b"}, '{"a":"b"}'),
        ([TextContent(type="text", text="two rows")], {"rows": [1, 2]}, "two rows"),
        ([], None, ""),
    ],
)
def test_structured_content_alone_is_an_answer(content: list[Any], structured: Any, told: str) -> None:
    """A server that answers with data and no text is heard; where there is text, that is meant for the model."""
    assert _told(CallToolResult(content=content, structured_content=structured)) == told
