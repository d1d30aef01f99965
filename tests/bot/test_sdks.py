"""The `openai` and `groq` packages, sync and async, streaming and not, against the whole house as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import groq
import httpx  # noqa: F401 (openai looks into it, and the house's thread may have imported half of it)
import openai
import pytest

from tests.bot.box import Box, keyed, models_asked, open_box
from tests.fakes.llm_api import FakeLlmApi, Say, busy

SPEED, QUALITY = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
HI = [{"role": "user", "content": "Hi"}]
TEXT = "Terns fly far."
KEY = "a-long-enough-api-key"


@pytest.fixture
async def api() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        api.default = Say(TEXT, cached_tokens=2)
        yield api


@pytest.fixture
async def box(tmp_path: Path, api: FakeLlmApi) -> AsyncIterator[Box]:
    async with open_box(tmp_path, keyed(api) | {"HOST": "0.0.0.0", "API_KEYS": KEY}) as box:
        yield box


def address(box: Box, sdk: Any) -> str:
    """groq's package puts /openai/v1 behind what it is given."""
    return f"{box.app.url}/v1" if sdk is openai else box.app.url


@pytest.mark.parametrize("sdk", [openai, groq], ids=["openai", "groq"])
async def test_async_client(box: Box, api: FakeLlmApi, sdk: Any) -> None:
    """Text and usage, whole and streamed."""
    make = openai.AsyncOpenAI if sdk is openai else groq.AsyncGroq
    async with make(base_url=address(box, sdk), api_key=KEY, max_retries=0) as client:
        whole = await client.chat.completions.create(model="quality", messages=HI)
        stream = await client.chat.completions.create(model="speed", messages=HI, stream=True)
        parts = [part async for part in stream]

    assert whole.choices[0].message.content == TEXT
    assert whole.model == QUALITY
    assert (whole.usage.completion_tokens, whole.usage.prompt_tokens_details.cached_tokens) == (4, 2)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == TEXT
    assert models_asked(api) == [QUALITY, SPEED]


@pytest.mark.parametrize("sdk", [openai, groq], ids=["openai", "groq"])
async def test_sync_client(box: Box, sdk: Any) -> None:
    """The same without async."""

    def talk() -> list[str]:
        make = openai.OpenAI if sdk is openai else groq.Groq
        with make(base_url=address(box, sdk), api_key=KEY, max_retries=0) as client:
            whole = client.chat.completions.create(model="auto", messages=HI)
            parts = client.chat.completions.create(model="auto", messages=HI, stream=True)
            streamed = "".join(part.choices[0].delta.content or "" for part in parts)
            return [whole.choices[0].message.content, streamed]

    assert await asyncio.to_thread(talk) == [TEXT, TEXT]


@pytest.mark.parametrize("sdk", [openai, groq], ids=["openai", "groq"])
async def test_mistakes_are_errors_of_the_client(box: Box, api: FakeLlmApi, sdk: Any) -> None:
    """A wrong key is a 401, an unknown model a 400 that lists the known ones, and a house without a model a 503."""
    make = openai.AsyncOpenAI if sdk is openai else groq.AsyncGroq
    async with make(base_url=address(box, sdk), api_key="wrong", max_retries=0) as client:
        with pytest.raises(sdk.AuthenticationError):
            await client.chat.completions.create(model="auto", messages=HI)
    async with make(base_url=address(box, sdk), api_key=KEY, max_retries=0) as client:
        with pytest.raises(sdk.BadRequestError, match=f"auto, .*{SPEED}"):
            await client.chat.completions.create(model="gpt-none", messages=HI)
        api.answers(lambda body: busy(503))
        with pytest.raises(sdk.InternalServerError) as failed:
            await client.chat.completions.create(model="auto", messages=HI)

    assert failed.value.status_code == 503
    assert failed.value.body["message"] if sdk is openai else failed.value.body["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_schema_of_a_caller_is_kept_to(box: Box, api: FakeLlmApi, stream: bool) -> None:
    """response_format json_schema: what a model answers wrongly is repaired unseen, or the error names the field."""
    schema = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
    asked: dict[str, Any] = {
        "model": "auto",
        "messages": HI,
        "response_format": {"type": "json_schema", "json_schema": {"name": "bill", "schema": schema}},
    }
    api.answers(
        lambda body: Say('{"price": 3}' if "does not follow" in str(body["messages"]) else '{"price": "three"}')
    )

    async with openai.AsyncOpenAI(base_url=address(box, openai), api_key=KEY, max_retries=0) as client:
        if stream:
            parts = [part async for part in await client.chat.completions.create(**asked, stream=True)]
            text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        else:
            text = (await client.chat.completions.create(**asked)).choices[0].message.content
        api.answers(lambda body: Say('{"price": "three"}'))
        asked["messages"] = [{"role": "user", "content": "Again"}]
        with pytest.raises(openai.APIError, match=r"\$\.price"):
            await client.chat.completions.create(**asked)

    assert text == '{"price": 3}'
