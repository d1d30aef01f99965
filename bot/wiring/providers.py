"""The model providers that the settings switch on. Whoever asked for them closes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bot.config.settings import Settings
from bot.config.tern_toml import Config
from bot.local.choice import LocalChoice
from core.domain.events import Send
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply, TranscribeRequest, Transcript
from core.ports.gateway import RemoteModel, TextToSpeech
from core.providers.callers import OnHeaders, ignore_headers
from core.providers.connections import Connections
from core.providers.flavours import FLAVOURS
from core.providers.groq import GroqProvider
from core.providers.local import LocalProvider
from core.providers.named import NamedProvider
from core.providers.openai import OpenAIProvider


class CloudProvider(Protocol):
    """Groq or OpenAI: a Provider with ears and a Catalogue, closed in the end."""

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply: ...

    async def ready(self) -> None: ...

    async def transcribe(self, request: TranscribeRequest, model: ModelSpec) -> Transcript: ...

    async def models(self) -> Sequence[RemoteModel]: ...

    async def close(self) -> None: ...


def cloud_providers(settings: Settings, on_headers: OnHeaders = ignore_headers) -> dict[str, CloudProvider]:
    """Groq and OpenAI where their keys are set, by name. Nothing is imported or connected before the first call."""
    found: dict[str, CloudProvider] = {}
    connections = Connections()
    proxy = settings.https_proxy or None
    if settings.groq_api_key:
        base_url = settings.groq_base_url or None
        found["groq"] = GroqProvider(
            settings.groq_api_key, base_url=base_url, proxy=proxy, connections=connections, on_headers=on_headers
        )
    if settings.openai_api_key:
        base_url = settings.openai_base_url or None
        found["openai"] = OpenAIProvider(
            settings.openai_api_key, base_url=base_url, proxy=proxy, connections=connections, on_headers=on_headers
        )
    return found


def named_providers(
    settings: Settings, config: Config, on_headers: OnHeaders = ignore_headers
) -> dict[str, NamedProvider | GroqProvider]:
    """Those of tern.toml's `[providers]`, by name. Nothing is imported or connected before the first call."""
    keys, connections, proxy = dict(settings.provider_keys), Connections(), settings.https_proxy or None
    found: dict[str, NamedProvider | GroqProvider] = {}
    for name, each in config.providers.items():
        key, url = keys.get(name, ""), each.base_url
        if each.flavour == "groq":
            found[name] = GroqProvider(
                key, name=name, base_url=url or None, proxy=proxy, connections=connections, on_headers=on_headers
            )
        else:
            flavour = FLAVOURS[each.flavour]
            found[name] = NamedProvider(
                name, flavour, base_url=url, key=key, proxy=proxy, connections=connections, on_headers=on_headers
            )
    return found


def speakers(found: Mapping[str, CloudProvider]) -> dict[str, TextToSpeech]:
    """Those of *found* that can speak: Groq alone, as far as this program goes."""
    return {name: provider for name, provider in found.items() if isinstance(provider, GroqProvider)}


def local_server(choice: LocalChoice) -> LocalProvider | None:
    """The server that LOCAL_MODEL names, None where it names none."""
    return LocalProvider(choice.base_url, choice.api_key) if choice.kind == "server" else None
