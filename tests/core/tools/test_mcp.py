"""Tools of a real MCP server that nobody here wrote (mcp-server-time), started over stdio."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.requests import ChatRequest
from core.tools.mcp import McpFailed, McpServer, McpTools
from core.tools.toolbox import Caller, Toolbox, ToolRules, ToolSpec
from tests.core.services.hearing import USER

TIME = McpServer("time", command=(sys.executable, "-m", "mcp_server_time"))
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
    toolbox, reports = Toolbox([], ToolRules(by_place={"web": frozenset({"time__get_current_time"})})), Reports()
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
        allowed = toolbox.allowed(ChatRequest("r", USER, (), place="web"))
        elsewhere = toolbox.allowed(ChatRequest("r", USER, (), place="slack:C1"))
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
        tool = toolbox.allowed(ChatRequest("r", USER, (), place="web"))["time__get_current_time"]

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
