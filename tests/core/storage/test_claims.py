"""Who may show something for which run."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, update

from core.domain.runs import Settlement
from core.storage import Storage
from core.storage.schema import messages
from tests.core.front_desk import message
from tests.core.storage.rows import accepted


async def test_queued_run_keeps_off_pages_that_are_written(storage: Storage) -> None:
    """The run of an edited question shows no place while the former run writes the same reply: it would look at the
    ledger too early, and post again what the former one is just posting."""
    former = await accepted(storage, message("2+2?", message_id="m"))
    revised = await storage.inbox.revise(message("2+3?", message_id="m"), "newer", "unused")
    while_it_writes = await storage.inbox.hold([revised.run_id])

    await storage.inbox.settle(former, Settlement("stopped", "superseded"))

    assert while_it_writes == []
    assert [claim.run_id for claim in await storage.inbox.hold([revised.run_id])] == ["newer"]


@pytest.mark.parametrize("spoil", [update(messages).values(body=b"{"), delete(messages)])
async def test_message_that_cannot_be_read_keeps_nobody_waiting(storage: Storage, spoil: Any) -> None:
    """Its run ends as unreadable; the others are claimed."""
    for name in ("bad", "good"):
        await storage.inbox.accept(message(name, message_id=name, root=name), None, name, f"r{name}", claim=False)
    await storage._database.write(lambda c: c.execute(spoil.where(messages.c.message_id == "bad")) and None)

    claims = await storage.inbox.claim(["bad", "good"])

    assert [claim.run_id for claim in claims] == ["good"]
    assert [run.run_id for run in await storage.inbox.pending(9)] == []
