"""A subject's side of the pipe: one JSON command a line comes in, one JSON answer a line goes out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

Command = Callable[..., Awaitable[Any]]


async def obey(commands: Mapping[str, Command]) -> None:
    """Carry out what comes until the pipe closes. Prints of libraries go to stderr, not between the answers."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"ready": True}), file=answers)
    while line := await reader.readline():
        asked = json.loads(line)
        try:
            answer = {"figures": await commands[asked.pop("do")](**asked)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers)


def run_on(loop: str, subject: Coroutine[Any, Any, None]) -> None:
    """Run *subject* on "asyncio" or "uvloop"."""
    if loop == "uvloop":
        import uvloop

        uvloop.run(subject)
    else:
        asyncio.run(subject)


def rhythm(chunks: int, burst: int, every_ms: float, hold_ms: float) -> str:
    """The question that makes llm_server.py answer so."""
    return f"@chunks={chunks};burst={burst};every_ms={every_ms};hold_ms={hold_ms}@"
