"""Schedules in the whole house, on fake Slack: asked in words, confirmed, said in its place, listed and ended."""

from __future__ import annotations

import json
from pathlib import Path

from core.domain.incoming import UserKey
from tests.adapters.slack.test_whole_house import answered, groq, open_house, slack
from tests.bot.box import until
from tests.fakes.llm_api import FakeLlmApi, Say
from tests.fakes.slack import FakeSlack

__all__ = ["groq", "slack"]

PLAN = {"kind": "reminder", "words": "call Ann", "at": "", "cron": "0 9 * * *", "zone": "Europe/Berlin"}


async def test_a_reminder_from_words_to_its_time(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """The sentence and the next three times are shown first; nothing is kept unless its asker confirms; when the time
    comes it is said in the thread it was asked in; deleted, it is on no list."""
    groq.default = Say(json.dumps(PLAN))
    async with open_house(tmp_path, slack, groq) as box:
        question = slack.say("U1", "<@U0TERN> remind me every day at 9 to call Ann")
        await until(lambda: any("tern_confirm" in message.buttons for message in slack.answers("C1")))
        (proposal,) = slack.answers("C1")
        before = await box.app.storage.schedules.due(9e9, limit=9)
        await slack.press("U1", proposal, "tern_confirm").over()
        await answered(slack)
        (kept,) = await box.app.storage.schedules.due(9e9, limit=9)
        slack.say("U1", "<@U0TERN> run schedule 1 now", thread=question.ts)
        await until(lambda: any("Reminder" in message.shown for message in slack.answers("C1")))
        said = next(message for message in slack.answers("C1") if "Reminder" in message.shown)
        slack.say("U1", "<@U0TERN> delete schedule 1", thread=question.ts)
        await until(lambda: any("Deleted" in message.shown for message in slack.answers("C1")))
        after = await box.app.storage.schedules.due(9e9, limit=9)

    assert "call Ann" in proposal.shown
    assert "09:00" in str(proposal.history) + proposal.shown
    assert list(before) == list(after) == []
    assert (kept.words, kept.rule.zone) == ("call Ann", "Europe/Berlin")
    assert "call Ann" in said.shown
    assert said.thread == question.ts


async def test_a_time_that_cannot_be_kept_is_one_sentence(tmp_path: Path, slack: FakeSlack, groq: FakeLlmApi) -> None:
    """Every minute: refused, with the least gap named, and nothing kept."""
    groq.default = Say(json.dumps(PLAN | {"cron": "* * * * *"}))
    async with open_house(tmp_path, slack, groq) as box:
        slack.say("U1", "<@U0TERN> remind me every minute of the 9 lives")
        await until(lambda: any("15 minutes" in str(message.blocks) for message in slack.answers("C1")))
        kept = await box.app.storage.schedules.of_person(UserKey("slack", ":T1", "U1"))

    assert list(kept) == []
