"""Who goes next: pure decisions."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.incoming import UserKey
from core.domain.runs import Pending
from core.inbox.scheduler import Flood, Stop, Ticket, choose, places
from tests.core.front_desk import ANN, BOB
from tests.fakes.clock import FakeClock

_seq = count(1)


def waits(user: UserKey = ANN, conversation: int = 0, starts: int = 0) -> Pending:
    seq = next(_seq)
    return Pending(f"run{seq}", seq, conversation or 1_000 + seq, user, starts)


def test_oldest_goes_first() -> None:
    """Among equals the order is that of acceptance."""
    first, second = waits(), waits()

    assert choose([second, first], running=[], free=1) == [first]


def test_person_with_fewest_running_goes_first() -> None:
    """Somebody who floods the queue holds up nobody else: the newcomer goes before the flooder's second message."""
    flood = [waits(ANN) for _ in range(5)]
    newcomer = waits(BOB)

    assert choose([*flood, newcomer], running=[], free=2) == [flood[0], newcomer]


def test_running_answers_count() -> None:
    """What a person has running already weighs against them."""
    early, late = waits(ANN), waits(BOB)

    assert choose([early, late], running=[waits(ANN)], free=1) == [late]


def test_conversation_has_one_run_at_a_time() -> None:
    """Nothing starts beside a run of the same conversation, and of two waiting ones only the first."""
    running = waits(conversation=7)
    first, second = waits(conversation=8), waits(conversation=8)

    assert choose([waits(conversation=7), second, first], running=[running], free=9) == [first]


def test_no_more_are_chosen_than_are_free() -> None:
    """The cap holds."""
    assert len(choose([waits() for _ in range(5)], running=[], free=3)) == 3


def test_suspects_go_one_at_a_time() -> None:
    """Runs that were under way in two crashes start one by one, so that the innocent ones get done."""
    suspects = [waits(starts=2), waits(starts=2)]
    innocent = waits(starts=1)

    assert choose([*suspects, innocent], running=[], free=9) == [suspects[0], innocent]
    assert choose(suspects, running=[waits(starts=3)], free=9) == []


def test_places_count_from_one() -> None:
    """The oldest is next."""
    first, second = waits(), waits()

    assert places([second, first]) == {first.run_id: 1, second.run_id: 2}


_runs = st.lists(
    st.builds(
        lambda user, conversation, starts: waits(UserKey("p", "", user), conversation, starts),
        st.sampled_from("abc"),
        st.integers(1, 6),
        st.integers(0, 3),
    ),
    max_size=12,
)


@given(_runs, st.integers(0, 5))
def test_choice_breaks_no_rule(pending: list[Pending], free: int) -> None:
    """Whatever waits: no more than are free, one per conversation and the oldest of it, one suspect."""
    chosen = choose(pending, running=[], free=free)

    assert len(chosen) <= free
    assert len({run.conversation_id for run in chosen}) == len(chosen)
    assert sum(run.starts >= 2 for run in chosen) <= 1
    for run in chosen:
        assert run.seq == min(other.seq for other in pending if other.conversation_id == run.conversation_id)


@given(_runs)
def test_free_slots_are_not_left_idle(pending: list[Pending]) -> None:
    """With room for everybody every conversation starts, suspects apart."""
    chosen = choose(pending, running=[], free=99)

    heads = {run.conversation_id: run for run in sorted(pending, key=lambda run: -run.seq)}
    assert {run.run_id for run in heads.values() if run.starts < 2} <= {run.run_id for run in chosen}


def test_first_reason_of_a_stop_stands() -> None:
    """A second wish changes nothing, except that a lost run may not be written to."""
    stop = Stop()

    stop.request("user")
    stop.request("shutdown")
    assert stop.reason == "user"

    stop.request("lost")
    assert stop.reason == "lost"


async def test_ticket_tells_only_the_newest_place() -> None:
    """Whoever was busy while the queue moved hears where it stands now."""
    ticket = Ticket(5)
    ticket.move(4)
    ticket.move(3)

    assert await ticket.news() == 3


def test_flood_slides() -> None:
    """The limit counts the last sixty seconds, not the calendar's minute."""
    clock = FakeClock()
    flood = Flood(clock, per_minute=2)
    flood.count(ANN)
    clock._elapsed = 40
    flood.count(ANN)

    assert flood.wait_s(ANN) == pytest.approx(20)
    assert flood.wait_s(BOB) == 0
    clock._elapsed = 61
    assert flood.wait_s(ANN) == 0
