"""Life of the adapter: tokens, signatures, reconnecting, back-fill, closing, health."""

from __future__ import annotations

import asyncio
import gc
import json
import logging

import aiohttp
import pytest

from core.domain.errors import SettingsError, StorageBusy, SurfaceBusy
from core.domain.incoming import ConversationKey, Incoming, UserKey
from tests.adapters.slack.conftest import House, Notes, in_pieces, open_house
from tests.fakes.desk import FakeIntake
from tests.fakes.slack import SIGNING_SECRET, FakeSlack, Fault

# --- tokens ---


async def test_a_refused_bot_token_is_said_plainly(slack: FakeSlack) -> None:
    """A wrong token ends the run at once with what to do; nothing loops."""
    async with open_house(slack, bot_token="xoxb-wrong", ready=False) as house:
        with pytest.raises(SettingsError, match=r"SLACK_BOT_TOKEN.*invalid_auth"):
            await house.task

        assert house.adapter.health().state == "down"
        assert slack.count("auth.test") == 1


async def test_a_revoked_app_token_is_noticed_at_the_start(slack: FakeSlack) -> None:
    """The SDK would ask for a socket for ever; the adapter says what is wrong."""
    slack.token_error = "token_revoked"
    async with open_house(slack, app_token="xapp-wrong", ready=False) as house:
        with pytest.raises(SettingsError, match="SLACK_APP_TOKEN"):
            await house.task

    assert slack.count("apps.connections.open") == 1


async def test_an_app_token_revoked_while_connected_ends_the_run(slack: FakeSlack) -> None:
    """When the socket dies and the token with it, the run ends instead of trying for ever."""
    async with open_house(slack) as house:
        slack.valid_app_token = "xapp-other"
        await slack.deliveries.cut()

        with pytest.raises(SettingsError, match="SLACK_APP_TOKEN"):
            await house.task


async def test_slack_out_of_reach_is_busy(slack: FakeSlack) -> None:
    """Without an answer to auth.test the supervisor starts the adapter again later."""
    slack.fault("auth.test", *[Fault(drop=True)] * 4)
    async with open_house(slack, ready=False) as house:
        with pytest.raises(SurfaceBusy):
            await house.task


@pytest.mark.parametrize(
    "event", [{"type": "app_uninstalled"}, {"type": "tokens_revoked", "tokens": {"bot": ["U0TERN"]}}]
)
async def test_an_uninstalled_app_says_so(house: House, event: dict[str, object]) -> None:
    """Whoever removes the app ends the run with a sentence for the operator."""
    await house.slack.event(event).over()

    with pytest.raises(SettingsError, match="install the app again"):
        await house.task


async def test_missing_scopes_are_named(slack: FakeSlack, caplog: pytest.LogCaptureFixture) -> None:
    """An app that was installed before a scope was added says which one, and works as far as it can."""
    slack.scopes -= {"files:read", "users:read"}

    async with open_house(slack):
        assert "files:read, users:read" in caplog.text


