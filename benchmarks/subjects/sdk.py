"""The SDKs as their documentation shows them.

Arguments: groq, groq-aiohttp or openai.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from benchmarks.meter import Meter, gather, streaming
from benchmarks.remote import obey

MODEL = "openai/gpt-oss-20b"


def client_of(name: str, port: int) -> Any:
    """Pools as large as the house's, no retries; everything else as it comes."""
    if name == "openai":
        import openai

        return openai.AsyncOpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/openai/v1", max_retries=0)
    import groq
    import httpx

    limits = httpx.Limits(max_connections=None)
    if name == "groq-aiohttp":
        http: Any = groq.DefaultAioHttpClient(limits=limits)
    else:
        http = groq.DefaultAsyncHttpxClient(limits=limits)
    return groq.AsyncGroq(api_key="k", base_url=f"http://127.0.0.1:{port}", max_retries=0, http_client=http)


async def main() -> None:
    client = client_of(sys.argv[3], int(sys.argv[1]))

    async def one(meter: Meter, question: str) -> str:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}], stream=True
        )
        return await gather(stream, meter)

    await obey({"stream": streaming(one)})


if __name__ == "__main__":
    asyncio.run(main())
