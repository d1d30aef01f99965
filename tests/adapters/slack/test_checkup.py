"""What doctor says of Slack: each trouble provoked on the fake, with its sentence and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from adapters.slack.checkup import examine_slack, send_test
from adapters.slack.ids import SCOPES
from adapters.slack.settings import SlackSettings
from core.base.clock import SystemClock
from core.ports.platform import Finding
from tests.fakes.clock import LoopClock
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, FakeSlack, Fault, Place

SECRET = "0123456789abcdef0123456789abcdef"


async def looked(slack: FakeSlack, *, channels: tuple[str, ...] = (), **settings: Any) -> list[Finding]:
    given: dict[str, Any] = {"bot_token": BOT_TOKEN, "app_token": APP_TOKEN, "api_url": slack.api_url, **settings}
    return await examine_slack(SlackSettings(**given), SystemClock(), channels=channels)


async def test_all_is_well(slack: FakeSlack) -> None:
    """Token, scopes, socket and channel are fine, and nothing was posted by looking."""
    found = await looked(slack, channels=("C1",))

    assert {finding.level for finding in found} == {"ok"}
    assert [finding.subject for finding in found] == ["SLACK_BOT_TOKEN", "Slack scopes", "Slack C1", "Slack socket"]
    assert slack.count("chat.postMessage") == 0


@pytest.mark.parametrize(
    ("settings", "subject", "said"),
    [
        ({"bot_token": "xoxp-user"}, "SLACK_BOT_TOKEN", "no bot token"),
        ({"bot_token": "xapp-1-A1"}, "SLACK_BOT_TOKEN", "no bot token"),
        ({"bot_token": "xoxe.xoxb-1-abc"}, "SLACK_BOT_TOKEN", "rotates"),
        ({"app_token": BOT_TOKEN}, "SLACK_APP_TOKEN", "no app-level token"),
        ({"app_token": "", "signing_secret": "xoxb-1"}, "SLACK_SIGNING_SECRET", "does not look like one"),
        ({"app_token": "", "signing_secret": SECRET.upper()}, "SLACK_SIGNING_SECRET", "does not look like one"),
        ({"signing_secret": SECRET}, "Slack", "both set"),
        ({"bot_token": "xoxb-wrong"}, "SLACK_BOT_TOKEN", "invalid_auth"),
        ({"app_token": "xapp-wrong"}, "SLACK_APP_TOKEN", "invalid_auth"),
        ({"api_url": "http://127.0.0.1:1/api/"}, "SLACK_BOT_TOKEN", "is not taken"),
    ],
)
async def test_what_is_wrong_with_a_secret(slack: FakeSlack, settings: dict[str, Any], subject: str, said: str) -> None:
    """A secret of another kind, or one that Slack refuses, is named with where to find the right one."""
    found = [one for one in await looked(slack, **settings) if one.level != "ok" and one.subject == subject]

    assert any(said in one.text for one in found)
    assert all(one.advice for one in found)
    assert not any(token in repr(found) for token in ("xoxb-wrong", "xapp-wrong", "xoxp-user"))


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_missing_scope_is_named(slack: FakeSlack, scope: str) -> None:
    """An app that was granted less than its manifest asks for says which, and what does not work without it."""
    slack.scopes -= {scope}

    (found,) = [one for one in await looked(slack) if one.level != "ok"]

    assert found.level == "warn"
    assert f"{scope} is missing: I may not" in found.text
    assert "Reinstall" in found.advice


def _archive(slack: FakeSlack) -> None:
    slack.place(Place("C5", "channel", archived=True))


def _leave(slack: FakeSlack) -> None:
    slack.place(Place("C5", "channel", bot_is_member=False))


def _hide(slack: FakeSlack) -> None:
    slack.place(Place("C5", "group", bot_is_member=False))


@pytest.mark.parametrize(
    ("arrange", "said"),
    [(_archive, "archived"), (_leave, "not a member"), (_hide, "cannot be seen"), (lambda _: None, "cannot be seen")],
)
async def test_channels_that_tern_toml_names(slack: FakeSlack, arrange: Callable[[FakeSlack], None], said: str) -> None:
    """A configured channel in which the bot can do nothing is named."""
    arrange(slack)

    (found,) = [one for one in await looked(slack, allow_channels=frozenset({"C5"})) if one.level != "ok"]

    assert said in found.text
    assert found.advice


async def test_a_second_listener_is_named(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's process on the same app-level token takes part of the events."""
    monkeypatch.setattr(slack.deliveries, "sockets", [object()])

    (found,) = [one for one in await looked(slack) if one.level != "ok"]

    assert "1 more listen" in found.text
    slack.deliveries.sockets.clear()


async def test_a_socket_that_does_not_open(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that lets HTTPS through and no websocket is told apart from a wrong token."""
    monkeypatch.setattr(slack, "new_socket_url", lambda: f"ws://127.0.0.1:{slack._port}/nowhere")

    (found,) = [one for one in await looked(slack) if one.level != "ok"]

    assert (found.subject, found.level) == ("Slack socket", "bad")


async def test_a_clock_that_is_off(slack: FakeSlack) -> None:
    """Signatures are good for five minutes: a machine whose clock is off is told."""
    settings = SlackSettings(bot_token=BOT_TOKEN, app_token=APP_TOKEN, api_url=slack.api_url)

    (found,) = [one for one in await examine_slack(settings, LoopClock(at=1_000.0)) if one.level != "ok"]

    assert found.subject == "clock"


async def test_tokens_of_two_apps(slack: FakeSlack) -> None:
    """A bot token of one app and an app-level token of another never meet."""
    slack.valid_app_token = "xapp-1-A0OTHER-123"

    found = [one for one in await looked(slack, app_token="xapp-1-A0OTHER-123") if one.level == "bad"]

    assert "A0TERN" in found[0].text
    assert "A0OTHER" in found[0].text


@pytest.mark.parametrize("error", ["restricted_action", "not_in_channel", "missing_scope", ""])
async def test_a_test_message(slack: FakeSlack, error: str) -> None:
    """`--send` posts and takes it back, or says why people would see nothing."""
    if error:
        slack.fault("chat.postMessage", Fault(error=error))

    found = await send_test(SlackSettings(bot_token=BOT_TOKEN, app_token=APP_TOKEN, api_url=slack.api_url), "C1")

    assert found.level == ("bad" if error else "ok")
    assert slack.answers() == []
