"""What the page asks of the server, without a browser."""

from __future__ import annotations

import asyncio
import json

import pytest

from adapters.web import WebSettings
from core.domain.errors import StorageFull
from core.domain.incoming import Attachment, ConversationKey
from core.ports.platform import Shown
from core.ports.storage import ShownTurn
from tests.adapters.web.house import House, a_house

HERE = "/page/conversations/conversation-1"
FILE = {"ref": "blob:" + "0" * 64, "name": "a", "mime": "text/plain", "size_bytes": 1}
MESSAGE = {"message_id": "message-0001", "text": "hi", "tz": "Europe/Berlin"}


async def ask(house: House, method: str, path: str, body: object = None, **given):
    if body is not None:
        given["json"] = body
    async with house.http.request(method, house.url + path, **given) as response:
        return response.status, json.loads(await response.text())


async def test_a_message_reaches_the_inbox_as_the_page_sent_it(house):
    """Text, id, conversation, zone and language arrive; the conversation's channel is the caller."""
    status, receipt = await ask(house, "POST", f"{HERE}/messages", MESSAGE, headers={"Accept-Language": "de-DE,en"})

    [incoming] = house.intake.accepted
    assert (status, receipt) == (202, {"state": "accepted", "reply_id": "reply1", "waiting": ""})
    assert (incoming.text, incoming.message_id, incoming.event_id) == ("hi", "message-0001", "message-0001")
    assert incoming.conversation == ConversationKey("web", "", "local", "conversation-1")
    assert (incoming.user.platform, incoming.direct, incoming.visibility) == ("web", True, "private")
    assert (incoming.tz, incoming.locale) == ("Europe/Berlin", "de-DE")


async def test_sending_twice_is_once(house):
    """A repeated message is a no-op with the same reply."""
    await ask(house, "POST", f"{HERE}/messages", MESSAGE)
    status, receipt = await ask(house, "POST", f"{HERE}/messages", MESSAGE)

    assert (status, receipt["state"], receipt["reply_id"]) == (202, "duplicate", "reply1")
    assert len(house.intake.accepted) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{HERE}/messages", {**MESSAGE, "text": " \n "}, 400),
        (f"{HERE}/messages", {**MESSAGE, "message_id": "../../etc"}, 400),
        (f"{HERE}/messages", {**MESSAGE, "message_id": 7}, 400),
        (f"{HERE}/messages", {**MESSAGE, "unknown": 1}, 400),
        (f"{HERE}/messages", {**MESSAGE, "attachments": [{**FILE, "ref": "https://x"}]}, 400),
        (f"{HERE}/messages", [], 400),
        ("/page/conversations/x/messages", MESSAGE, 400),
        ("/page/conversations/..%2f..%2fetc/messages", MESSAGE, 400),
        ("/page/replies/r1/press", {"action": "explode"}, 400),
        ("/page/choice", {"model": "no-such-model"}, 400),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(house, path, body, status):
    """Malformed ids, empty messages, unknown fields and actions never reach the inbox."""
    got, answer = await ask(house, "POST", path, body)

    assert got == status
    assert answer["error"]["message"]
    assert house.intake.accepted == []


async def test_a_message_beyond_the_bound_is_refused_with_its_size():
    """Too long is a 413 that says how long it may be."""
    async with a_house(WebSettings(max_message_chars=10)) as house:
        status, body = await ask(house, "POST", f"{HERE}/messages", {**MESSAGE, "text": "x" * 11})

    assert (status, "10 characters" in body["error"]["message"]) == (413, True)


async def test_a_full_disk_is_said_and_nothing_is_lost_in_silence(house):
    """A message that could not be stored is a 503 with a sentence and a reference."""
    house.intake.fails = StorageFull("disk full")

    status, body = await ask(house, "POST", f"{HERE}/messages", MESSAGE)

    assert status == 503
    assert "disk is full" in body["error"]["message"]
    assert "(ref " in body["error"]["message"]


async def test_while_closing_messages_are_turned_away_with_a_sentence(house):
    """During a shutdown the page is told so, and may try again soon."""
    await house.adapter.close_intake()

    status, body = await ask(house, "POST", f"{HERE}/messages", MESSAGE)

    assert (status, body["error"]["code"]) == (503, "closing")


async def test_a_conversation_opens_with_its_stored_turns(house):
    """The first event holds every turn: questions as typed, answers as safe blocks with their figures."""
    key = ConversationKey("web", "", "local", "conversation-1")
    photo = Attachment("image", "image/png", "gull.png", 9, "blob:" + "0" * 64)
    house.conversations.put(key, ShownTurn("m1", "r1", "user", "<b>hi</b>", 1.0, "answered", (photo,)))
    house.conversations.put(
        key, ShownTurn("m1", "r1", "assistant", "**Hi** <i>", 2.0, "answered", (), {"model": "m", "cost_usd": 0.1})
    )

    async with house.http.get(f"{house.url}{HERE}/events") as response:
        assert await response.content.readline() == b"event: snapshot\n"
        snapshot = json.loads((await response.content.readline())[6:])

    question, answer = snapshot["turns"]
    assert (question["text"], question["blocks"]) == ("<b>hi</b>", [])
    assert question["attachments"][0]["name"] == "gull.png"
    assert answer["blocks"] == ["<p><strong>Hi</strong> &lt;i&gt;</p>\n"]
    assert answer["facts"] == {"model": "m", "cost_usd": 0.1}
    assert snapshot["more"] is False


