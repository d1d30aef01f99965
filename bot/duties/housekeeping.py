"""Duties that run beside the answering: compare models with what providers list, announce shutdowns, day by day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from bot.commands.doctor import KEY_PAGES
from bot.local.choice import spec_of
from bot.startup_report import sunset_warnings
from core.base.clock import Clock
from core.domain.errors import KeyRejected, ProviderError
from core.gateway.registry import Registry
from core.ports.gateway import Catalogue

log: Any = structlog.get_logger(__name__)

DAY_S = 86_400.0

RETRY_S = 300.0
"""A list that could not be fetched is asked for again this much later."""


async def check_catalogues(
    registry: Registry, catalogues: Mapping[str, Catalogue], clock: Clock, alert: Callable[[ProviderError], None]
) -> None:
    """Compare the registry with each provider's own list: now, then once a day. Runs until cancelled.

    Never fails a start: a provider that cannot be asked is asked again later, and its models stay on their routes. The
    first look loads the providers' SDKs, in a thread, before anybody's first question has to.

    Args:
        alert: Hears that a key was rejected.
    """
    due = dict.fromkeys(catalogues, 0.0)
    while due:
        for provider, catalogue in catalogues.items():
            if clock.monotonic() >= due[provider]:
                learned = await _learn(registry, provider, catalogue, alert)
                due[provider] = clock.monotonic() + (DAY_S if learned else RETRY_S)
        await clock.sleep(max(1.0, min(due.values()) - clock.monotonic()))


async def _learn(
    registry: Registry, provider: str, catalogue: Catalogue, alert: Callable[[ProviderError], None]
) -> bool:
    try:
        listed = await catalogue.models()
    except KeyRejected as error:
        alert(error)
        log.error(
            f"{provider.upper()}_API_KEY was rejected; other models answer meanwhile",
            advice=f"make a new key at {KEY_PAGES.get(provider, provider)}, set it and start again",
        )
        return False
    except ProviderError as error:
        log.warning("could not compare the models with the provider's list", provider=provider, problem=str(error))
        return False
    for news in registry.learn(provider, listed):
        log.warning(news)
    return True


async def learn_local_models(registry: Registry, server: Catalogue, clock: Clock) -> None:
    """Ask a server of one's own what it serves, until it answers once. The first of its list answers first."""
    while True:
        try:
            listed = await server.models()
        except ProviderError as error:
            log.warning("the server that LOCAL_MODEL names does not answer", problem=str(error))
            listed = ()
        for model in listed:
            if model.id not in registry.ids():
                registry.add(spec_of(model))
        if listed:
            log.info("local models found", models=[model.id for model in listed][:10])
            return
        await clock.sleep(RETRY_S / 10)


async def announce_sunsets(registry: Registry, clock: Clock) -> None:
    """Name the models that are about to be shut down, once a day. Runs until cancelled; start-up says it first."""
    while True:
        await clock.sleep(DAY_S)
        for warning in sunset_warnings(registry, clock.now()):
            log.warning(warning)
