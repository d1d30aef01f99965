"""Rules of time: from local wall time and zone to moments, across clock changes. Pure.

A time that a clock change skips fires at the first moment after the gap; one that it repeats fires once, the
first time. Recurring rules are cronsim's (Debian's cron), which does both (facts/ops-2.md 7).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from core.domain.errors import BadRequest
from core.domain.schedules import Rule

LEAST_GAP_S = 15 * 60.0
"""Between two times of one schedule: more often is a clock, not a question."""
FARTHEST_S = 2 * 366 * 86_400.0
"""How far ahead a single time may lie."""
_LOOKED_AT = 40
"""Times that are compared for the least gap; a rule that is denser only later is not noticed."""


def checked(rule: Rule, now: float) -> Rule:
    """Return *rule* where it can be kept.

    Raises:
        BadRequest: No such zone, no time in it, only times in the past, too often, or too far ahead.
    """
    zone_of(rule.zone)
    times = list(islice(_times(rule, now), _LOOKED_AT))
    if not times:
        raise BadRequest("that time has passed" if rule.at else "that time never comes")
    if times[0] - now > FARTHEST_S:
        raise BadRequest("that is more than two years ahead")
    if any(later - sooner < LEAST_GAP_S for sooner, later in pairwise(times)):
        raise BadRequest("that is too often: at most every 15 minutes")
    return rule


def next_time(rule: Rule, after: float) -> float | None:
    """The first moment of *rule* later than *after* (epoch seconds); None where there is none."""
    return next(_times(rule, after), None)


def next_times(rule: Rule, after: float, count: int = 3) -> tuple[float, ...]:
    return tuple(islice(_times(rule, after), count))


def zone_of(name: str) -> ZoneInfo:
    """Raises BadRequest for a zone that does not exist."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadRequest(f"there is no time zone {name[:40]!r}") from error


def _times(rule: Rule, after: float) -> Iterator[float]:
    zone = zone_of(rule.zone)
    if rule.at:
        once = _moment(_local(rule.at), zone)
        if once > after:
            yield once
        return
    try:
        found = CronSim(rule.cron, datetime.fromtimestamp(after, zone))
        for moment in found:
            yield moment.timestamp()
    except (CronSimError, StopIteration, OverflowError) as error:
        if isinstance(error, CronSimError):
            raise BadRequest(f"I cannot keep the rule {rule.cron[:60]!r}") from error


def _local(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None, second=0, microsecond=0)
    except ValueError as error:
        raise BadRequest(f"{text[:40]!r} is no time") from error


def _moment(local: datetime, zone: ZoneInfo) -> float:
    """Epoch seconds of a wall time. In a gap: the first moment after it; where it comes twice: the first."""
    try:
        moment = local.replace(tzinfo=zone, fold=0)
        back = moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        if back == local:
            return moment.timestamp()
        before, after = (local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
        gap = abs(after - before)
        start = local
        while start.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != start:
            start -= timedelta(minutes=1)
        return (start + timedelta(minutes=1) + gap).replace(tzinfo=zone).timestamp()
    except (OverflowError, ValueError) as error:
        raise BadRequest("that time is out of all bounds") from error
