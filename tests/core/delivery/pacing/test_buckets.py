"""What a platform's rate bucket can still carry."""

from __future__ import annotations

import pytest

from core.delivery.pacing.buckets import Bucket
from core.ports.platform import Rate


def bucket(capacity: int = 5, per_s: float = 5.0, *, spent: int = 0, at: float = 0.0) -> Bucket:
    fresh = Bucket(Rate("b", capacity, per_s))
    for _ in range(spent):
        fresh.spend(at)
        fresh.landed(at, at)
    return fresh


def test_a_fresh_bucket_carries_its_capacity():
    """As many calls may leave at once as the platform allows."""
    assert bucket().free(0.0) == 5


def test_a_call_counts_for_one_period():
    """It is free again when its period is over, not before."""
    full = bucket(spent=5)

    assert (full.free(4.99), full.free_at(0.0), full.free(5.0)) == (0, 5.0, 5)


def test_a_call_counts_from_its_answer():
    """The platform counted it somewhere between leaving and answer; the later moment is the safe one."""
    slow = Bucket(Rate("b", 1, 5.0))
    slow.spend(0.0)
    slow.landed(0.0, 0.3)

    assert slow.free_at(0.3) == pytest.approx(5.3)


def test_a_call_that_was_long_on_its_way_counts_from_its_answer():
    """It may have reached the platform at the very end, and counts there for a whole period from then on."""
    slow = Bucket(Rate("b", 1, 1.0))
    slow.spend(0.0)
    slow.landed(0.0, 3.0)

    assert slow.free_at(3.0) == pytest.approx(4.0)


def test_a_call_that_is_not_answered_in_its_period_still_counts():
    """It may have been counted a moment ago; after five seconds more it was lost."""
    slow = Bucket(Rate("b", 1, 1.0))
    slow.spend(0.0)

    assert [slow.free_at(now) > now for now in (0.5, 1.5, 5.9, 6.1)] == [True, True, True, False]


def test_a_call_in_flight_counts():
    """What has left and is not answered takes its place."""
    one = bucket(spent=3)
    one.spend(0.0)

    assert one.free(0.0) == 1


def test_a_call_that_never_left_is_given_back():
    """An unused slot costs nothing."""
    one = bucket()
    one.spend(0.0)
    one.take_back(0.0)

    assert one.free(0.0) == 5


def test_headers_replace_our_own_count():
    """What the platform says remains is true, in both directions, until its reset."""
    less, more = bucket(), bucket(spent=5)

    less.learn(0.0, remaining=1, reset_after_s=3.0)
    more.learn(0.0, remaining=4, reset_after_s=3.0)

    assert (less.free(0.0), less.free(3.0), more.free(0.0)) == (1, 5, 4)


def test_a_call_that_headers_counted_is_not_counted_again():
    """The headers of a call's own answer arrive before the call is done."""
    one = bucket()
    one.spend(0.0)
    one.learn(0.1, remaining=4, reset_after_s=5.0)
    one.landed(0.0, 0.1)

    assert one.free(0.1) == 4


def test_headers_in_the_wrong_order_free_nothing():
    """Of two answers from one window the one with less remaining is the newer one."""
    one = bucket()
    one.learn(0.0, remaining=1, reset_after_s=5.0)
    one.learn(0.1, remaining=2, reset_after_s=4.9)

    assert one.free(0.1) == 1


def test_headers_may_change_the_capacity():
    """A platform that tells another limit than was published is believed."""
    one = bucket()
    one.learn(0.0, remaining=10, reset_after_s=1.0, capacity=10)

    assert (one.capacity, one.free(0.0)) == (10, 10)


def test_the_first_call_of_a_window_tells_how_long_it_is():
    """Ten in a second are not ten in five seconds."""
    one = bucket()
    one.learn(0.0, remaining=9, reset_after_s=1.0, capacity=10)
    one.learn(0.5, remaining=7, reset_after_s=0.5, capacity=10)

    assert (one.per_s, one.spacing_s) == (1.0, 0.1)


def test_a_platform_that_says_nothing_of_a_limit_is_asked_more():
    """Each answer without a word of a limit stretches the bucket, to ten times what was assumed at most."""
    one = bucket()
    seen = []
    for _ in range(30):
        one.stretch()
        seen.append(one.capacity)

    assert seen[:6] == [6, 7, 8, 10, 12, 15]
    assert seen[-1] == 50


def test_the_first_refusal_ends_the_stretching():
    """There is a limit after all: less than what was tried, never less for long than what was assumed."""
    one = bucket()
    for _ in range(30):
        one.stretch()
    one.refuse(0.0, 1.0)
    one.stretch()

    assert one.capacity == 32
    assert (one.free(60.0), one.free(600.0)) == (40, 40)


def test_a_refusal_shuts_the_bucket_and_lowers_it():
    """After a 429 nothing leaves until the platform's moment, and less than before; a call comes back per period."""
    one = bucket()
    one.refuse(0.0, 2.0)

    assert (one.free(1.9), one.free_at(0.0), one.free(2.0), one.free(7.0)) == (0, 2.0, 4, 5)


def test_calls_within_counts_what_will_be_free():
    """Calls that return in the span and whole periods beyond it are counted, others are not."""
    one = bucket(spent=3, at=0.0)

    assert (one.calls_within(0.0, 1.0), one.calls_within(0.0, 5.0), one.calls_within(0.0, 10.0)) == (2, 5, 10)
