"""Sliding windows over our own clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.gateway.sliding_window import SlidingWindows, fits_in_s
from tests.fakes.clock import FakeClock


def test_limit_holds_within_a_window(clock: FakeClock) -> None:
    """What fits is free at once; the next one waits."""
    windows = SlidingWindows(clock, 60)
    for _ in range(3):
        assert windows.wait_s("ann", 3, 1) == 0.0
        windows.use("ann", 1)

    assert windows.wait_s("ann", 3, 1) > 0.0


async def test_wait_is_enough_and_not_much_too_long(clock: FakeClock) -> None:
    """After the stated wait the request fits; half of it is too early."""
    windows = SlidingWindows(clock, 60)
    windows.use("ann", 10)
    wait_s = windows.wait_s("ann", 10, 4)

    await clock.advance(wait_s / 2)
    early = windows.wait_s("ann", 10, 4)
    await clock.advance(wait_s / 2)

    assert early > 0.0
    assert windows.wait_s("ann", 10, 4) == 0.0


def test_keys_are_apart(clock: FakeClock) -> None:
    """Ann's use is not Ben's."""
    windows = SlidingWindows(clock, 60)
    windows.use("ann", 1)

    assert windows.wait_s("ben", 1, 1) == 0.0


def test_use_above_the_limit_fits_an_empty_window(clock: FakeClock) -> None:
    """One request larger than the whole limit passes when nothing else was used."""
    windows = SlidingWindows(clock, 60)

    assert windows.wait_s("ann", 100, 5_000) == 0.0


def test_too_high_an_estimate_is_given_back(clock: FakeClock) -> None:
    """A negative use frees the window, never below nothing."""
    windows = SlidingWindows(clock, 60)
    windows.use("ann", 90)
    windows.use("ann", -85)
    windows.use("ben", -10)

    assert windows.wait_s("ann", 100, 95) == 0.0
    assert windows.wait_s("ben", 100, 100) == 0.0


async def test_two_windows_later_all_is_forgotten(clock: FakeClock) -> None:
    """Use counts for one window fully and for the next in part."""
    windows = SlidingWindows(clock, 60)
    windows.use("ann", 10)

    await clock.advance(121.0)

    assert windows.wait_s("ann", 10, 10) == 0.0


@given(previous=st.integers(0, 100), current=st.integers(0, 100), left_s=st.floats(0.01, 60), room=st.integers(0, 99))
@settings(deadline=None)
def test_stated_wait_makes_room(previous: int, current: int, left_s: float, room: int) -> None:
    """After `fits_in_s` the weighted use is at most the room, for any state."""
    wait_s = fits_in_s(previous, current, left_s, 60, room=room)

    rolled = wait_s >= left_s
    use = current * (left_s + 60 - wait_s) / 60 if rolled else previous * (left_s - wait_s) / 60 + current
    assert use <= room + 1e-6
    assert wait_s == pytest.approx(0.0) or wait_s <= 120
