"""Installations with sealed tokens, states of half-way installs, settings of workspaces, names of people."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from core.domain.incoming import UserKey
from core.ports.workspaces import Installation
from core.storage.store import Storage, open_storage
from tests.fakes.clock import FakeClock

ACME = Installation("E1", "T1", "xoxb-secret-1", "xoxe-1", 1_800_043_200.0, bot_user="U0", bot="B0", name="Acme")
OTHER = Installation("", "T2", "xoxb-secret-2", name="Other")
ORG = Installation("E1", "", "xoxb-secret-3", name="All of Acme")


async def test_an_installation_is_found_again(storage: Storage) -> None:
    """Everything is there, the newest tokens hold, and an organisation's row is another one than its workspace's."""
    for one in (ACME, OTHER, ORG, replace(ACME, token="xoxb-secret-4", scopes="chat:write")):
        await storage.installations.save(one)

    assert await storage.installations.find("E1:T1") == replace(ACME, token="xoxb-secret-4", scopes="chat:write")
    assert await storage.installations.find("E1:") == ORG
    assert await storage.installations.find("E1:T2") is None
    assert {one.name for one in await storage.installations.all()} == {"Acme", "Other", "All of Acme"}


async def test_tokens_lie_nowhere_in_clear(storage: Storage) -> None:
    """Neither token stands readable in any file of the database, nor in a repr."""
    await storage.installations.save(ACME)
    await storage._database.write(lambda c: None)

    kept = b"".join(path.read_bytes() for path in storage.path.parent.glob(f"{storage.path.name}*"))
    assert b"secret-1" not in kept
    assert b"xoxe-1" not in kept
    assert "secret-1" not in repr(ACME)


async def test_removing_one_touches_nobody_else(storage: Storage) -> None:
    """An uninstall erases that workspace's row alone, and may come twice."""
    for one in (ACME, OTHER, ORG):
        await storage.installations.save(one)

    assert [await storage.installations.remove("E1:T1") for _ in range(2)] == [True, False]
    assert {one.key for one in await storage.installations.all()} == {":T2", "E1:"}


async def test_a_state_is_good_once_and_not_for_long(storage: Storage, clock: FakeClock) -> None:
    """Whoever comes back with it a second time, or too late, or with somebody else's, is refused."""
    first, late = [await storage.installations.new_state(clock.now() + 600.0) for _ in range(2)]

    taken = [await storage.installations.take_state(state) for state in (first, first, "", "\ud800", first + "x")]
    await clock.advance(601.0)

    assert taken == [True, False, False, False, False]
    assert not await storage.installations.take_state(late)


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_token_is_renewed_once(folder: Path, clock: FakeClock, processes: int) -> None:
    """Ten that need a fresh token at once, in two processes too, use one refresh token once: none is left dead."""
    used: list[str] = []
    stores = [await open_storage("", folder, clock, b"k" * 32, f"p{number}") for number in range(processes)]
    try:
        await stores[0].installations.save(ACME)

        def due(one: Installation) -> bool:
            return one.refresh_token == "xoxe-1"

        async def renew(one: Installation) -> Installation:
            used.append(one.refresh_token)
            await asyncio.sleep(0.02)
            return replace(one, token="xoxb-fresh", refresh_token="xoxe-2")

        async def ask(number: int) -> Installation | None:
            return await stores[number % processes].installations.renewed("E1:T1", due, renew)

        asking = [asyncio.ensure_future(ask(number)) for number in range(10)]
        while not all(task.done() for task in asking):
            await asyncio.sleep(0.005)
            await clock.advance(0.5 if used else 0.0)
        found = [task.result() for task in asking]
    finally:
        for store in stores:
            await store.close()

    assert used == ["xoxe-1"]
    assert {one.token for one in found if one} == {"xoxb-fresh"}


async def test_a_renewal_that_fails_leaves_the_turn(storage: Storage, clock: FakeClock) -> None:
    """What the platform refused is raised, and the next one may try at once."""
    await storage.installations.save(ACME)

    async def fails(one: Installation) -> Installation:
        raise ConnectionError("no")

    async def works(one: Installation) -> Installation:
        return replace(one, token="xoxb-fresh", refresh_token="")

    with pytest.raises(ConnectionError):
        await storage.installations.renewed("E1:T1", lambda one: bool(one.refresh_token), fails)
    renewed = await storage.installations.renewed("E1:T1", lambda one: bool(one.refresh_token), works)

    assert renewed is not None
    assert renewed.token == "xoxb-fresh"


async def test_keys_can_be_rotated(folder: Path, clock: FakeClock) -> None:
    """SECRET_KEY lists the new key, then the old one: old tokens open, new ones need the new key alone, and what was
    forgotten stays so. Without the old key an old token counts as gone."""
    old, new = b"o" * 32, b"n" * 32
    async with await open_storage("", folder, clock, old, "p1") as storage:
        await storage.installations.save(ACME)
        await storage.installations.save(OTHER)
    async with await open_storage("", folder, clock, new + b" " + old, "p2") as storage:
        assert await storage.installations.find("E1:T1") == ACME
        await storage.installations.save(ACME)
    async with await open_storage("", folder, clock, new, "p3") as storage:
        assert await storage.installations.find("E1:T1") == ACME
        assert await storage.installations.find(":T2") is None


async def test_settings_are_a_workspaces_own(storage: Storage) -> None:
    """What one workspace sets is no other's."""
    await storage.workspace_settings.set("slack", ":T1", {"thread_follow_ups": "asker"})
    await storage.workspace_settings.set("slack", ":T1", {"thread_follow_ups": "mention"})

    assert await storage.workspace_settings.get("slack", ":T1") == {"thread_follow_ups": "mention"}
    assert await storage.workspace_settings.get("slack", ":T2") == {}


async def test_people_are_known_until_they_ask_to_be_forgotten(storage: Storage, clock: FakeClock) -> None:
    """Names outlive a restart; "forget me" takes them, and so do thirty days."""
    now = clock.now()
    for user in ("U1", "U2"):
        await storage.people.keep("slack", ":T1", user, now, '{"name": "Ada"}')
    await storage.people.keep("slack", ":T2", "U1", now - 31 * 86_400.0, "{}")

    await storage.archive.forget(user=UserKey("slack", ":T1", "U1"))
    await storage.sweep()

    assert await storage.people.known("slack", ":T1", 0.0) == {"U2": (now, '{"name": "Ada"}')}
    assert await storage.people.known("slack", ":T2", 0.0) == {}
    assert await storage._database.read(lambda c: c.execute(text("SELECT count(*) FROM people")).scalar()) == 1
