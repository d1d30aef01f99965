"""Many workspaces: installing, using, uninstalling, tokens that rotate; none ever meets another."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from adapters.slack.settings import SlackSettings
from adapters.slack.workspace import keys_of, settings_for
from core.domain.errors import StorageBusy, SurfaceGone
from tests.adapters.slack.conftest import House, open_house
from tests.fakes.installations import FakeInstallations, FakePeople, FakeWorkspaceSettings
from tests.fakes.slack import FakeSlack, Fault


@asynccontextmanager
async def open_town(slack: FakeSlack, transport: str = "http", **more: Any) -> AsyncIterator[House]:
    stores = {
        "installations": more.pop("installations", None) or FakeInstallations(),
        "own_settings": more.pop("own_settings", None) or FakeWorkspaceSettings(),
        "people": FakePeople(),
    }
    async with open_house(
        slack, transport, stores=stores, bot_token="", client_id="1.2", client_secret="client-secret", **more
    ) as house:
        yield house


async def install(house: House, one: FakeSlack, *, cookie: str | None = None, state: str | None = None) -> int:
    """Somebody presses "Add to Slack" and agrees."""
    base = house.slack.deliveries.target.removesuffix("/slack/events")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async with session.get(f"{base}/slack/install", allow_redirects=False) as page:
            found = re.search(r"state=([\w-]+)", await page.text())
            assert found
            given = page.cookies["slack-app-oauth-state"].value
        params = {"code": f"code-{one.world.team}", "state": found[1] if state is None else state}
        headers = {"Cookie": f"slack-app-oauth-state={given if cookie is None else cookie}"}
        async with session.get(f"{base}/slack/oauth_redirect", params=params, headers=headers) as answer:
            return answer.status


async def ask(house: House, one: FakeSlack, text: str, user: str = "U1") -> Any:
    channel = next(iter(one.world.places))
    message = one.say(user, f"<@U0TERN> {text}", channel=channel)
    for _ in range(2_000):
        at = {"channel": channel, "message_id": message.ts}
        for incoming in house.intake.accepted:
            if (incoming.conversation.channel, incoming.message_id) == (at["channel"], at["message_id"]):
                return incoming
        await asyncio.sleep(0.01)
    raise AssertionError("not taken in")


async def answer(house: House, incoming: Any, text: str) -> None:
    await house.answer(incoming, [text])


async def test_two_hundred_workspaces_never_meet(slack: FakeSlack) -> None:
    """Each installs, asks and is answered in its own words with its own token; a fifth of them leave, and nobody else
    notices."""
    town = [slack.tenant(number) for number in range(1, 201)]
    async with open_town(slack) as house:
        for one in town:
            assert await install(house, one) == 200
        for one in town:
            incoming = await ask(house, one, f"who are we, {one.world.team}?")
            assert incoming.conversation.workspace == f":{one.world.team}"
            await answer(house, incoming, f"You are {one.world.team}.")
        for one in town[::5]:
            for delivery in one.uninstall():
                await delivery.over()
        for one in town:
            asked = len(house.intake.accepted)
            if one in town[::5]:
                one.say("U1", "<@U0TERN> still there?", channel=next(iter(one.world.places)))
                await slack.deliveries.idle()
                assert len(house.intake.accepted) == asked
            else:
                await answer(house, await ask(house, one, "and now?"), f"Still {one.world.team}.")
        assert house.adapter.health().state == "connected"

    for one in town:
        said = [message.shown for message in one.answers(next(iter(one.world.places)))]
        still = [] if one in town[::5] else [f"Still {one.world.team}."]
        assert said == [f"You are {one.world.team}.", *still]
        assert one.violations == []
        assert one.pings == []


async def test_the_other_transport(slack: FakeSlack) -> None:
    """Over a socket events of all workspaces come on the same line."""
    one, installations = slack.tenant(1), FakeInstallations()
    async with open_town(slack, installations=installations) as house:
        await install(house, one)
    async with open_town(slack, "socket", installations=installations) as house:
        await answer(house, await ask(house, one, "hello"), "Hi.")

    assert [message.shown for message in one.answers("C0001")] == ["Hi."]


@pytest.mark.parametrize(
    ("given", "status"),
    [({"state": "made-up"}, 400), ({"cookie": "another"}, 400), ({"state": "made-up", "cookie": "made-up"}, 401)],
)
async def test_an_install_that_somebody_else_began(slack: FakeSlack, given: dict[str, str], status: int) -> None:
    """Without the state that we gave this browser nothing is installed."""
    one, installations = slack.tenant(1), FakeInstallations()
    async with open_town(slack, installations=installations) as house:
        assert await install(house, one, **given) == status

    assert installations.kept == {}


async def test_an_install_that_cannot_be_stored_says_so(slack: FakeSlack) -> None:
    """A busy database is a sentence, no traceback, and the install can be tried again."""
    one, installations = slack.tenant(1), FakeInstallations()
    async with open_town(slack, installations=installations) as house:
        installations.fails = StorageBusy("locked")
        base = slack.deliveries.target.removesuffix("/slack/events")
        async with aiohttp.ClientSession() as session, session.get(f"{base}/slack/install") as page:
            assert page.status == 503
        installations.fails = None
        assert await install(house, one) == 200


async def test_an_organisation_installs_for_all_its_workspaces(slack: FakeSlack) -> None:
    """One token, no team; a workspace of it with an installation of its own keeps that one."""
    org = slack.tenant(1, enterprise="E1", org_install=True)
    own = slack.tenant(2, enterprise="E1")
    async with open_town(slack) as house:
        await install(house, org)
        await install(house, own)
        first, second = await ask(house, org, "org"), await ask(house, own, "own")
        await answer(house, first, "For all.")
        await answer(house, second, "For one.")
        assert [one.conversation.workspace for one in (first, second)] == ["E1:", "E1:T0002"]

        for delivery in org.uninstall():
            await delivery.over()
        await answer(house, await ask(house, own, "still?"), "Still.")
        with pytest.raises(SurfaceGone):
            await house.adapter.surface(first, "reply1", None)

    assert [message.shown for message in own.answers("C0002")] == ["For one.", "Still."]


async def test_an_old_uninstall_does_not_undo_a_new_install(slack: FakeSlack) -> None:
    """Slack may deliver the uninstall once more, after the app was installed anew: the new token stays."""
    one = slack.tenant(1)
    async with open_town(slack) as house:
        await install(house, one)
        one.event_time = int(house.clock.now()) + 1
        await house.clock.sleep(2)
        for delivery in one.uninstall():
            await delivery.over()
        await house.clock.sleep(10)
        await install(house, one)

        await one.event({"type": "app_uninstalled"}).over()

        await answer(house, await ask(house, one, "hello"), "Hi.")


async def test_a_user_token_that_was_revoked_is_no_uninstall(slack: FakeSlack) -> None:
    """tokens_revoked without a bot token in it leaves everything as it is."""
    one = slack.tenant(1)
    async with open_town(slack) as house:
        await install(house, one)
        one.event_time = int(house.clock.now()) + 1

        await one.event({"type": "tokens_revoked", "tokens": {"oauth": ["U1"], "bot": []}}).over()

        await answer(house, await ask(house, one, "hello"), "Hi.")


async def test_a_workspace_that_nobody_knows_is_acknowledged(slack: FakeSlack) -> None:
    """What comes from a workspace without an installation is dropped, with one line an hour."""
    one = slack.tenant(1)
    async with open_town(slack) as house:
        one.say("U1", "<@U0TERN> hello", channel="C0001")
        await slack.deliveries.idle()

        assert [delivery.acked for delivery in slack.deliveries.log] == [True, True]
        assert house.intake.accepted == []


async def test_tokens_rotate_without_a_dead_one(slack: FakeSlack) -> None:
    """Over three days of questions every refresh token is used once, and no call is refused."""
    town = [slack.tenant(number) for number in range(1, 11)]
    for one in town:
        one.rotates = True
    async with open_town(slack) as house:
        for one in town:
            await install(house, one)
        for day in range(12):
            await house.clock.sleep(6 * 3_600)
            for one in town:
                await answer(house, await ask(house, one, f"day {day}"), f"Answer {day}.")

    assert {one.refreshes for one in town} <= {6, 7}
    assert all(len(one.answers(next(iter(one.world.places)))) == 12 for one in town)


async def test_a_token_that_ended_early_is_read_again(slack: FakeSlack) -> None:
    """Slack says token_expired although the date was far: the newest token is read and the call made once more."""
    one, installations = slack.tenant(1), FakeInstallations()
    one.rotates = True
    async with open_town(slack, installations=installations) as house:
        await install(house, one)
        incoming = await ask(house, one, "hello")
        # Another process renewed it meanwhile, and Slack ended the old one.
        from dataclasses import replace

        fresh = one.new_tokens()
        installations.kept[":T0001"] = replace(
            installations.kept[":T0001"], token=fresh["access_token"], refresh_token=fresh["refresh_token"]
        )
        one.tokens[0] = (one.tokens[0][0], 0.0)
        await answer(house, incoming, "Hi.")

    assert [message.shown for message in one.answers("C0001")] == ["Hi."]


async def test_a_refresh_that_fails_is_tried_again(slack: FakeSlack) -> None:
    """While Slack is out of reach the old token serves for the rest of its hour."""
    one = slack.tenant(1)
    one.rotates = True
    async with open_town(slack) as house:
        await install(house, one)
        await house.clock.sleep(11.5 * 3_600)
        slack.fault("oauth.v2.access", *[Fault(status=503)] * 2)

        await answer(house, await ask(house, one, "hello"), "Hi.")
        await house.clock.sleep(3_600)
        await answer(house, await ask(house, one, "again"), "Hi again.")

    assert one.refreshes >= 1


async def test_a_workspaces_own_settings(slack: FakeSlack) -> None:
    """One workspace lets guests ask, the other does not."""
    own = FakeWorkspaceSettings()
    own.kept["slack", ":T0001"] = {"allow_guests": "yes"}
    first, second = slack.tenant(1), slack.tenant(2)
    async with open_town(slack, own_settings=own) as house:
        await install(house, first)
        await install(house, second)
        await ask(house, first, "may I?", user="U3")
        second.say("U3", "<@U0TERN> may I?", channel="C0002")
        await house.settle()

    assert len(house.intake.accepted) == 1


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ({"authorizations": [{"enterprise_id": None, "team_id": "T1"}], "team_id": "T9"}, (":T1",)),
        ({"authorizations": [{"enterprise_id": "E1", "team_id": None, "is_enterprise_install": True}]}, ("E1:",)),
        ({"authorizations": [{"enterprise_id": "E1", "team_id": "T1"}]}, ("E1:T1", "E1:")),
        ({"team_id": "T1", "is_enterprise_install": "false", "command": "/tern"}, (":T1",)),
        ({"team_id": "T1", "enterprise_id": "E1", "is_enterprise_install": "true"}, ("E1:", "E1:T1")),
        ({"team": {"id": "T1"}, "enterprise": None, "type": "block_actions"}, (":T1",)),
        ({"team": None, "enterprise": {"id": "E1"}, "is_enterprise_install": True}, ("E1:",)),
        ({}, ()), ({"authorizations": [3], "team": "T1"}, ()), ({"authorizations": []}, ()),
    ],
)  # fmt: skip
def test_whose_delivery_it_is(body: dict[str, Any], keys: tuple[str, ...]) -> None:
    """The installation is named by `authorizations`, else by the payload; an organisation's has no team."""
    assert keys_of(body) == keys


