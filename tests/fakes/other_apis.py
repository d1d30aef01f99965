"""What OpenAI-compatible servers refuse, each by the fact that names it (facts/models-2.md 5), and one to talk to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

KEY = "the-key-of-the-fake"


def refusal(flavour: str, body: Mapping[str, Any]) -> str:
    """Why *flavour* answers 400 to *body*; "" where it does not."""
    newer = flavour in ("openai", "groq", "azure", "cerebras")
    if ("max_tokens" if newer else "max_completion_tokens") in body:
        return "unknown parameter: the longest answer has another name here"
    if any(value is None for value in body.values()):
        return "null is no value"
    unknown = {
        "cerebras": {"parallel_tool_calls", "service_tier", "frequency_penalty", "presence_penalty"},  # 5.2
        "mistral": {"stream_options", "seed"},  # 5.5
        "ollama": {"tool_choice"},  # 5.10: it hangs
    }.get(flavour, set())
    if found := unknown & body.keys():
        return f"unsupported parameters: {sorted(found)}"
    if flavour == "mistral" and body.get("tool_choice") == "required":  # 5.5
        return "tool_choice is auto, none or any"
    if flavour in ("fireworks", "vllm", "ollama") and '"strict"' in json.dumps(body.get("tools", [])):  # 5.4, 9, 10
        return "Extra inputs are not permitted: strict"
    if any(
        message["role"] == "assistant" and not message.get("content") and not message.get("tool_calls")
        for message in body["messages"]
    ):  # 5.5
        return "an assistant message must have content or tool_calls"
    return ""


class OtherApi:
    """A server of one flavour; `base_url` is where it listens."""

    def __init__(self, flavour: str, chunks: list[bytes]) -> None:
        self.flavour = flavour
        self.chunks = chunks
        self.bodies: list[Mapping[str, Any]] = []
        self.base_url = ""

    async def chat(self, request: web.Request) -> web.StreamResponse:
        header = "api-key" if self.flavour == "azure" else "Authorization"  # 5.8
        wanted = KEY if self.flavour == "azure" else f"Bearer {KEY}"
        if request.headers.get(header) != wanted:
            return web.json_response({"error": {"code": 401, "message": "no"}}, status=401)
        if "api-version" in request.query:  # 5.8
            return web.json_response({"error": {"message": "api-version is not allowed"}}, status=400)
        body = await request.json()
        self.bodies.append(body)
        if why := refusal(self.flavour, body):
            return web.json_response({"error": {"message": why}}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in self.chunks:
            await response.write(chunk)
        return response

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "their/model"}]})


@asynccontextmanager
async def other_api(flavour: str, chunks: list[bytes]) -> AsyncIterator[OtherApi]:
    api = OtherApi(flavour, chunks)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", api.chat)
    app.router.add_get("/v1/models", api.models)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield api
    finally:
        await runner.cleanup()