async def test_other_peoples_conversations_cannot_be_named():
    """The same conversation id under another key is another, empty conversation."""
    settings = WebSettings(host="0.0.0.0", api_keys=("first-long-key-000", "second-long-key-00"))
    async with a_house(settings) as house:
        first, second = ({"Authorization": f"Bearer {key}"} for key in settings.api_keys)
        await ask(house, "POST", f"{HERE}/messages", MESSAGE, headers=first)
        await ask(house, "POST", f"{HERE}/messages", MESSAGE, headers=second)
        keys = [incoming.conversation for incoming in house.intake.accepted]

    assert keys[0].root == keys[1].root
    assert keys[0].channel != keys[1].channel


async def test_a_reader_who_leaves_frees_the_stream(house):
    """Closing the page ends its event stream on the server."""
    async with house.http.get(f"{house.url}{HERE}/events") as response:
        await response.content.readline()
        assert house.adapter.hub.watching == 1
    async with asyncio.timeout(5):
        while house.adapter.hub.watching:
            await asyncio.sleep(0.005)


async def test_an_open_page_does_not_hold_up_a_shutdown():
    """When the server closes, open pages are let go at once; they come back by themselves."""
    async with a_house() as house, asyncio.timeout(4):  # an open stream would be waited for five seconds
        stream = await house.http.get(f"{house.url}{HERE}/events")
        await stream.content.readline()


async def test_a_reader_who_takes_nothing_is_let_go():
    """A page that stopped reading is dropped after the write timeout; it cost bounded memory until then."""
    async with a_house(WebSettings(write_timeout_s=0.2)) as house:
        host, port = house.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(f"GET {HERE}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readline()
        surface = await house.adapter.surface(house.incoming(), "r1", None)
        async with asyncio.timeout(20):
            number = 0
            while house.adapter.hub.watching:
                number += 1
                await surface.edit("r1.0", 0, Shown(f"{number}" + "x" * 50_000))
                await asyncio.sleep(0.01)
        writer.close()


async def test_controls_and_commands_reach_the_desk(house):
    """Stop, regenerate, choices, usage, export and both kinds of forget, each as the caller."""
    await ask(house, "POST", f"{HERE}/messages", MESSAGE)

    assert (await ask(house, "POST", f"{HERE}/stop"))[1] == {"stopped": True}
    assert (await ask(house, "POST", "/page/replies/reply1/press", {"action": "regenerate"}))[1] == {"sentence": ""}
    assert "quality" in (await ask(house, "POST", "/page/choice", {"model": "quality"}))[1]["html"]
    assert "3 requests" in (await ask(house, "GET", "/page/usage"))[1]["text"]
    assert (await ask(house, "GET", "/page/export"))[1] == {"turns": []}
    assert "4 entries" in (await ask(house, "DELETE", HERE))[1]["text"]
    assert "everything" in (await ask(house, "POST", "/page/forget", {}))[1]["text"]
    state = (await ask(house, "GET", "/page/state"))[1]
    assert (state["model"], state["banner"], state["models"][0][0]) == ("auto", "", "auto")
    assert {call[1].user for call in house.commands.calls} == {"local"}


async def test_uploads_are_bounded_and_named_safely(house):
    """A file is kept under its content's hash; its name loses folders and control characters."""
    async with house.http.post(
        f"{house.url}/page/uploads?name=..%2F..%2Fetc%2Fpass%00wd%0A.txt",
        data=b"content",
        headers={"Content-Type": "text/plain"},
    ) as response:
        kept = await response.json()

    assert (response.status, kept["name"], kept["size_bytes"]) == (201, "passwd.txt", 7)
    assert house.blobs.kept[kept["ref"]] == b"content"


async def test_an_upload_beyond_the_bound_is_refused():
    """By its announced length at once, and by its bytes where none was announced."""
    async with a_house(WebSettings(max_upload_bytes=1_000)) as house:

        async def drip():
            for _ in range(20):
                yield b"x" * 100

        for content in (b"x" * 2_000, drip()):
            async with house.http.post(
                f"{house.url}/page/uploads?name=a", data=content, headers={"Content-Type": "text/plain"}
            ) as response:
                assert response.status == 413
        assert house.blobs.kept == {}


async def test_files_are_named_by_hash_only(house):
    """Nothing but a stored hash is served."""
    for ref in ("blob:" + "0" * 64, "..%2f..%2fetc%2fpasswd", "blob:x"):
        async with house.http.get(f"{house.url}/page/files/{ref}") as response:
            assert response.status == 404


async def test_files_are_their_owners_alone():
    """A file's hash in somebody else's hands opens nothing: neither the file itself nor a question about it."""
    async with a_house(WebSettings(host="0.0.0.0", api_keys=("ann-key", "ben-key"))) as house:
        ann, ben = ({"Authorization": f"Bearer {key}"} for key in ("ann-key", "ben-key"))
        async with house.http.post(
            f"{house.url}/page/uploads?name=a.txt", data=b"a secret", headers={**ann, "Content-Type": "text/plain"}
        ) as response:
            kept = await response.json()
        statuses = []
        for headers in (ann, ben):
            async with house.http.get(f"{house.url}/page/files/{kept['ref']}", headers=headers) as response:
                statuses.append(response.status)
        status, error = await ask(house, "POST", f"{HERE}/messages", {**MESSAGE, "attachments": [kept]}, headers=ben)

    assert statuses == [200, 404]
    assert (status, error["error"]["param"]) == (400, "attachments")


async def test_preface_stands_above_a_stored_answer(house):
    """What was heard in a voice clip is still there when the page is loaded again."""
    conversation = house.incoming().conversation
    facts = {"preface": "> I heard: hello\n\n"}
    house.conversations.put(
        conversation, ShownTurn("message-0001", "r1", "assistant", "Hi.", 1.0, "answered", facts=facts)
    )

    [turn] = await house.adapter.turns.render_all(await house.conversations.messages(conversation))

    assert "I heard: hello" in turn["blocks"][0]
    assert turn["text"] == "Hi."
