"""What Slack does not let the app do turns one ability off, and only that."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from slack_sdk.errors import SlackApiError

from adapters.slack.failures import translate
from core.domain.errors import SurfaceBusy, SurfaceGone, SurfaceRejected
from tests.adapters.slack.conftest import House, in_pieces, open_house
from tests.fakes.slack import FakeSlack, Fault, Place

DENIED = ["missing_scope", "no_permission", "not_allowed_token_type", "access_denied", "ekm_access_denied"]


async def whispered(house: House, user: str = "U1") -> str:
    await house.settle()
    return "\n".join(message.shown for message in house.slack.whispers(user))


async def test_an_export_without_files_write(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Without files:write an export says which right is missing; everything else works, and the log names the scope."""
    house.slack.scopes -= {"files:write"}

    await house.slack.command("U1", "export").over()

    assert "not allowed to send files" in await whispered(house)
    assert "files:write" in await whispered(house)
    assert "needs files:write" in caplog.text
    health = house.adapter.health()
    assert (health.state, health.detail) == ("connected", "may not send files (needs files:write)")
    await house.answer(await house.asked(), ["Still ", "here."])
    assert house.slack.answers()[0].shown == "Still here."

    house.slack.scopes.add("files:write")
    await house.slack.command("U1", "export").over()
    await house.settle()
    assert house.adapter.health().detail == ""


@pytest.mark.parametrize("code", DENIED)
@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "conversations.replies", "users.info"])
async def test_no_right_is_worth_the_whole_platform(slack: FakeSlack, method: str, code: str) -> None:
    """Whichever word Slack has for a missing right, the adapter stays connected."""
    async with open_house(slack, allow_guests=True, allow_external=True) as house:
        slack.fault(method, Fault(error=code))
        await slack.command("U1", "export").over()
        root = await house.asked()
        slack.say("U2", "<@U0TERN> and?", thread=root.message_id)
        await house.settle()
        await house.adapter.context(house.intake.accepted[-1])

        assert house.adapter.health().state == "connected"


@pytest.mark.parametrize("code", ["token_revoked", "invalid_auth", "account_inactive", "token_expired", "not_authed"])
async def test_a_refused_token_is_down_until_a_call_succeeds(house: House, code: str) -> None:
    """A token that Slack refuses is "down"; the same token taken again is good again."""
    house.slack.fault("chat.postEphemeral", Fault(error=code))
    house.intake.refuse = "Not now."
    house.slack.say("U1", "<@U0TERN> hello")
    await house.settle()
    assert (house.adapter.health().state, house.adapter.health().detail) == ("down", f"token refused ({code})")

    house.intake.refuse = ""
    await house.answer(await house.asked(user="U2"), ["Back."])
    assert house.adapter.health().state == "connected"


async def test_an_unknown_method_is_tried_once_an_hour(slack: FakeSlack) -> None:
    """A status line that Slack does not know is tried once, not twice an answer for ever."""
    slack.absent_methods |= {"assistant.threads.setStatus", "agents.sessions.setStatus", "chat.startStream"}
    async with open_house(slack) as house:
        for channel in ("C1", "D1", "C1", "D1"):
            incoming = await house.asked(channel=channel)
            surface = await house.adapter.surface(incoming, house.intake.reply_of(incoming.message_id), None)
            await surface.busy(True)
            await surface.close()
            await house.answer(incoming, in_pieces("word " * 20), every_s=0.5)

        assert slack.count("assistant.threads.setStatus") == 1
        assert slack.count("agents.sessions.setStatus") == 1
        assert slack.count("chat.startStream") == 1

        await house.clock.sleep(3_601)
        await house.answer(await house.asked(channel="D1"), in_pieces("word " * 20), every_s=0.5)
        assert slack.count("chat.startStream") == 2


@pytest.mark.parametrize(
    ("status", "kind", "unsure"),
    [
        (400, SurfaceRejected, None), (413, SurfaceRejected, None), (422, SurfaceRejected, None),
        (403, SurfaceBusy, False), (404, SurfaceBusy, False), (407, SurfaceBusy, False), (408, SurfaceBusy, False),
        (429, SurfaceBusy, False), (500, SurfaceBusy, True), (502, SurfaceBusy, True), (200, SurfaceBusy, True),
    ],
)  # fmt: skip
def test_a_status_without_a_word_of_slacks(status: int, kind: type[Exception], unsure: bool | None) -> None:
    """A refusal before Slack read the call is sure: nothing was done. Only what may have been done is unsure."""
    error = SlackApiError("", SimpleNamespace(status_code=status, data="<html>", headers={}))  # type: ignore[no-untyped-call]

    translated = translate(error)

    assert type(translated) is kind
    assert getattr(translated, "unsure", None) is unsure


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place("C5", "channel", read_only=True), "only some people may write"),
        (Place("C6", "group", archived=True), "archived"),
    ],
)
async def test_the_asker_hears_where_nothing_can_stand(house: House, place: Place, why: str) -> None:
    """A question in a read-only or archived channel is answered with a sentence in the asker's direct messages."""
    house.slack.place(place)
    incoming = await house.asked(channel=place.id)

    record = await house.answer(incoming, ["Hello."])
    await house.settle()
    await house.answer(incoming, ["Hello."])
    await house.settle()

    (said,) = house.slack.answers("DU1")
    assert why in said.text
    assert record.outcome == SurfaceGone.__name__
