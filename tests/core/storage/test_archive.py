"""Handing over and removing: complete, to the last byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.domain.incoming import Attachment, Quote, UserKey
from core.domain.requests import ToolCall, Usage
from core.domain.runs import ReplyCapability
from core.ports.storage import Preferences, Spent, Suspended
from core.storage import Retention, Storage, open_storage
from tests.core.front_desk import ANN, BOB, conversation, message
from tests.core.storage.rows import accepted, said
from tests.database import url_in
from tests.fakes.clock import FakeClock

SECRET = "xylophonist"
"""A word that stands nowhere else."""


def traces(folder: Path, word: str = SECRET) -> list[str]:
    """Files in which *word* stands: the database, its log, the blobs, everything."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


async def fill(storage: Storage, user: UserKey = ANN) -> str:
    """Everything that can be stored about somebody, each with the word; returns the reply's id."""
    now = 1_800_000_000.0
    claim = await accepted(storage, message(SECRET, user=user), ReplyCapability(SECRET, now + 900))
    ledger = storage.inbox.ledger(claim)
    await ledger.posting(0, f"{SECRET}-0")
    await ledger.posted(0, SECRET)
    await storage.inbox.release(claim)
    claim = await said(storage, f"the {SECRET} asks", f"the {SECRET} is answered", user=user, root="other")
    await storage.inbox.save_feedback(claim.reply_id, user, "thumbs_up")
    await storage.preferences.set(user, Preferences("auto", SECRET))
    await storage.usage.add("request", user, SECRET, "fast", Usage(10, 0, 5, cost_usd=0.5), now)
    await storage.cache.put(SECRET, SECRET.encode(), expires_at=now + 600, contributors=frozenset({user}))
    await storage.blobs.put(SECRET.encode(), mime="text/plain", owner=user)
    call = ToolCall("call", "send", f'{{"text": "{SECRET}"}}')
    await storage.suspensions.suspend(Suspended(claim.run_id, user, ("send",), (), (call,), SECRET, 1, now + 900))
    return claim.reply_id


async def test_forgotten_person_leaves_no_byte(storage: Storage, folder: Path) -> None:
    """After `forget` no file holds a word of theirs: not the database, not its log, not the search index, no blob."""
    await fill(storage)
    assert traces(folder)

    gone = await storage.archive.forget(user=ANN)

    assert gone > 10
    assert traces(folder) == []
    assert await storage.archive.forget(user=ANN) == 0


async def test_forgetting_one_keeps_the_others(storage: Storage) -> None:
    """What other people said, chose and spent stays, the same thread included."""
    await fill(storage, ANN)
    await said(storage, "kept", "kept too", user=BOB, root="other")
    await storage.preferences.set(BOB, Preferences("speed", ""))

    await storage.archive.forget(user=ANN)

    turns = await storage.history.recent(conversation("other"), max_tokens=100, max_turns=9)
    assert [turn.turn.text for turn in turns] == ["kept", "kept too"]
    assert (await storage.preferences.get(BOB)).model == "speed"
    assert await storage.inbox.takes_part(conversation("other")) == BOB


async def test_quoted_words_go_as_well(storage: Storage, folder: Path) -> None:
    """What somebody said and another person's question quoted is taken out of that question."""
    quote = Quote("q1", ANN.user, "Ann", SECRET)
    other = Quote("q2", "carl", "Carl", "stays")
    claim = await accepted(storage, message("what does this mean?", user=BOB, quotes=(quote, other)))

    await storage.archive.forget(user=ANN)

    assert traces(folder) == []
    content = await storage.archive.export(user=BOB)
    assert content["messages"][0]["message"]["quotes"][0]["text"] == "stays"
    assert await storage.inbox.reply(claim.reply_id) is not None


async def test_forgotten_messages_do_not_come_back(storage: Storage) -> None:
    """Back-fill that hands a forgotten message in again is told that it was seen; the mark itself says nothing."""
    claim = await said(storage, "one", "ONE")
    key = ("discord", "guild", "channel", claim.incoming.message_id)

    await storage.archive.forget(conversation=conversation())

    assert await storage.inbox.seen(*key)
    taken = await storage.inbox.accept(claim.incoming, None, "new", "new", claim=True)
    assert taken.state == "duplicate"


async def test_forgotten_conversation_takes_everybodys_words(storage: Storage, folder: Path) -> None:
    """A conversation goes with what all of its people said there, and stays gone in lists."""
    await said(storage, SECRET, SECRET, user=ANN)
    await said(storage, SECRET, SECRET, user=BOB)
    await said(storage, "elsewhere", "kept", root="other")

    await storage.archive.forget(conversation=conversation())

    assert traces(folder) == []
    assert [one.key for one in await storage.conversations.conversations(ANN)] == [conversation("other")]


