"""Rules of time: zones, clock changes, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.errors import BadRequest
from core.domain.schedules import Rule
from core.schedules.recurrence import checked, next_time, next_times

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC).timestamp()


def local(at: float, zone: ZoneInfo = BERLIN) -> str:
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M %z}"


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("rule", "after", "times"),
    [
        (Rule("Europe/Berlin", at="2026-12-08T09:00"), "2026-12-01T12:00Z", ["2026-12-08 09:00 +0100"]),
        (Rule("Europe/Berlin", at="2026-11-08T09:00"), "2026-12-01T12:00Z", []),
        (Rule("Europe/Berlin", at="2027-03-28T02:30"), "2026-12-01T12:00Z", ["2027-03-28 03:00 +0200"]),
        (Rule("Europe/Berlin", at="2027-10-31T02:30"), "2026-12-01T12:00Z", ["2027-10-31 02:30 +0200"]),
        (
            Rule("Europe/Berlin", cron="30 8 * * 1-5"),
            "2026-12-04T12:00Z",
            ["2026-12-07 08:30 +0100", "2026-12-08 08:30 +0100", "2026-12-09 08:30 +0100"],
        ),
        (
            Rule("Europe/Berlin", cron="30 2 * * *"),
            "2027-03-26T12:00Z",
            ["2027-03-27 02:30 +0100", "2027-03-28 03:00 +0200", "2027-03-29 02:30 +0200"],
        ),
        (
            Rule("Europe/Berlin", cron="30 2 * * *"),
            "2027-10-29T12:00Z",
            ["2027-10-30 02:30 +0200", "2027-10-31 02:30 +0200", "2027-11-01 02:30 +0100"],
        ),
    ],
)
def test_times(rule: Rule, after: str, times: list[str]) -> None:
    """Local time is kept across clock changes; a skipped time fires after the gap, a repeated one once."""
    assert [local(moment) for moment in next_times(rule, at(after))] == times


@pytest.mark.parametrize(
    "rule",
    [
        Rule("Europe/Berlin", at="2026-11-30T09:00"),
        Rule("Europe/Berlin", at="2099-11-30T09:00"),
        Rule("Europe/Berlin", at="tomorrow"),
        Rule("Europe/Berlin", at="9999-12-31T23:59"),
        Rule("Nowhere/Land", at="2026-12-30T09:00"),
        Rule("../../etc/passwd", at="2026-12-30T09:00"),
        Rule("UTC", cron="* * * * *"),
        Rule("UTC", cron="* * * * * *"),
        Rule("UTC", cron="*/5 9 * * *"),
        Rule("UTC", cron="0 0 31 2 *"),
        Rule("UTC", cron="every day"),
        Rule("UTC", cron=""),
    ],
)
def test_what_cannot_be_kept_is_refused(rule: Rule) -> None:
    """The past, the far future, no such time or zone, and too often: our own error each."""
    with pytest.raises(BadRequest):
        checked(rule, NOW)


@given(
    st.sampled_from(["0 9 * * *", "30 2 * * *", "0 * * * *", "15 3 1 * *", "45 23 * * 7"]),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
    st.floats(1.7e9, 1.9e9),
)
def test_times_only_grow(cron: str, zone: str, after: float) -> None:
    """Asking again from each answer walks the same times, never standing, never going back."""
    rule = Rule(zone, cron=cron)
    walked, moment = [], after
    for _ in range(5):
        found = next_time(rule, moment)
        assert found is not None
        assert found > moment
        walked.append(found)
        moment = found

    assert tuple(walked) == next_times(rule, after, 5)
