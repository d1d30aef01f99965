"""An MCP server for tests, made with the official package: python -m tests.core.tools.odd_mcp_server [http].

Over stdio, or over streamable HTTP on a free port of this machine, which it prints. Its tools misbehave as other
people's may.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import uvicorn
from mcp.server import MCPServer

FLOOD_CHARS = 1_000_000

server = MCPServer("odd", log_level="ERROR")


@server.tool()
def greet(name: str) -> str:
    """Say hello."""
    return f"Hello {name}"


@server.tool()
def die() -> str:
    """End the whole server in the middle of a call."""
    os._exit(1)


@server.tool()
async def hang() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return ""


@server.tool()
def flood() -> str:
    """Say far too much."""
    return "x" * FLOOD_CHARS


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no such record")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            print(listening.getsockname()[1], flush=True)
            uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error")).run(sockets=[listening])
    else:
        server.run("stdio")
