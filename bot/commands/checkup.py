"""`python -m bot doctor`: gathers the checks of every part that is switched on, and prints what they found."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

from bot.commands.doctor import examine, report, standard_checks
from bot.config.loading import Loaded
from bot.local.choice import choice_of
from bot.wiring.providers import cloud_providers, local_server, named_providers
from core.base.clock import SystemClock
from core.ports.gateway import Catalogue
from core.storage.opening import database_path


def checkup(loaded: Loaded) -> int:
    """Returns the exit status: 1 when something has to be mended."""
    return asyncio.run(_checkup(loaded))


async def _checkup(loaded: Loaded) -> int:
    settings = loaded.settings
    async with AsyncExitStack() as stack:
        cloud = cloud_providers(settings)
        named = named_providers(settings, loaded.config)
        catalogues: dict[str, Catalogue] = {**cloud, **named}
        for provider in (*cloud.values(), *named.values()):
            stack.push_async_callback(provider.close)
        if server := local_server(choice_of(settings.local_model)):
            stack.push_async_callback(server.close)
            catalogues["local"] = server
        database = database_path(settings.database_url, settings.data_dir)
        findings = await examine(standard_checks(loaded, catalogues, database=database, clock=SystemClock()))
    print(report(findings), file=sys.stdout)
    return 1 if any(finding.level == "bad" for finding in findings) else 0
