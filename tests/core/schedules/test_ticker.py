"""What is due goes into the inbox once, through kills, pauses, refusals and clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from core.domain.errors import StorageBusy
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.domain.schedules import Rule, Schedule
from core.ports.platform import Receipt
from core.schedules.recurrence import next_time
from core.schedules.ticker import AT_ONCE, GRACE_S, LATE_S, Ticker
from tests.fakes.clock import FakeClock

ANN = UserKey("slack", ":T1", "U1")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")
RULES = ("30 8 * * 1-5", "30 2 * * *", "0 9 1 * *", "15 */6 * * *", "45 23 * * 7")


class Killed(BaseException):
    """The process is gone at this very place."""


@dataclass
class Rows:
    """The schedule store's promises, in memory; *dies* says where the process is killed."""

    kept: dict[str, Schedule] = field(default_factory=dict)
    dies: bool = False

    async def due(self, now: float, *, limit: int) -> Sequence[Schedule]:
        found = [one for one in self.kept.values() if one.state == "active" and (one.next_at or 0) <= now]
        return sorted(found, key=lambda one: (one.next_at or 0, one.id))[:limit]

    async def moved(self, schedule: Schedule, *, was: float) -> None:
        if self.dies:
            raise Killed
        here = self.kept[schedule.id]
        if here.state == "active" and here.next_at == was:
            self.kept[schedule.id] = replace(schedule, last_at=schedule.last_at or here.last_at)


@dataclass
class Door:
    """The inbox's door: an id is taken once."""

    taken: list[str] = field(default_factory=list)
    messages: list[Incoming] = field(default_factory=list)
    full: bool = False
    broken: bool = False

    async def accept(self, incoming: Incoming) -> Receipt:
        if self.broken:
            raise StorageBusy("busy")
        if self.full:
            return Receipt("refused", sentence="The queue is full.")
        if incoming.message_id in self.taken:
            return Receipt("duplicate")
        self.taken.append(incoming.message_id)
        self.messages.append(incoming)
        return Receipt("accepted")


def schedule(name: str, rule: Rule, now: float, kind: str = "question") -> Schedule:
    origin = Incoming("1.1", "E1", ANN, ConversationKey("slack", ":T1", "C1", "1.1"), "asked", now, direct=False)
    return Schedule(name, origin, kind, "what happened?", rule, "active", next_time(rule, now), now)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_kills_and_two_tickers() -> None:
    """100 schedules in five zones over three weeks, 50 kills between accepting and moving on, two processes: each due
    time is in the inbox exactly once. (`python -m tests.torture.schedules` does so with 1,000 over a year.)"""
    await trial(schedules=100, days=21, kills_wanted=50)


