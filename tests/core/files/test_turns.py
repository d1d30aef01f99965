"""Whose turn it is."""

from __future__ import annotations

import asyncio

from core.files.turns import Turns
from tests.fakes.clock import settle


async def order_of(*owners: str) -> list[str]:
    """In which order *owners*, who ask one after the other while the first is served, have their turns."""
    turns, served = Turns(), list[str]()

    async def one(owner: str) -> None:
        async with turns.turn(owner):
            served.append(owner)
            await settle()

    async with asyncio.TaskGroup() as group:
        for owner in owners:
            group.create_task(one(owner))
    return served


async def test_nobody_waits_behind_anothers_whole_queue() -> None:
    """The second person is served after one job of the first, the third after one of each."""
    assert await order_of("a", "a", "a", "a", "b", "c", "b") == ["a", "a", "b", "c", "a", "b", "a"]


async def test_one_who_gives_up_leaves_the_queue() -> None:
    """A waiter that is cancelled takes no turn and keeps nobody from theirs."""
    turns = Turns()
    async with turns.turn("a"):
        waiting = asyncio.create_task(_once(turns, "b"))
        patient = asyncio.create_task(_once(turns, "b"))
        await settle()
        waiting.cancel()
        await settle()

        assert turns.waiting("b") == 1
    await patient


async def test_turn_given_to_one_who_is_just_cancelled_goes_on() -> None:
    """Cancelled in the moment its turn came, it hands the turn to the next."""
    turns = Turns()
    async with turns.turn("a"):
        first = asyncio.create_task(_once(turns, "b"))
        second = asyncio.create_task(_once(turns, "c"))
        await settle()
    first.cancel()  # its future has its result, the task has not run yet

    await asyncio.wait_for(second, 1)


async def _once(turns: Turns, owner: str) -> None:
    async with turns.turn(owner):
        await settle()