async def test_own_part_of_a_conversation(storage: Storage) -> None:
    """With a person and a conversation both named, only that person's part of that conversation goes."""
    await said(storage, "ann here", "A", user=ANN)
    await said(storage, "bob here", "B", user=BOB)
    await said(storage, "ann there", "C", user=ANN, root="other")

    await storage.archive.forget(user=ANN, conversation=conversation())

    left = [
        turn.turn.text
        for root in ("root", "other")
        for turn in await storage.history.recent(conversation(root), max_tokens=100, max_turns=9)
    ]
    assert left == ["bob here", "B", "ann there", "C"]


async def test_files_of_a_conversation_go_with_it(storage: Storage, folder: Path) -> None:
    """A file handed in there is removed, unless another message still points at it."""
    refs = [await storage.blobs.put(content, mime="text/plain", owner=ANN) for content in (b"one", b"two")]
    files = [Attachment("file", "text/plain", "f", 3, ref) for ref in refs]
    await accepted(storage, message(attachments=tuple(files)))
    await accepted(storage, message(attachments=(files[1],), root="other"))

    await storage.archive.forget(conversation=conversation())

    assert traces(folder / "blobs", "one") == []
    assert await storage.blobs.get(refs[1]) == b"two"


async def test_shared_file_stays_for_its_other_owner(storage: Storage) -> None:
    """Equal files of two people lie there once; the second person's right to it survives the first one's."""
    ref = await storage.blobs.put(b"same", mime="", owner=ANN)
    await storage.blobs.put(b"same", mime="", owner=BOB)

    await storage.archive.forget(user=ANN)

    assert await storage.blobs.get(ref) == b"same"


async def test_forgetting_is_no_way_round_a_daily_limit(storage: Storage) -> None:
    """What somebody spent today still counts, under a name that nobody can read; what lies back is gone."""
    now = storage._clock.now()
    await storage.usage.add("1", ANN, "p", "fast", Usage(10, 0, 5, cost_usd=0.5), now)
    await storage.usage.add("2", ANN, "p", "fast", Usage(10, 0, 5, cost_usd=0.5), now - 10 * 86_400)
    midnight = now - now % 86_400

    await storage.archive.forget(user=ANN)

    assert await storage.usage.spent(midnight, user=ANN) == Spent(1, 15, 0.5)
    assert await storage.usage.spent(0) == Spent(1, 15, 0.5)
    assert await storage.usage.by_model(0, ANN) == []


async def test_export_has_everything(storage: Storage) -> None:
    """Whatever `forget` would remove is in the export, and the export is JSON."""
    await fill(storage)

    content = await storage.archive.export(user=ANN)

    assert [entry["message"]["text"] for entry in content["messages"]] == [SECRET, f"the {SECRET} asks"]
    assert content["messages"][1]["turns"][1]["text"] == f"the {SECRET} is answered"
    assert content["preferences"] == [{"model": "auto", "persona": SECRET}]
    assert content["usage"][0]["cost_usd"] == 0.5
    assert content["feedback"][0]["verdict"] == "thumbs_up"
    assert content["files"][0]["content_base64"]
    assert SECRET in content["messages"][1]["questions"][0]["about"]["calls"][0]["arguments"]
    assert json.loads(json.dumps(content, default=list))


async def test_export_of_a_conversation_has_only_that(storage: Storage) -> None:
    """Nothing about the person beside it."""
    await fill(storage)

    content = await storage.archive.export(conversation=conversation("other"))

    assert list(content) == ["messages"]
    assert len(content["messages"]) == 1


async def test_nobody_in_particular_is_a_mistake(storage: Storage) -> None:
    """Neither a person nor a conversation: that would be everything, and is refused."""
    with pytest.raises(ValueError, match="whose"):
        await storage.archive.forget()


# --- retention ---


async def test_old_things_go_by_themselves(folder: Path, clock: FakeClock) -> None:
    """Each kind after its days; what is young, or still waits for an answer, stays."""
    async with await open_storage(url_in(folder), folder, clock, b"key", "me") as storage:
        await fill(storage)
        clock.jump(500 * 86_400)
        await said(storage, "young", "Y", root="young", at=clock.now())

        gone = await storage.sweep()

        assert gone > 5
        listed = [one.title for one in await storage.conversations.conversations(ANN)]
        assert sorted(listed) == [SECRET, "young"], "the first was never answered, so it is not too old"
        assert (await storage.usage.spent(0)).requests == 0
        assert await storage.cache.get(SECRET) is None
        assert traces(folder / "blobs") == []


async def test_zero_days_keep_for_ever(folder: Path, clock: FakeClock) -> None:
    """Retention can be switched off per kind."""
    forever = Retention(turns_days=0, usage_days=0, blobs_days=0)
    async with await open_storage(url_in(folder), folder, clock, b"key", "me", retention=forever) as storage:
        await said(storage, "old", "O")
        clock.jump(5_000 * 86_400)

        await storage.sweep()

        assert len(await storage.conversations.conversations(ANN)) == 1
