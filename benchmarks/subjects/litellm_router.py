"""LiteLLM's Router with one deployment, streamed as its documentation shows (https://docs.litellm.ai/docs/routing)."""

from __future__ import annotations

import asyncio
import sys

import litellm

from benchmarks.meter import Meter, gather, streaming
from benchmarks.remote import obey


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
        stream = await router.acompletion(model="answer", messages=[{"role": "user", "content": question}], stream=True)
        return await gather(stream, meter)

    await obey({"stream": streaming(one)})


if __name__ == "__main__":
    asyncio.run(main())
