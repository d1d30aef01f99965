"""What surfaces share."""

from __future__ import annotations

from adapters.discord.connection import TYPING_A_SECOND, Connection
from tests.fakes.clock import FakeClock


async def test_typing_leaves_the_second_to_the_answers() -> None:
    """Only so many indicators go out in a second, however many questions came; a second later others may."""
    clock = FakeClock()
    connection = Connection(clock)

    at_once = [connection.may_type() for _ in range(50)]
    await clock.advance(1.0)

    assert sum(at_once) == TYPING_A_SECOND
    assert connection.may_type()