def test_settings_that_make_no_sense_change_nothing() -> None:
    """What a workspace's row holds is looked at before it counts."""
    settings = SlackSettings(bot_token="x", app_token="y")

    assert settings_for(settings, {"thread_follow_ups": "nobody", "allow_guests": "maybe", "other": "x"}) == settings
    assert settings_for(settings, {"allow_users": "U1 U2"}).allow_users == {"U1", "U2"}


async def test_names_outlive_a_restart(slack: FakeSlack) -> None:
    """What Slack said of people before a restart is not asked again."""
    people = FakePeople()
    async with open_house(slack, stores={"people": people}) as house:
        await house.asked()
    before = slack.count("users.info")
    async with open_house(slack, stores={"people": people}) as house:
        incoming = await house.asked()

    assert before == slack.count("users.info") == 1
    assert incoming.speaker == "Ada"


async def test_an_unlisted_app_reads_once_a_minute(slack: FakeSlack) -> None:
    """Distributed outside the Marketplace: no back-fill, no thread is read that nobody asks about, and those that are
    asked about take their turns, a minute apart."""
    slack.page_size = 15
    async with open_house(slack, distribution="unlisted") as house:
        root = slack.say("U2", "We need a name")
        for text in ("<@U0TERN> what do you think?", "<@U0TERN>", "<@U0TERN>"):
            slack.say("U1", text, thread=root.ts)
        await house.settle()
        plain, *bare = house.intake.accepted

        assert await house.adapter.context(plain) == ()
        for incoming in bare:
            assert await house.adapter.context(incoming)

    reads = [at for method, _, at in slack.calls if method in ("conversations.replies", "conversations.history")]
    assert len(reads) == 2
    assert reads[1] - reads[0] >= 60.0
