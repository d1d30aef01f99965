"""One row that the database finds sound and the program cannot read is that row's trouble and nobody else's."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from core.domain.errors import StorageError
from core.ports.storage import Suspended
from core.storage import Storage
from core.storage.codec import decode_facts, decode_incoming, turn_from
from core.storage.schema import messages
from tests.core.front_desk import ANN, BOB, conversation, message
from tests.core.storage.rows import said

BODIES = [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 20_000, b'{"message_id": 5}']


@pytest.fixture
async def spoilt(storage: Storage) -> Storage:
    """A good and a bad message of Ann's, and one of Bob's whose body holds her id."""
    await said(storage, "good", "fine", user=ANN, root="good", message_id="good")
    await said(storage, "bad", "worse", user=ANN, root="bad", message_id="bad")
    await said(storage, "quoting", "as well", user=BOB, root="others", message_id="others")
    await said(storage, "sound", "kept", user=BOB, root="sound", message_id="sound")
    for name, body in (("bad", b"{"), ("others", b'{"speaker_id":"ann"')):
        change = update(messages).where(messages.c.message_id == name).values(body=body)
        await storage._database.write(lambda c, change=change: c.execute(change) and None)
    return storage


@pytest.mark.parametrize("body", BODIES)
def test_codec_raises_an_error_of_that_row(body: bytes) -> None:
    """Whatever stands there: a StorageError, with none of the content in it."""
    with pytest.raises(StorageError, match="a stored message cannot be read"):
        decode_incoming(body)
    with pytest.raises(StorageError, match="a stored turn cannot be read"):
        turn_from("user", "words", b'[["nothing", {}]]' if body == b"[]" else body)
    if body != b"{}" and b"message_id" not in body:
        with pytest.raises(StorageError, match="a stored reply cannot be read"):
            decode_facts(body)


async def test_lists_go_on_without_it(spoilt: Storage) -> None:
    """The page's list and the conversation itself show what can be read."""
    listed = await spoilt.conversations.conversations(ANN)

    assert [one.title for one in listed] == ["good"]
    assert await spoilt.conversations.messages(conversation("bad")) == []


async def test_bad_turn_takes_only_its_own_answer(spoilt: Storage) -> None:
    """The model is told the rest of the conversation; the search finds the rest."""
    await said(spoilt, "good again", "fine too", user=ANN, root="good", message_id="again")
    await spoilt._database.write(
        lambda c: c.exec_driver_sql("UPDATE turns SET parts = '[' WHERE words = 'fine'") and None
    )

    turns = await spoilt.history.recent(conversation("good"), max_tokens=100, max_turns=9)
    found = await spoilt.history.search([conversation("good")], "fine", limit=9)

    assert [turn.turn.text for turn in turns] == ["good again", "fine too"]
    assert [turn.turn.text for turn in found] == ["fine too"]


async def test_export_names_it(spoilt: Storage) -> None:
    """Whoever asks for everything hears that one message could not be read, and which."""
    content = await spoilt.archive.export(user=ANN)

    assert content["messages"][0]["message"]["text"] == "good"
    assert content["messages"][1]["message"] == {"unreadable": "a stored message cannot be read", "message_id": "bad"}


async def test_forgetting_removes_it(spoilt: Storage) -> None:
    """One's own bad row goes, and somebody else's that may hold one's words; it keeps nobody from being forgotten."""
    await spoilt.archive.forget(user=ANN)

    left = await spoilt.archive.export(user=BOB)
    assert [entry["message"]["text"] for entry in left["messages"]] == ["sound"]


async def test_deleted_question_goes_though_nobody_can_read_it(spoilt: Storage) -> None:
    """Its rows go at once."""
    await spoilt.inbox.withdraw("discord", "guild", "channel", "bad", "later")

    assert await spoilt.conversations.messages(conversation("bad")) == []
    assert len((await spoilt.archive.export(user=ANN))["messages"]) == 1


async def test_corrected_question_is_answered(spoilt: Storage) -> None:
    """What was there before counts as something else."""
    taken = await spoilt.inbox.revise(message("better", user=ANN, root="bad", message_id="bad"), "newer", "unused")

    assert taken.state == "accepted"


async def test_another_answer_to_it_cannot_be_had(spoilt: Storage) -> None:
    """Regenerate under it is told that it is not known any more."""
    reply_id = (await spoilt.conversations.messages(conversation("good")))[0].reply_id
    await spoilt._database.write(lambda c: c.exec_driver_sql("UPDATE messages SET body = '{'") and None)

    taken = await spoilt.inbox.repeat(reply_id, "regenerate", None, "newer")

    assert taken.state == "unknown"


async def test_bad_question_for_leave_is_none(spoilt: Storage) -> None:
    """Confirm under it does nothing."""
    claimed = await said(spoilt, "send it", "may I?", user=ANN, root="asks", message_id="asks")
    await spoilt.suspensions.suspend(Suspended(claimed.run_id, ANN, ("send",), (), (), "", 1, 2_000_000_000.0))
    await spoilt._database.write(lambda c: c.exec_driver_sql("UPDATE suspensions SET body = '{'") and None)

    taken = await spoilt.inbox.decide(claimed.reply_id, "confirm", ANN, None, "newer")

    assert taken.state == "unknown"
