"""The stack for work from the command line: no history, no cache, no per-user guard; whoever types the command pays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random

from bot.config.loading import Loaded
from bot.config.settings import child_environment
from bot.local.choice import LocalChoice, choice_of, spec_of
from bot.local.model import LocalModel, usable_cores, wanted_start
from bot.wiring.providers import CloudProvider, cloud_providers, local_server, named_providers
from core.base.clock import Clock
from core.domain.errors import ProviderError, SettingsError
from core.domain.incoming import UserKey
from core.gateway.attempts import AttemptBook
from core.gateway.circuit_breaker import CircuitBreaker
from core.gateway.context_window import fit
from core.gateway.fallback import Fallback, Signals
from core.gateway.observe import Observe
from core.gateway.rate_limits import RateLimits
from core.gateway.registry import Registry
from core.gateway.retry import RetryingProvider
from core.gateway.router import Router
from core.gateway.tokens import TokenScale
from core.ports.gateway import Handler, Provider
from core.providers.local import LocalProvider

USER = UserKey("terminal", "", "local")
NO_MODEL = "no model is set up: put a key after GROQ_API_KEY (see .env.example), or take LOCAL_MODEL=off away"


@dataclass(frozen=True, slots=True)
class Workbench:
    """Open models. `handler` asks them as the bot does: routed, admitted, retried, with another model in reserve."""

    handler: Handler
    router: Router
    cloud: dict[str, CloudProvider]


@contextlib.asynccontextmanager
async def open_workbench(loaded: Loaded, clock: Clock) -> AsyncIterator[Workbench]:
    """Open the providers that the settings switch on; closed on leaving.

    The local model stands in only where it is all there is: between the answers of a large model, a small one's would
    be worse than an error.

    Raises:
        SettingsError: There is no model at all, or a server of one's own does not say which it has.
    """
    settings, registry = loaded.settings, loaded.registry
    choice = choice_of(settings.local_model)
    scale, book, random = TokenScale(), AttemptBook(), Random()
    admission = RateLimits(clock)
    async with contextlib.AsyncExitStack() as opened:
        cloud = cloud_providers(settings, admission.read_headers)
        named = named_providers(settings, loaded.config, admission.read_headers)
        for provider in (*cloud.values(), *named.values()):
            opened.push_async_callback(provider.close)
        providers: dict[str, Provider] = {**cloud, **named}
        server = local_server(choice) if not providers else None
        if server is not None:
            opened.push_async_callback(server.close)
            providers["local"] = server
        elif not providers and choice.kind != "off":
            providers["local"] = await _local_model(loaded, choice, clock, random, opened)
        if "local" in providers and choice.spec is not None and choice.spec.id not in registry.ids():
            registry.add(choice.spec)
        if not providers:
            raise SettingsError([NO_MODEL])
        registry.serve(providers)
        if server is not None and choice.spec is None:
            await _learn(registry, server)
        router = Router(registry, scale)
        breaker = CircuitBreaker(clock)
        retrying = {name: RetryingProvider(each, clock, random.random, book) for name, each in providers.items()}
        fallback = Fallback(
            router, retrying, admission, breaker, clock, fit, scale, book, Signals(mark_dead=registry.mark_dead)
        )
        yield Workbench(Observe(fallback, (), clock, book), router, cloud)


async def _learn(registry: Registry, server: LocalProvider) -> None:
    """Ask a server of one's own what it serves. Raises SettingsError where it does not say."""
    try:
        listed = await server.models()
    except ProviderError as error:
        raise SettingsError([f"the server that LOCAL_MODEL names does not answer: {error.detail or error}"]) from error
    for model in listed:
        if model.id not in registry.ids():
            registry.add(spec_of(model))


async def _local_model(
    loaded: Loaded, choice: LocalChoice, clock: Clock, random: Random, opened: contextlib.AsyncExitStack
) -> Provider:
    model = LocalModel(
        wanted_start(choice.path, threads=loaded.config.local.threads, cores=usable_cores()),
        connect=lambda endpoint: LocalProvider(endpoint.base_url, endpoint.api_key),
        clock=clock,
        random=random,
        environ=child_environment(),
        keep_warm=False,
        idle_stop_s=loaded.config.local.idle_stop_s,
    )
    group = await opened.enter_async_context(asyncio.TaskGroup())
    keeping = group.create_task(model.run(), name="local model")
    opened.callback(keeping.cancel)
    return model
