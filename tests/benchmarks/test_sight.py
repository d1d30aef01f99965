"""The benchmark's own arithmetic; no timing decides here."""

from __future__ import annotations

import pytest

from benchmarks.figures import Spread
from benchmarks.screen.sight import sight_of


def test_a_character_waits_for_the_first_write_that_holds_it() -> None:
    """Four characters a second apart, shown by writes at 1 and 5 seconds: they wait 1, 0, 3 and 2 seconds."""
    written = [(0.0, 1), (1.0, 2), (2.0, 3), (3.0, 4)]

    sight = sight_of(written, [(1.0, 2), (5.0, 4)])

    assert (sight.first_s, sight.lag_s, sight.last_s) == (1.0, pytest.approx(1.5), 2.0)


def test_blanks_dropped_between_pages_are_no_lag() -> None:
    """What was shown is scaled to what was written, so that a page cut at a blank is as whole as any other."""
    sight = sight_of([(0.0, 5), (1.0, 10)], [(0.0, 4), (1.0, 8)])

    assert sight.lag_s == pytest.approx(0.0)


def test_ratios_are_taken_round_by_round() -> None:
    """A round that was disturbed as a whole leaves the ratio alone."""
    assert Spread((2.0, 20.0)).over(Spread((1.0, 10.0))).values == (2.0, 2.0)