async def trial(*, schedules: int, days: int, kills_wanted: int) -> int:
    """Returns how many times came due."""
    clock, random, rows, door = FakeClock(), Random(7), Rows(), Door()
    start = clock.now()
    for number in range(schedules):
        rule = Rule(ZONES[number % 5], cron=RULES[number // 5 % 5])
        if number % 10 == 9:
            rule = Rule(rule.zone, at=f"2030-0{1 + number % 9}-1{number % 9}T02:30")
        rows.kept[f"s{number}"] = schedule(f"s{number}", rule, start)
    sooner = min(one.next_at for one in rows.kept.values() if one.next_at)
    clock.jump(sooner - clock.now())
    begin = clock.now()
    owed = {
        f"schedule:{name}:{int(at)}"
        for name, one in rows.kept.items()
        for at in _times(one, until=begin + days * 86_400.0)
    }
    tickers = [Ticker(rows, door.accept, clock) for _ in range(2)]  # type: ignore[arg-type] # only what a ticker uses
    kills = 0
    while clock.now() <= begin + days * 86_400.0:
        rows.dies = kills < kills_wanted and random.random() < 0.3
        try:
            while await tickers[random.randrange(2)].look():
                pass
        except Killed:
            kills += 1
            rows.dies = False
            continue
        following = min((one.next_at for one in rows.kept.values() if one.next_at), default=None)
        if following is None:
            break
        clock.jump(max(following - clock.now(), 1.0))

    assert kills == kills_wanted
    assert len(door.taken) == len(set(door.taken))
    assert owed <= set(door.taken)
    return len(owed)


def _times(one: Schedule, *, until: float) -> list[float]:
    found, at = [], one.next_at
    while at is not None and at <= until:
        found.append(at)
        at = None if one.rule.at else next_time(one.rule, at)
    return found


async def test_a_crowd_due_at_once_is_paced_and_in_order(clock: FakeClock) -> None:
    """A thousand due in one minute: at most AT_ONCE a look, the longest overdue first, none lost."""
    rows, door = Rows(), Door()
    rule = Rule("UTC", cron="0 9 * * *")
    for number in range(1_000):
        rows.kept[f"s{number:05}"] = schedule(f"s{number:05}", rule, clock.now())
    clock.jump((rows.kept["s00000"].next_at or 0.0) - clock.now())
    ticker = Ticker(rows, door.accept, clock)  # type: ignore[arg-type]

    looks = 0
    while went := await ticker.look():
        assert went <= AT_ONCE
        looks += 1

    assert looks == 50
    assert [name.split(":")[1] for name in door.taken] == sorted(rows.kept)


@pytest.mark.parametrize(("full", "broken"), [(True, False), (False, True)])
async def test_what_the_inbox_cannot_take_stays_due(clock: FakeClock, full: bool, broken: bool) -> None:
    """A full queue or a busy database puts it off; it is not lost."""
    rows, door = Rows(), Door(full=full, broken=broken)
    rows.kept["s"] = schedule("s", Rule("UTC", cron="0 9 * * *"), clock.now())
    clock.jump((rows.kept["s"].next_at or 0.0) - clock.now())
    ticker = Ticker(rows, door.accept, clock)  # type: ignore[arg-type]
    if broken:
        with pytest.raises(StorageBusy):
            await ticker.look()
    else:
        await ticker.look()
    door.full = door.broken = False

    await ticker.look()

    assert len(door.taken) == 1


async def test_times_missed_while_down_run_once(clock: FakeClock) -> None:
    """After three days the newest missed time stands for all, and says when it was due; then it goes on as before."""
    rows, door = Rows(), Door()
    rule = Rule("UTC", cron="0 9 * * *")
    rows.kept["s"] = schedule("s", rule, clock.now())
    first = rows.kept["s"].next_at or 0.0
    clock.jump(first + 3 * 86_400.0 + LATE_S + 60.0 - clock.now())

    await Ticker(rows, door.accept, clock).look()  # type: ignore[arg-type]

    assert door.taken == [f"schedule:s:{int(first + 3 * 86_400.0)}"]
    assert "late" in door.messages[0].text
    assert rows.kept["s"].next_at == first + 4 * 86_400.0


async def test_what_recurs_is_passed_over_when_it_is_too_old(clock: FakeClock) -> None:
    """A monthly question from half a month ago is not asked now; a single reminder is said however late."""
    rows, door = Rows(), Door()
    rows.kept["m"] = schedule("m", Rule("UTC", cron="0 9 1 * *"), clock.now())
    due = rows.kept["m"].next_at or 0.0
    clock.jump(due + GRACE_S + 60.0 - clock.now())
    rows.kept["o"] = replace(schedule("o", Rule("UTC", at="2099-01-01T00:00"), clock.now(), "reminder"), next_at=due)

    await Ticker(rows, door.accept, clock).look()  # type: ignore[arg-type]

    assert [(one.message_id.split(":")[1], one.action) for one in door.messages] == [("o", "remind")]
    assert rows.kept["o"].state == "ended"
    assert rows.kept["m"].state == "active"
