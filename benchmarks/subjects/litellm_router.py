"""LiteLLM's Router with one deployment, streamed as its documentation shows (https://docs.litellm.ai/docs/routing)."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import litellm

from benchmarks.meter import Meter
from benchmarks.remote import obey, rhythm


async def main() -> None:
    port = int(sys.argv[1])
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    deployment = {
        "model_name": "answer",
        "litellm_params": {
            "model": "openai/gpt-oss-20b",
            "api_base": f"http://127.0.0.1:{port}/openai/v1",
            "api_key": "k",
        },
    }
    router = litellm.Router(model_list=[deployment], num_retries=0)

    async def one(meter: Meter, question: str) -> str:
        parts: list[str] = []
        stream = await router.acompletion(model="answer", messages=[{"role": "user", "content": question}], stream=True)
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                if not parts:
                    meter.begin()
                parts.append(text)
                meter.text(text)
        return "".join(parts)

    async def stream(streams: int, chunks: int, burst: int, every_ms: float, hold_ms: float, lags: bool) -> Any:
        meter = Meter(streams, chunks, lags=lags)
        question = rhythm(chunks, burst, every_ms, hold_ms)
        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(one(meter, question))
        return meter.figures()

    await obey({"stream": stream})


if __name__ == "__main__":
    asyncio.run(main())
