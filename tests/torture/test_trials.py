"""The trials themselves, small: everything holds under trouble, and what is broken on purpose is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.discord.surface import ChannelSurface
from adapters.slack.surface import EditedSurface
from core.domain.requests import RequestRecord
from core.observers.usage import UsageObserver
from tests.torture.crashes import run_crashes
from tests.torture.load import run_load
from tests.torture.plan import CALM, Plan, Troubles, answer_text, mark
from tests.torture.trial import run_trial


def test_everything_holds_under_trouble() -> None:
    """Faults of models, platforms, sockets and clocks at once: no invariant breaks."""
    report = run_trial(11, 40, people=20, troubles=Troubles(platform_every_s=1.0, socket_every_s=15.0), level="debug")

    assert report.broken == ()
    assert report.messages >= 40
    assert len(report.faults) > 10


def test_nothing_lost_to_kills() -> None:
    """Processes that die over one database lose nothing and double nothing."""
    report = run_crashes(3, 3)

    assert report.broken == ()
    assert report.kills == 3


def test_crowd_past_the_queues_bound_is_heard() -> None:
    """More people than may wait: each is answered in turn or told so, nobody is asked to wait by the platforms."""
    found = run_load(2, 40, 12.0, concurrency=2, queue=4)

    assert found["broken"] == []
    assert found["figures"]["refused with a sentence"] > 10
    assert found["figures"]["questions answered"] > 40


def test_plan_is_its_seed() -> None:
    """The same seed plans the same faults for the same questions; another seed plans others."""
    body = {"model": "m", "messages": [{"role": "user", "content": f"{mark(7)} what is a tern?"}]}

    def planned(seed: int) -> list[str]:
        plan = Plan(seed)
        return [repr(plan.script(body)) for _ in range(20)]

    assert planned(1) == planned(1)
    assert planned(1) != planned(2)
    assert answer_text(1, 7) == answer_text(1, 7) != answer_text(1, 8)


def _planted_break(expected: str) -> None:
    report = run_trial(5, 12, people=6, troubles=CALM)

    assert any(line.startswith(expected) for line in report.broken), report.broken


def test_planted_doubling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A surface that posts each page twice breaks the trial."""
    post = ChannelSurface.post

    async def twice(self: ChannelSurface, page: int, shown: Any, nonce: str) -> str:
        await post(self, page, shown, nonce + "x")
        return await post(self, page, shown, nonce)

    monkeypatch.setattr(ChannelSurface, "post", twice)

    _planted_break("nothing_doubled: discord")


def test_planted_lost_words_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply whose last edit never goes out breaks the trial."""
    edit = EditedSurface.edit

    async def forgetful(self: EditedSurface, ref: str, page: int, shown: Any) -> None:
        if not shown.final:
            await edit(self, ref, page, shown)

    monkeypatch.setattr(EditedSurface, "edit", forgetful)

    _planted_break("one_end_each: slack")


def test_planted_costs_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booking a request under twice its cost breaks the trial."""
    request = UsageObserver.request

    def dearer(self: UsageObserver, record: RequestRecord) -> None:
        request(self, replace(record, usage=replace(record.usage, cost_usd=2 * record.usage.cost_usd)))

    monkeypatch.setattr(UsageObserver, "request", dearer)

    _planted_break("usage_is_true:")
