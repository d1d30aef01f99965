"""What a chunk's cost is counted over, and whom it is compared with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace

from benchmarks.figures import Spread
from benchmarks.meter import Meter, gather
from benchmarks.points.chunks import BURSTS, FLOOR, GROQ, HOUSE, LITELLM, PACKETS, cpu_goals

TOKEN = " 000000000000"


async def test_only_what_comes_after_all_have_begun_is_counted() -> None:
    """The cost of a request stays out, and so do the chunks that came meanwhile."""
    meter = Meter(2, 5, lags=False)

    meter.begin()
    meter.text(TOKEN * 2)
    meter.begin()
    meter.text(TOKEN)
    meter.text(TOKEN * 3)
    assert not meter.over.is_set()
    meter.text(TOKEN * 4)

    assert meter.over.is_set()
    assert meter.figures()["chunks"] == 8


async def test_the_sdks_loop_tells_the_meter_every_text() -> None:
    """Chunks without choices or text (a role, the usage) are no tokens."""

    async def stream() -> AsyncIterator[SimpleNamespace]:
        for text in (None, TOKEN, TOKEN):
            yield SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=text))])
        yield SimpleNamespace(choices=[])

    meter = Meter(1, 2, lags=False)

    assert await gather(stream(), meter) == TOKEN * 2
    assert meter.over.is_set()
    assert meter.figures()["chunks"] == 2


def test_goals_compare_the_product_as_it_runs() -> None:
    """Round by round with the peers, and with the bare transport on the same loop."""
    costs = {HOUSE: (10.0, 20.0), GROQ: (50.0, 100.0), LITELLM: (110.0, 220.0), FLOOR: (8.0, 16.0)}
    spreads = {(name, shape.name): Spread(cost) for name, cost in costs.items() for shape in (PACKETS, BURSTS)}

    goals = {goal.wanted: (goal.measured, goal.met) for goal in cpu_goals(spreads)}

    assert goals["bursts: 12 times below the groq SDK"] == ("5.0 times", False)
    assert goals["a chunk per packet: 4 times below the groq SDK"] == ("5.0 times", True)
    assert goals["a chunk per packet: 12 times below LiteLLM"] == ("11.0 times", False)
    assert goals["within 1.5 times the floor of its transport, packets"] == ("1.25 times", True)


def test_a_peer_that_is_not_here_leaves_its_goals_open() -> None:
    """Not met and not missed: not measured."""
    spreads = {(name, shape.name): Spread((1.0,)) for name in (HOUSE, GROQ, FLOOR) for shape in (PACKETS, BURSTS)}

    assert [goal.met for goal in cpu_goals(spreads) if "LiteLLM" in goal.wanted] == [None, None]
