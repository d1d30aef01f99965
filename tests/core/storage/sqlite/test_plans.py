"""What SQLite looks at for the queries of the hot path."""

from __future__ import annotations

from sqlalchemy import text

from core.storage import Storage
from tests.core.storage.rows import said


async def test_recent_reads_an_index_only(storage: Storage) -> None:
    """The cost depends on what is returned: the newest turns come from an index, without sorting."""
    await said(storage, "one", "ONE")
    query = (
        "EXPLAIN QUERY PLAN SELECT * FROM turns WHERE conversation_id = 1 "
        "ORDER BY message_seq DESC, position DESC LIMIT 10"
    )

    plan = await storage._database.read(lambda c: " ".join(str(row) for row in c.execute(text(query))))

    assert "turns_recent" in plan
    assert "TEMP B-TREE" not in plan


async def test_queue_reads_an_index_of_open_runs(storage: Storage) -> None:
    """Looking for work does not read the settled runs, of which there are any number."""
    query = (
        "EXPLAIN QUERY PLAN SELECT * FROM runs WHERE state IN ('accepted', 'running', 'waiting') "
        "AND conversation_id = 1"
    )

    plan = await storage._database.read(lambda c: " ".join(str(row) for row in c.execute(text(query))))

    assert "runs_open" in plan
