"""What hangs on what, and that all of it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Connection, Float, LargeBinary, Table, Text, func, insert, select

from core.domain.runs import Claim
from core.storage import Retention, Storage, open_storage
from core.storage.schema import OF_MESSAGE, OF_REPLY, messages, metadata
from tests.core.front_desk import ANN, conversation, message
from tests.core.storage.rows import accepted
from tests.database import url_in
from tests.fakes.clock import FakeClock

_NAMES_NOBODY = {
    "installations",
    "oauth_states",
    "workspaces",
    "alembic_version",
    "api_keys",
    "blobs",
    "cache",
    "notes",
    "tombstones",
}
"""Tables without a message, a reply, a run or a person in them. Answers and files are found through their owners."""

_ANYTHING: dict[type, Any] = {Text: "2027-01-15", BigInteger: 77, Float: 1_800_000_000.0, LargeBinary: b"{}"}


def _row(table: Table, claim: Claim) -> dict[str, Any]:
    """A row that names the claim's message, reply, run and asker in every column that can."""
    named = {
        "reply_id": claim.reply_id,
        "message_seq": claim.message_seq,
        "conversation_id": claim.conversation_id,
        "run_id": claim.run_id,
        **{
            f"{prefix}{name}": getattr(ANN, name)
            for prefix in ("", "asker_", "starter_")
            for name in ("platform", "workspace", "user")
        },
    }
    return {column.name: named.get(column.name, _ANYTHING[type(column.type)]) for column in table.columns}


def _left(c: Connection, claim: Claim, *, of_message: bool) -> set[str]:
    """The tables that still name the message in any of its ways, or its asker; tombstones are no names."""
    found = set()
    for table in metadata.sorted_tables:
        ids = {"reply_id": claim.reply_id, "message_seq": claim.message_seq}
        by_id = [table.c[name] == value for name, value in ids.items() if name in table.c]
        by_person = [column == ANN.user for column in table.c if column.name.endswith("user")]
        conditions = by_id if of_message else [*by_id, *by_person]
        for condition in conditions:
            if c.execute(select(func.count()).select_from(table).where(condition)).scalar():
                found.add(table.name)
    return found


async def _everywhere(storage: Storage) -> Claim:
    """A message that every table of the schema names which can name one."""
    claim = await accepted(storage, message(user=ANN, message_id="m", root="ours"))

    def fill(c: Connection) -> None:
        for table in metadata.sorted_tables:
            if table.name not in {"messages", "conversations", "runs"}:
                c.execute(insert(table).values(_row(table, claim)))

    await storage._database.write(fill)
    return claim


def test_every_table_is_known_to_this_test() -> None:
    """A table either names a message, a reply or a person by these columns, or stands in the list of those without."""
    columns = {"reply_id", "message_seq", "user", "asker_user", "starter_user"}

    nameless = {table.name for table in metadata.sorted_tables if not columns & set(table.c.keys())}

    assert nameless <= _NAMES_NOBODY


@pytest.mark.parametrize(("column", "owned"), [("message_seq", OF_MESSAGE), ("reply_id", OF_REPLY)])
def test_every_table_that_names_its_message_goes_with_it(column: str, owned: tuple[Table, ...]) -> None:
    """A table added later would otherwise be overlooked when somebody is forgotten, or a damaged file read."""
    naming = {table.name for table in metadata.sorted_tables if column in table.c} - {messages.name}

    assert naming <= {table.name for table in (*owned, *OF_MESSAGE)}
    assert owned


async def test_forgotten_person_is_named_in_no_table(storage: Storage) -> None:
    """Whatever table is added: after `forget` it names neither the person nor their message."""
    claim = await _everywhere(storage)

    await storage.archive.forget(user=ANN)

    assert await storage._database.read(lambda c: _left(c, claim, of_message=False)) == set()


async def test_deleted_question_is_named_in_no_table(storage: Storage) -> None:
    """A question that is deleted before anything stood under it takes every row about it along; one that waited for
    leave to use a tool used to leave the asker's words and the tool's arguments behind."""
    claim = await _everywhere(storage)
    await storage.inbox.release(claim)
    await storage._database.write(lambda c: c.exec_driver_sql("DELETE FROM pages") and None)

    await storage.inbox.withdraw("discord", "guild", "channel", "m", "later")

    assert await storage._database.read(lambda c: _left(c, claim, of_message=True)) == set()


async def test_old_question_is_named_in_no_table(folder: Path, clock: FakeClock) -> None:
    """What retention no longer keeps goes from every table."""
    retention = Retention(turns_days=1.0)
    async with await open_storage(url_in(folder), folder, clock, b"key", "me", retention=retention) as storage:
        claim = await _everywhere(storage)
        await storage._database.write(lambda c: c.exec_driver_sql("UPDATE runs SET state = 'answered'") and None)
        await clock.advance(2 * 86_400)

        await storage.sweep()

        assert await storage._database.read(lambda c: _left(c, claim, of_message=True)) == set()


async def test_conversation_begun_by_a_deleted_message_forgets_its_starter(storage: Storage) -> None:
    """Whose first question was deleted is still named as the one who began; forgetting finds that too."""
    claim = await accepted(storage, message(user=ANN, message_id="m"))
    await storage.inbox.release(claim)
    await storage.inbox.withdraw("discord", "guild", "channel", "m", "later")

    await storage.archive.forget(user=ANN)

    assert await storage.inbox.takes_part(conversation()) is None
