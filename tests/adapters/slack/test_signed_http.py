"""What comes to /slack/events from anybody, signed and unsigned, sense and nonsense."""

from __future__ import annotations

import json
import logging

import aiohttp
import pytest

from tests.adapters.slack.conftest import House, open_house
from tests.fakes.slack import FakeSlack, Fault

FORM = "application/x-www-form-urlencoded"
NONSENSE: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{not json", "application/json"),
    "a list": (b'[{"type": "event_callback"}]', "application/json"),
    "a number": (b"12", "application/json"),
    "null": (b"null", "application/json"),
    "nothing": (b"", "application/json"),
    "no UTF-8": (b'{"type": "\xff"}', "application/json"),
    "deep": (b"[" * 100_000, "application/json"),
    "deep inside": (b'{"event": ' + b"[" * 100_000, "application/json"),
    "a payload that is no JSON": (b"payload=hello", FORM),
    "a payload that is a list": (b"payload=%5B%5D", FORM),
    "a payload that is null": (b"payload=null", FORM),
    "a thousand fields": (b"&".join(b"a%d=1" % n for n in range(1_000)), FORM),
    "authorizations that are numbers": (b'{"authorizations": [1], "event": {}}', "application/json"),
    "an event that is a list": (b'{"type": "event_callback", "event": [1]}', "application/json"),
    "a team that is a number": (b'{"type": "block_actions", "team": 5, "user": [], "actions": 7}', "application/json"),
    "an own charset": (b"{not json", "application/json; charset=nonsense"),
}  # fmt: skip


async def post(house: House, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(house.slack.deliveries.target, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def signed(slack: FakeSlack, body: bytes) -> dict[str, str]:
    return slack.deliveries.signed(body)


@pytest.mark.parametrize("kind", NONSENSE)
async def test_signed_nonsense_is_a_400(slack: FakeSlack, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is signed but makes no request of Slack's is refused with one line, and one line stands in the log."""
    caplog.set_level(logging.INFO)
    body, content_type = NONSENSE[kind]
    async with open_house(slack, "http") as house:
        caplog.clear()
        status, text = await post(house, body, {"Content-Type": content_type, **signed(slack, body)})

        lines = [record for record in caplog.records if record.name.startswith(("adapters", "slack"))]
        assert status == 400
        assert text.count("\n") <= 1
        assert len(lines) <= 1
        assert all(record.exc_info is None for record in lines)
        assert house.intake.accepted == []


@pytest.mark.parametrize("kind", NONSENSE)
async def test_unsigned_nonsense_is_not_even_read(
    slack: FakeSlack, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a signature the body is nobody's: 401 and no traceback, whatever it holds."""
    caplog.set_level(logging.INFO)
    body, content_type = NONSENSE[kind]
    async with open_house(slack, "http") as house:
        assert (await post(house, body, {"Content-Type": content_type}))[0] == 401
        assert "Traceback" not in caplog.text


@pytest.mark.parametrize("stamp", ["nan", "inf", "-1", "", "1e9", "٣٣٣", "9" * 400, "0x10"])
async def test_a_timestamp_that_is_no_moment(slack: FakeSlack, stamp: str, caplog: pytest.LogCaptureFixture) -> None:
    """A stamp that is no whole number of seconds is refused like any other that is too old."""
    async with open_house(slack, "http") as house:
        headers = signed(slack, b"{}") | {"X-Slack-Request-Timestamp": stamp}

        assert (await post(house, b"{}", headers))[0] == 401
        assert "Traceback" not in caplog.text


async def test_a_body_above_what_slack_sends(slack: FakeSlack) -> None:
    """Nobody fills the memory: above a mebibyte it is a 413, signed or not."""
    async with open_house(slack, "http") as house:
        body = b'{"a": "' + b"a" * 2**20 + b'"}'

        assert (await post(house, body, signed(slack, body)))[0] == 413


async def test_refusals_are_told_once_a_minute(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred unsigned requests are one line, with their number in the next minute's."""
    async with open_house(slack, "http") as house:
        for _ in range(100):
            await post(house, b"{}", {})
        first = caplog.text.count("was refused")
        await house.clock.sleep(61)
        await post(house, b"{}", {})

        assert (first, caplog.text.count("was refused")) == (1, 2)
        assert "101 so far" in caplog.text


async def test_a_wrong_secret_is_told(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """Where every delivery's signature differs the secret is wrong: the log and /readyz name it."""
    async with open_house(slack, "http", signing_secret="somebody else's") as house:
        await house.slack.event({"type": "app_mention", "user": "U1", "text": "hi"}).over()

        health = house.adapter.health()
        assert health.state == "down"
        assert "SLACK_SIGNING_SECRET" in health.detail
        assert "SLACK_SIGNING_SECRET" in caplog.text
        assert "under Basic Information" in caplog.text


async def test_forged_requests_do_not_make_a_good_secret_bad(slack: FakeSlack) -> None:
    """Once a signature was good, whatever is refused afterwards is somebody else's."""
    async with open_house(slack, "http") as house:
        await house.asked()
        headers = slack.deliveries.signed("{}", secret="guessed")

        assert (await post(house, b"{}", headers))[0] == 401
        assert house.adapter.health().state == "connected"


async def test_a_delivery_that_waits_for_slack_is_one_line(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal to acknowledge that is meant is no error: one line, no traceback, and Slack delivers it again."""
    body = json.dumps(slack.envelope({
        "type": "message", "channel": "C1", "channel_type": "channel", "ts": "1800000000.000500", "user": "U1",
        "text": "<@U0TERN> hi",
    })).encode()  # fmt: skip
    async with open_house(slack, "http") as house:
        slack.fault("users.info", *[Fault(delay_s=30)] * 2)
        status, _ = await post(house, body, signed(slack, body) | {"Content-Type": "application/json"})

        assert status == 503
        assert "Traceback" not in caplog.text
        assert [record.levelname for record in caplog.records if "come again" in record.message] == ["WARNING"]


@pytest.mark.parametrize("deleted_ts", [None, "", "yesterday", 12, "1.5", "nan", ["1800000000.000100"]])
async def test_a_deletion_without_a_moment(slack: FakeSlack, deleted_ts: object) -> None:
    """message_deleted that does not say what was deleted is acknowledged and left alone."""
    async with open_house(slack, "http") as house:
        event = {"type": "message", "subtype": "message_deleted", "channel": "C1", "deleted_ts": deleted_ts}
        delivery = await house.slack.event(event).over()

        assert delivery.answers == [200]
        assert house.intake.withdrawn == []
