"""Providers against the strict fakes of their APIs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from core.domain.events import Event
from core.domain.incoming import UserKey
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import ChatRequest, Text, Turn
from core.gateway.registry import load_registry
from core.providers.groq import GroqProvider
from core.providers.local import LocalProvider
from core.providers.openai import OpenAIProvider
from core.providers.timeouts import Timeouts
from tests.fakes.llm_api import KEY, FakeLlmApi

QUICK = Timeouts(first_token_s=0.3, silence_s=0.2, last_words_s=0.1, linger_s=0.05)
"""Real time, because real sockets take part."""

SMALL = "openai/gpt-oss-20b"
EYES = "qwen/qwen3.8-27b"
LUNA = "gpt-6-luna"
LOCAL = ModelSpec(
    "smollm2-135m-instruct",
    "local",
    "local",
    8_192,
    8_192,
    frozenset({Capability.TEXT, Capability.JSON, Capability.JSON_SCHEMA}),
)
REGISTRY = load_registry()


def ask(text: str = "hi", **wanted: object) -> ChatRequest:
    request = ChatRequest("r1", UserKey("api", "", "u"), (Turn("user", (Text(text),)),))
    return replace(request, **wanted)  # type: ignore[arg-type]


class Heard:
    """Collects events, and headers told by a provider."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.headers: list[tuple[str, Mapping[str, str]]] = []

    async def send(self, event: Event) -> None:
        self.events.append(event)

    def on_headers(self, model: ModelSpec, headers: Mapping[str, str]) -> None:
        self.headers.append((model.id, headers))

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if hasattr(event, "text"))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def groq_api() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


@pytest.fixture
async def openai_api() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("openai") as api:
        yield api


@pytest.fixture
async def local_api() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("local") as api:
        yield api


@pytest.fixture
async def groq(groq_api: FakeLlmApi, heard: Heard) -> AsyncIterator[GroqProvider]:
    provider = GroqProvider(KEY, base_url=groq_api.base_url, on_headers=heard.on_headers, timeouts=QUICK)
    yield provider
    await provider.close()


@pytest.fixture
async def openai(openai_api: FakeLlmApi, heard: Heard) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider(KEY, base_url=openai_api.base_url, on_headers=heard.on_headers, timeouts=QUICK)
    yield provider
    await provider.close()


@pytest.fixture
async def local(local_api: FakeLlmApi, heard: Heard) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(local_api.base_url, KEY, on_headers=heard.on_headers, timeouts=QUICK)
    yield provider
    await provider.close()
