"""`python -m bot doctor`: gathers the checks of every part that is switched on, and prints what they found."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict

from bot.commands.doctor import examine, report, standard_checks
from bot.config import mapping
from bot.config.loading import Loaded
from bot.local.choice import choice_of
from bot.wiring.providers import cloud_providers, local_server, named_providers
from core.base.clock import SystemClock
from core.ports.gateway import Catalogue
from core.ports.platform import Finding
from core.storage.opening import database_path


def checkup(loaded: Loaded, *, send_to: str = "", as_json: bool = False) -> int:
    """Returns the exit status: 1 when something has to be mended.

    Args:
        send_to: "slack:C123": a test message is posted there and taken back.
    """
    return asyncio.run(_checkup(loaded, send_to, as_json))


async def _checkup(loaded: Loaded, send_to: str, as_json: bool) -> int:
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
    if send_to:
        findings.append(await _sent(loaded, send_to))
    print(json.dumps([asdict(one) for one in findings]) if as_json else report(findings), file=sys.stdout)
    return 1 if any(finding.level == "bad" for finding in findings) else 0


async def _sent(loaded: Loaded, send_to: str) -> Finding:
    platform, _, channel = send_to.partition(":")
    slack = mapping.slack_settings(loaded.settings, loaded.config)
    if platform != "slack" or not channel:
        return Finding("bad", "--send", f'"{send_to}" is no channel of a platform that can be tried', "say slack:C123")
    if slack is None or not slack.bot_token:
        return Finding("bad", "--send", "Slack is off, or has no bot token of its own", "set SLACK_BOT_TOKEN")
    from adapters.slack.checkup import send_test

    return await send_test(slack, channel)
