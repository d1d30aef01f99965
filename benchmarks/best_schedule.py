"""The least mean lag that any schedule can reach, knowing the future. A bound to measure `Pacer` against; pure.

The schedules compared are those that show an answer's first word as soon as the platform takes the post. (One that
holds the first word back saves a little lag: its post then shows more. Nobody would want to read that.)

Text comes evenly from 0 to T and is shown by writes at t1 < ... < tN = T. A character that arrives between two writes
waits for the later one, on average half the gap g between them, so the waiting is (sum of g squared) / 2, least where
all gaps are equal: T^2 / 2N.

A bucket of C edits in any P seconds bounds N and the gaps: any C neighbouring gaps between edits last P at least; the
first gap, from the post, is not between edits.

* T <= P: N = C, evenly.
* T > P, T = kP + r: by convexity the best pattern repeats every P seconds. The first edit leaves at a, the j-th at r,
  so j - 1 gaps share r - a and recur k + 1 times, the other C - j + 1 share P - r + a and recur k times. The sum of
  squares is a^2 + (k + 1) (r - a)^2 / (j - 1) + k (P - r + a)^2 / (C - j + 1), for the best j and a; it tends to PT/C.

Either way the bucket is worth so many even edits: T^2 over that sum. Where m answers grow in it, answer i for T_i
seconds after its post, n_i of these edits go to it and its waiting is T_i^2 / 2n_i; the best n_i are in proportion to
T_i, which makes (sum of T_i)^2 / 2N together. The posts of an answer's later pages show text too and are counted with
the edits. Before its post an answer waits for it. Last writes may come late, b_i after T, if that lets others leave
sooner: those gaps are longer by b_i, and b_i^2 / 2 of them waits for nothing.

Weakness: shares are taken as if writes could be split, so with a few writes for each answer the bound is up to a fifth
below what can be reached. tests/benchmarks/test_best_schedule.py searches for schedules that beat it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.ports.platform import Rate

_LATE_STEPS = 20
"""In how many steps lateness is tried, from none to what completes a period."""


def best_mean_lag_s(
    duration_s: float, edits: Rate, posts: Rate, *, answers: int = 1, pages: int = 1, one_way_s: float = 0.0
) -> float:
    """Return the least mean lag of a character, in seconds, over *answers* equal answers that begin at once.

    Args:
        duration_s: From an answer's first character to its last.
        pages: How many posts an answer needs in all.
        one_way_s: Network latency; a surface takes one call at a time, so a round trip lies between two writes.
    """
    unseen = [min(post_leaves_at(number, posts), duration_s) for number in range(answers)]
    waiting = sum((post_leaves_at(number, posts) - unseen_s / 2) * unseen_s for number, unseen_s in enumerate(unseen))
    grown = [duration_s - unseen_s for unseen_s in unseen if unseen_s < duration_s]
    if grown:
        further_posts = max(0, min(answers * pages, _most_calls(duration_s, posts)) - answers)
        most_late_s = len(grown) * edits.per_s / edits.capacity if duration_s > edits.per_s else 0.0
        waiting += min(
            _growing(grown, duration_s, edits, most_late_s * step / _LATE_STEPS, further_posts, one_way_s)
            for step in range(_LATE_STEPS + 1)
        )
    return waiting / (answers * duration_s) + one_way_s


def _growing(
    grown: Sequence[float], duration_s: float, edits: Rate, late_s: float, further_posts: int, one_way_s: float
) -> float:
    """What all characters wait together while their answers grow, if the very last write is *late_s* late and those
    before it come as the bucket refills."""
    lates = [max(0.0, late_s - number * edits.per_s / edits.capacity) for number in range(len(grown))]
    gaps_s = sum(grown) + sum(lates)
    writes = even_edits(duration_s + late_s, edits) + further_posts
    if one_way_s:
        writes = min(writes, gaps_s / (2 * one_way_s))
    return gaps_s**2 / (2 * max(1.0, writes)) - sum(late**2 for late in lates) / 2


def best_posted_lag_s(page_ends_s: Sequence[float], posts: Rate, *, answers: int = 1, one_way_s: float = 0.0) -> float:
    """Return the least mean lag if each page were whole with its post: no character is seen before the post of its
    page, and all pages of all answers share one bucket of posts.

    Args:
        page_ends_s: When each page of an answer is full, in order, in seconds from its first character.
    """
    waiting, number = 0.0, 0
    for began_s, ended_s in zip((0.0, *page_ends_s), page_ends_s, strict=False):
        page_s = ended_s - began_s
        for _ in range(answers):
            late_s = max(0.0, post_leaves_at(number, posts) - began_s)  # behind the page's first character
            waiting += (late_s - page_s / 2) * page_s if late_s > page_s else late_s**2 / 2
            number += 1
    return waiting / (answers * page_ends_s[-1]) + one_way_s


def post_leaves_at(number: int, posts: Rate) -> float:
    """When the post of that number, from 0, may leave at the earliest."""
    return number // posts.capacity * posts.per_s


def even_edits(duration_s: float, edits: Rate) -> float:
    """How many evenly spaced edits a bucket that was full at the beginning is worth."""
    if duration_s <= edits.per_s:
        return float(edits.capacity)
    return duration_s**2 / min(_squares(duration_s, edits, before) for before in range(1, edits.capacity + 1))


def _squares(duration_s: float, edits: Rate, before: int) -> float:
    """Least sum of squared gaps if edit number *before* of each period is the one that the last edit repeats."""
    periods, rest_s = divmod(duration_s, edits.per_s)
    often = (periods + 1) / (before - 1) if before > 1 else math.inf
    seldom = periods / (edits.capacity - before + 1)
    first_s = rest_s
    if before > 1:
        first_s = max(0.0, (often * rest_s - seldom * (edits.per_s - rest_s)) / (1 + often + seldom))
    between = often * (rest_s - first_s) ** 2 if before > 1 else 0.0
    return first_s**2 + between + seldom * (edits.per_s - rest_s + first_s) ** 2


def _most_calls(duration_s: float, rate: Rate) -> int:
    return rate.capacity * (int(duration_s / rate.per_s) + 1)
