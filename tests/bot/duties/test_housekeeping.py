"""Duties beside the answering: never in the way of a start, and never silent about what the operator must know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from bot.duties.housekeeping import announce_sunsets, check_catalogues, learn_local_models
from core.domain.errors import KeyRejected, Overloaded, ProviderError
from core.gateway.registry import Registry, load_registry
from core.ports.gateway import RemoteModel
from tests.fakes.clock import FakeClock, settle

SPEED, QUALITY = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


class Listing:
    """A provider's list: what it says each time it is asked, the last thing forever."""

    def __init__(self, *answers: Sequence[str] | ProviderError) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def models(self) -> Sequence[RemoteModel]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, ProviderError):
            raise answer
        return [RemoteModel(model_id) for model_id in answer]


@asynccontextmanager
async def running(duty: Any) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(duty)
    await settle()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def registry() -> Registry:
    return load_registry()


def all_but(registry: Registry, *missing: str) -> list[str]:
    return [model.id for model in registry.all() if model.provider == "groq" and model.id not in missing]


async def test_missing_model_is_marked_and_comes_back(clock: FakeClock, registry: Registry) -> None:
    """A model that is not listed leaves its routes, and returns a day later when it is listed again."""
    listing = Listing(all_but(registry, SPEED), all_but(registry))

    async with running(check_catalogues(registry, {"groq": listing}, clock, lambda error: None)):
        assert registry.get(SPEED).status == "dead"
        await clock.advance(86_400)

        assert registry.get(SPEED).status == "production"


async def test_failed_list_is_asked_for_again_soon(clock: FakeClock, registry: Registry) -> None:
    """A provider that cannot be asked keeps its models, and is asked again in minutes, not tomorrow."""
    listing = Listing(Overloaded("busy", provider="groq"), all_but(registry, QUALITY))

    async with running(check_catalogues(registry, {"groq": listing}, clock, lambda error: None)):
        assert registry.get(QUALITY).status == "production"
        await clock.advance(300)

        assert registry.get(QUALITY).status == "dead"


async def test_rejected_key_is_told(clock: FakeClock, registry: Registry) -> None:
    """A key that is refused is handed on, so that nobody waits for the same refusal."""
    heard: list[ProviderError] = []
    listing = Listing(KeyRejected("no", provider="groq"))

    async with running(check_catalogues(registry, {"groq": listing}, clock, heard.append)):
        assert [type(error) for error in heard] == [KeyRejected]


async def test_one_providers_trouble_is_not_the_others(clock: FakeClock, registry: Registry) -> None:
    """OpenAI's list is read although Groq's fails."""
    listings = {"groq": Listing(Overloaded("busy")), "openai": Listing(["gpt-transcribe"])}

    async with running(check_catalogues(registry, listings, clock, lambda error: None)):
        assert registry.get("gpt-6-luna").status == "dead"
        assert registry.get(SPEED).status == "production"


async def test_nothing_to_compare_ends_at_once(clock: FakeClock, registry: Registry) -> None:
    """Without any key there is nothing to do."""
    await check_catalogues(registry, {}, clock, lambda error: None)


async def test_own_server_is_asked_until_it_answers(clock: FakeClock, registry: Registry) -> None:
    """A server that starts later than the bot is found when it is up."""
    server = Listing(Overloaded("starting"), ["llama4:12b"])

    async with running(learn_local_models(registry, server, clock)):
        assert "llama4:12b" not in registry.ids()
        await clock.advance(60)

        assert registry.get("llama4:12b").provider == "local"


async def test_coming_shutdown_is_told_every_day(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with a published shutdown date is named in the log once a day."""
    lines: list[str] = []
    monkeypatch.setattr("bot.duties.housekeeping.log", SimpleNamespace(warning=lines.append))
    registry = load_registry({SPEED: {"shutdown_at": "2099-01-01"}})

    async with running(announce_sunsets(registry, clock)):
        await clock.advance(86_400)
        await clock.advance(86_400)

    assert len([line for line in lines if line.startswith(f"{SPEED} shuts down on 2099-01-01")]) == 2
