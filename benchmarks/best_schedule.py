"""The least mean lag that any schedule can reach, knowing the future. A bound to measure `Pacer` against; pure.

Text comes evenly from 0 to T and is shown by writes at t1 < ... < tN = T. A character that arrives between two writes
waits for the later one, on average half the gap g between them, so the mean lag is (sum of g squared) / 2T. For a given
N that is least when all gaps are equal: T / 2N.

A bucket of C calls in any P seconds bounds N and the gaps: any C neighbouring gaps last P at least.

* T <= P: N = C, evenly: T / 2C.
* T > P, T = kP + r: by convexity the best pattern repeats every P seconds. In each period j gaps recur k + 1 times and
  share r, the other C - j recur k times and share P - r, so the sum of squares is
  (k + 1) r^2 / j + k (P - r)^2 / (C - j), for the best whole j. It tends to the steady P / 2C.

m answers that grow in one bucket at once share its calls, so each has m times the gaps. Where posts have a bucket of
their own, answer number i cannot be seen before its post may leave.
"""

from __future__ import annotations

from core.ports import Rate


def best_mean_lag_s(duration_s: float, edits: Rate, posts: Rate, *, answers: int = 1, one_way_s: float = 0.0) -> float:
    """Return the least mean lag of a character, in seconds, over *answers* equal answers that begin at once.

    Args:
        duration_s: From an answer's first character to its last.
        one_way_s: Network latency; a surface takes one call at a time, so a round trip lies between two writes.
    """
    total = 0.0
    for number in range(answers):
        posted_at = number // posts.capacity * posts.per_s
        unseen_s = min(posted_at, duration_s)
        waiting = (posted_at - unseen_s / 2) * unseen_s / duration_s
        rest_s = duration_s - unseen_s
        growing = _growing(rest_s, edits, answers, one_way_s) * rest_s / duration_s if rest_s > 1e-6 else 0.0
        total += waiting + growing + one_way_s
    return total / answers


def _growing(duration_s: float, edits: Rate, answers: int, one_way_s: float) -> float:
    capacity, per_s = edits.capacity, edits.per_s
    if duration_s <= per_s:
        writes = float(capacity)
        if one_way_s:
            writes = max(1.0, min(writes, answers * duration_s / (2 * one_way_s)))
        return answers * duration_s / (2 * writes)
    periods, rest_s = divmod(duration_s, per_s)
    return (
        answers * min(_periodic(int(periods), rest_s, j, capacity, per_s) for j in range(capacity + 1)) / 2 / duration_s
    )


def _periodic(periods: int, rest_s: float, more: int, capacity: int, per_s: float) -> float:
    """Sum of squared gaps when *more* gaps of each period recur once more than the others."""
    if (more == 0 and rest_s > 1e-9) or (more == capacity and per_s - rest_s > 1e-9):
        return float("inf")
    often = (periods + 1) * rest_s**2 / more if more else 0.0
    seldom = periods * (per_s - rest_s) ** 2 / (capacity - more) if more < capacity else 0.0
    return often + seldom
