"""`python -m bot keys`: list, make and revoke the API keys that have a name. A running bot sees it in seconds."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from bot.app import owner_id
from bot.config.settings import Settings
from core.base.clock import SystemClock
from core.domain.api_keys import NAME, ApiKey, digest_of
from core.domain.errors import SettingsError
from core.storage import Storage, open_storage

T = TypeVar("T")

LIMITS = ("requests_per_minute", "tokens_per_minute", "tokens_per_day", "cost_per_day_usd")


def list_keys(settings: Settings) -> int:
    async def work(storage: Storage) -> list[ApiKey]:
        return list(await storage.api_keys.all())

    print(keys_table(asyncio.run(_with_storage(settings, work))))
    return 0


def add_key(settings: Settings, name: str, limits: Mapping[str, Any]) -> int:
    """Print the new key, once. One of the same name is replaced: its holder stays the same person."""
    if not NAME.fullmatch(name):
        raise SettingsError(["NAME: up to 40 small letters, digits, dots, dashes and underscores"])
    secret = f"tern-{secrets.token_urlsafe(32)}"
    wanted = ApiKey(name, digest_of(secret), SystemClock().now(), **limits)

    async def work(storage: Storage) -> None:
        await storage.api_keys.put(wanted)

    asyncio.run(_with_storage(settings, work))
    print(secret)
    return 0


def revoke_key(settings: Settings, name: str) -> int:
    """Returns 1 where there is no such key."""

    async def work(storage: Storage) -> bool:
        return await storage.api_keys.revoke(name)

    found = asyncio.run(_with_storage(settings, work))
    print(f"{name} opens nothing any more." if found else f"There is no key named {name}.")
    return 0 if found else 1


async def _with_storage(settings: Settings, work: Callable[[Storage], Awaitable[T]]) -> T:
    async with await open_storage(
        settings.database_url, settings.data_dir, SystemClock(), settings.secret_key.encode(), owner_id()
    ) as storage:
        return await work(storage)


def keys_table(keys: list[ApiKey]) -> str:
    """One key a line with its limits; "-" is the limit for everybody, "none" a lifted one."""
    if not keys:
        return "There is no key with a name yet: python -m bot keys add NAME makes one."
    rows: list[tuple[str, ...]] = [("NAME", "MADE", "REQUESTS/MIN", "TOKENS/MIN", "TOKENS/DAY", "USD/DAY")]
    for key in keys:
        made = f"{datetime.fromtimestamp(key.made_at, UTC):%Y-%m-%d}"
        limits = (getattr(key, name) for name in LIMITS)
        rows.append((key.name, made, *("-" if one is None else f"{one:,}" if one else "none" for one in limits)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