async def test_oauth_variables_of_other_apps_change_nothing(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bolt would turn to OAuth installation by itself where it sees a client id in the environment."""
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "secret")

    async with open_house(slack) as house:
        assert await house.asked()


async def test_the_proxy_is_used(slack: FakeSlack) -> None:
    """Every call goes through the proxy; names are not even looked up here."""
    async with open_house(slack, "http", api_url="http://slack.invalid/api/", proxy=slack.origin) as house:
        await house.answer(await house.asked(), ["Through ", "the proxy."])

    assert slack.answers()[0].shown == "Through the proxy."


# --- signed HTTP ---


async def post(house: House, body: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json", **headers}
        async with session.post(house.slack.deliveries.target, data=body, headers=headers) as answer:
            return answer.status


def mention(slack: FakeSlack) -> str:
    return json.dumps(slack.envelope({
        "type": "app_mention", "user": "U1", "text": "<@U0TERN> hi", "channel": "C1", "ts": "1800000000.000500"
    }))  # fmt: skip


async def test_a_signed_request_is_taken(slack: FakeSlack) -> None:
    """The control: this request, rightly signed, is a question."""
    async with open_house(slack, "http") as house:
        body = mention(slack)

        assert await post(house, body, slack.deliveries.signed(body)) == 200
        assert len(house.intake.accepted) == 1


async def test_a_replayed_request_changes_nothing(slack: FakeSlack) -> None:
    """Within its five minutes a signature is good, so whoever overheard one can send it again: no new question."""
    async with open_house(slack, "http") as house:
        body = mention(slack)
        headers = slack.deliveries.signed(body)

        assert [await post(house, body, headers) for _ in range(3)] == [200, 200, 200]
        assert len(house.intake.accepted) == 1


async def test_a_request_whose_body_never_ends_is_not_waited_for(slack: FakeSlack) -> None:
    """Who is no Slack need not sign to be slow: after ten seconds it is a 408."""
    async with open_house(slack, "http"):
        port = int(slack.deliveries.target.split(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = asyncio.get_running_loop().time()
        writer.write(b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")

        assert b" 408 " in await reader.readline()
        assert asyncio.get_running_loop().time() - began < 15
        writer.transport.abort()


@pytest.mark.parametrize("kind", ["unsigned", "forged", "stale", "future", "for another body"])
async def test_other_requests_are_refused(slack: FakeSlack, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Unsigned, forged, stale or borrowed signatures get a 401, and the body is in no log."""
    caplog.set_level(logging.INFO)
    async with open_house(slack, "http") as house:
        body, sign = mention(slack), slack.deliveries.signed
        headers = {
            "unsigned": {},
            "forged": sign(body, secret=SIGNING_SECRET[::-1]),
            "stale": sign(body, age_s=400),
            "future": sign(body, age_s=-400),
            "for another body": sign(body.replace("hi", "ho")),
        }[kind]

        assert await post(house, body, headers) == 401
        assert house.intake.accepted == []
        assert "<@U0TERN> hi" not in caplog.text


async def test_the_url_verification_is_answered(slack: FakeSlack) -> None:
    """Slack checks the address once when it is entered."""
    async with open_house(slack, "http") as house, aiohttp.ClientSession() as session:
        body = json.dumps({"type": "url_verification", "challenge": "c1", "token": "t"})
        headers = {"Content-Type": "application/json", **slack.deliveries.signed(body)}
        async with session.post(slack.deliveries.target, data=body, headers=headers) as answer:
            assert await answer.json() == {"challenge": "c1"}
        assert not house.task.done()


async def test_socket_mode_has_no_routes(slack: FakeSlack) -> None:
    """With an app token nothing listens on a port."""
    async with open_house(slack) as house:
        assert house.adapter.routes() == []


# --- Socket Mode ---


async def test_a_disconnect_frame_opens_a_new_socket(slack: FakeSlack) -> None:
    """Slack renews sockets every few hours; nothing is lost."""
    async with open_house(slack) as house:
        await slack.deliveries.disconnect()
        incoming = await house.asked()

        assert incoming.text == "hello"
        assert slack.deliveries.socket_count == 2


async def test_a_socket_cut_in_mid_answer(slack: FakeSlack) -> None:
    """The answer goes on over the Web API, the socket comes back, and what was sent meanwhile is redelivered."""
    async with open_house(slack) as house:
        incoming = await house.asked()
        answering = asyncio.ensure_future(house.answer(incoming, in_pieces("word " * 60), every_s=0.3))
        while not slack.answers():
            await house.clock.sleep(0.1)

        await slack.deliveries.cut()
        missed = await house.asked("<@U0TERN> and this?")
        await answering

        assert slack.answers(thread=incoming.message_id)[0].shown == ("word " * 60).strip()
        assert missed.text == "and this?"


async def test_a_socket_that_stays_dead_is_replaced(slack: FakeSlack) -> None:
    """When the SDK's own reconnecting fails for a while, a new socket is opened, with the session kept."""
    async with open_house(slack) as house:
        slack.fault("apps.connections.open", *[Fault(error="internal_error")] * 12)
        await slack.deliveries.cut()

        incoming = await house.asked()

        assert incoming.text == "hello"


async def test_a_dead_socket_is_known_within_half_a_minute(slack: FakeSlack) -> None:
    """While no new socket is to be had, /readyz says so within thirty seconds, and again when one is open."""
    async with open_house(slack) as house:
        slack.fault("apps.connections.open", *[Fault(error="internal_error")] * 5)
        await slack.deliveries.cut()

        await house.clock.sleep(29)
        assert (house.adapter.health().state, house.adapter.health().detail) == ("down", "no socket")

        await house.clock.sleep(60)
        assert house.adapter.health().state == "connected"


@pytest.mark.parametrize("cancels", [1, 2])
async def test_no_session_stays_open_after_a_stop(
    slack: FakeSlack, caplog: pytest.LogCaptureFixture, cancels: int
) -> None:
    """A stop, even an impatient one, leaves no "Unclosed client session" behind; here Slack does not say goodbye."""
    gc.collect()
    async with open_house(slack) as house:
        slack.deliveries.deaf = True
        for _ in range(cancels):
            house.task.cancel()
            await asyncio.sleep(0.1)
        _, still_running = await asyncio.wait({house.task}, timeout=60)
        assert not still_running

    del house
    gc.collect()
    assert "Unclosed" not in caplog.text


# --- back-fill ---


async def test_a_socket_that_never_opens_is_not_waited_for(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake that nobody answers ends in half a minute; the supervisor tries again."""
    silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(3_600), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    monkeypatch.setattr(slack, "new_socket_url", lambda: f"ws://127.0.0.1:{port}/socket/1")
    began = asyncio.get_running_loop().time()

    with pytest.raises(SurfaceBusy, match="does not open"):
        async with open_house(slack, ready=False) as house:
            await house.task

    assert asyncio.get_running_loop().time() - began < 60
    silent.close()


async def test_missed_messages_in_known_threads_are_answered_once(slack: FakeSlack) -> None:
    """What was written while the bot was away, and never redelivered, is read from its threads."""
    notes = Notes()
    async with open_house(slack, notes=notes) as house:
        root, intake = await house.asked(), house.intake
    for text in ("first missed", "second missed"):
        slack.say("U1", text, thread=root.message_id, silently=True)
    slack.say("U2", "<@U1> not for the bot", thread=root.message_id, silently=True)

    for _ in range(2):
        intake_now = recent(intake)
        async with open_house(slack, intake=intake_now, notes=notes) as house:
            await house.clock.sleep(60)

    assert [incoming.text for incoming in intake.accepted] == ["hello", "first missed", "second missed"]


async def test_missed_direct_messages_are_answered(slack: FakeSlack) -> None:
    """A new question in a known direct message is a new root; it is found from above."""
    async with open_house(slack) as house:
        await house.asked(channel="D1")
        intake = house.intake
    slack.say("U1", "are you there?", channel="D1", silently=True)

    async with open_house(slack, intake=recent(intake)) as house:
        await house.clock.sleep(60)

    assert [incoming.text for incoming in intake.accepted] == ["hello", "are you there?"]


async def test_new_mentions_of_a_long_downtime_are_found(slack: FakeSlack) -> None:
    """A mention above all threads, in a channel where it was asked lately, is read after Slack has given up on it; what
    does not name the bot is not, and neither is what it was told in time."""
    async with open_house(slack) as house:
        await house.asked()
        intake, until = house.intake, house.clock.now()
    for text in ("<@U0TERN> are you back?", "just talking", "<@U2> and you?", "<@U0TERN> second"):
        slack.say("U1", text, silently=True)

    notes = Notes()
    notes.kept["slack:listening_at"] = f"{until - 3_600:.0f}"
    for _ in range(2):
        async with open_house(slack, intake=recent(intake), notes=notes) as house:
            await house.clock.sleep(60)

    assert [incoming.text for incoming in intake.accepted] == ["hello", "are you back?", "second"]


async def test_back_fill_can_be_off(slack: FakeSlack) -> None:
    """With 0 hours nothing is read."""
    async with open_house(slack) as house:
        root, intake = await house.asked(), house.intake
    slack.say("U1", "missed", thread=root.message_id, silently=True)

    async with open_house(slack, intake=recent(intake), backfill_hours=0.0) as house:
        await house.clock.sleep(60)

    assert len(intake.accepted) == 1


async def test_back_fill_keeps_to_its_bound_and_the_rates(slack: FakeSlack) -> None:
    """At most so many threads are read, below Tier 3's fifty a minute."""
    intake = FakeIntake()
    for number in range(120):
        message = slack.say("U1", f"<@U0TERN> {number}", silently=True)
        await intake.accept(question(message.ts))

    async with open_house(slack, intake=recent(intake), backfill_conversations=70) as house:
        await house.clock.sleep(600)

    assert slack.count("conversations.replies") + slack.count("conversations.history") == 70
    assert slack.rates.refused == []


async def test_a_thread_that_cannot_be_read_does_not_stop_the_others(slack: FakeSlack) -> None:
    """Apps without history, or a channel that was left: the rest is still looked through."""
    async with open_house(slack) as house:
        first, second = await house.asked(), await house.asked("<@U0TERN> two")
        intake = house.intake
    slack.say("U1", "missed", thread=second.message_id, silently=True)
    slack.say("U1", "missed", thread=first.message_id, silently=True)
    slack.fault("conversations.replies", Fault(error="missing_scope"))

    async with open_house(slack, intake=recent(intake)) as house:
        await house.clock.sleep(60)

    assert len(intake.accepted) == 3


async def test_what_was_heard_and_left_alone_stays_so(slack: FakeSlack) -> None:
    """Only what came after the last process stopped listening counts as missed."""
    async with open_house(slack) as house:
        root, intake = await house.asked(), house.intake
    slack.say("U1", "refused at the time", thread=root.message_id, silently=True)
    notes = Notes()
    notes.kept["slack:listening_at"] = f"{float(root.message_id) + 3_600:.0f}"

    async with open_house(slack, intake=recent(intake), notes=notes) as house:
        await house.clock.sleep(60)

    assert len(intake.accepted) == 1


async def test_listening_is_noted(house: House) -> None:
    """Every minute the adapter notes that it still listens."""
    await house.clock.sleep(61)

    assert float(house.notes.kept["slack:listening_at"]) > 1_800_000_000


def question(ts: str) -> Incoming:
    return Incoming(
        ts, "", UserKey("slack", ":T1", "U1"), ConversationKey("slack", ":T1", "C1", ts), "hi", 1_800_000_000.0
    )


def recent(intake: FakeIntake) -> FakeIntake:
    """The same desk in a new process. The fake's clock starts at Slack's, so every conversation is recent."""
    return intake


# --- context ---


async def test_context_is_the_thread_before_the_question(house: House) -> None:
    """Asked first in the middle of a thread, the bot reads what stands above, names included, nothing below."""
    root = house.slack.say("U2", "We need a name")
    house.slack.say("U1", "Tern?", thread=root.ts)
    asked = house.slack.say("U1", "<@U0TERN> what do you think?", thread=root.ts)
    house.slack.say("U2", "later", thread=root.ts, silently=True)
    await house.settle()
    (incoming,) = house.intake.accepted
    assert incoming.message_id == asked.ts

    quotes = await house.adapter.context(incoming)

    assert [(quote.speaker, quote.text) for quote in quotes] == [("Bob", "We need a name"), ("Ada", "Tern?")]


async def test_the_channel_before_a_mention_is_one_call(house: House) -> None:
    """As many of its last messages as asked for, oldest first, none after the question and none older than two days."""
    for number in range(5):
        house.slack.say("U2", f"news {number}", silently=True)
    house.slack.say("U1", "<@U0TERN> what is going on?")
    house.slack.say("U2", "later", silently=True)
    await house.settle()

    quotes = await house.adapter.context(house.intake.accepted[0], channel_messages=3)

    assert [quote.text for quote in quotes] == ["news 2", "news 3", "news 4"]
    assert house.slack.count("conversations.history") == 1


async def test_a_long_thread_is_read_in_pages_and_cut(house: House) -> None:
    """The first message and the latest ones are kept."""
    house.slack.page_size = 50
    root = house.slack.say("U2", "root", silently=True)
    for number in range(180):
        house.slack.say("U1", f"reply {number}", thread=root.ts, silently=True)
    house.slack.say("U1", "<@U0TERN> well?", thread=root.ts)
    await house.settle()

    quotes = await house.adapter.context(house.intake.accepted[0])

    assert [quotes[0].text, quotes[-1].text, len(quotes)] == ["root", "reply 179", 80]


async def test_context_survives_its_absence(house: House) -> None:
    """Where Slack does not let us read the thread, the question alone is answered."""
    house.slack.fault("conversations.replies", Fault(error="missing_scope"))
    root = house.slack.say("U2", "root")
    house.slack.say("U1", "<@U0TERN> well?", thread=root.ts)
    await house.settle()

    assert list(await house.adapter.context(house.intake.accepted[0])) == []


async def test_a_new_question_has_no_context(house: House) -> None:
    """A top-level question is not asked about."""
    incoming = await house.asked()

    assert list(await house.adapter.context(incoming)) == []
    assert house.slack.count("conversations.replies") == 0


# --- closing and health ---


async def test_after_close_intake_nothing_is_taken_in(house: House) -> None:
    """A process that drains takes no more questions: Slack hears no acknowledgement and turns to the next one."""
    await house.adapter.close_intake()

    house.slack.say("U1", "hello", channel="D1")
    await house.clock.sleep(5)

    assert house.intake.accepted == []
    assert not house.slack.deliveries.log[-1].acked


async def test_replies_in_flight_go_on_after_close_intake(house: House) -> None:
    """Draining means that answers are finished."""
    incoming = await house.asked()
    answering = asyncio.ensure_future(house.answer(incoming, in_pieces("word " * 40), every_s=0.3))
    while not house.slack.answers():
        await house.clock.sleep(0.1)

    await house.adapter.close_intake()
    await answering

    assert house.slack.answers()[0].shown == ("word " * 40).strip()


async def test_close_intake_waits_for_a_delivery_that_was_begun(slack: FakeSlack) -> None:
    """A question that is being stored when the process is told to stop is acknowledged or redelivered, never lost."""

    class Slow(FakeIntake):
        async def accept(self, incoming: Incoming, capability: object = None) -> object:  # type: ignore[override]
            await asyncio.sleep(0.5)
            return await super().accept(incoming)

    async with open_house(slack, "http", intake=Slow()) as house:
        slack.say("U1", "hello", channel="D1")
        await house.clock.sleep(0.1)

        await house.adapter.close_intake()

        assert len(house.intake.accepted) == 1


async def test_health_tells_what_really_happened(house: House) -> None:
    """Each time in the health is the time of an event, None before the first."""
    before = house.adapter.health()
    await house.answer(await house.asked(), ["Hi."])

    after = house.adapter.health()

    assert (before.state, before.event_in_at, before.delivered_at) == ("connected", None, None)
    assert after.event_in_at is not None
    assert after.delivered_at is not None
    assert after.event_in_at <= after.delivered_at


async def test_the_heartbeat_is_the_last_pong(slack: FakeSlack) -> None:
    """In Socket Mode the heartbeat is an answered ping."""
    async with open_house(slack) as house:
        await house.clock.sleep(1)

        assert house.adapter.health().heartbeat_at is not None


async def test_health_without_a_socket_is_down(slack: FakeSlack) -> None:
    """While no socket is open the adapter does not call itself connected."""
    async with open_house(slack) as house:
        house.adapter._socket = None

        assert house.adapter.health().state == "down"


async def test_a_surface_before_the_connection_is_busy(slack: FakeSlack) -> None:
    """A run that is taken up while Slack is not connected waits instead of failing."""
    async with open_house(slack) as house:
        incoming = await house.asked()
        surface = await house.adapter.surface(incoming, "r1", None)
        house.task.cancel()
        await asyncio.wait({house.task})

        with pytest.raises(SurfaceBusy):
            await surface.find(0, "r1-0")
        await surface.close()


async def test_no_secret_in_the_settings_repr(house: House) -> None:
    """Tokens are in no repr."""
    assert "xoxb" not in repr(house.adapter._settings)
    assert "xapp" not in repr(house.adapter._settings)


async def test_a_store_that_fails_during_back_fill_does_not_end_the_adapter(slack: FakeSlack) -> None:
    """New questions are still listened for."""
    intake = FakeIntake(fails=StorageBusy("locked"))
    async with open_house(slack, intake=intake) as house:
        await house.clock.sleep(5)
        intake.fails = None

        assert await house.asked()
