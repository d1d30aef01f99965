"""What hangs on what."""

from __future__ import annotations

import pytest

from core.storage.schema import OF_MESSAGE, OF_REPLY, messages, metadata


@pytest.mark.parametrize(("column", "owned"), [("message_seq", OF_MESSAGE), ("reply_id", OF_REPLY)])
def test_every_table_that_names_its_message_goes_with_it(column: str, owned: tuple[object, ...]) -> None:
    """A table added later would otherwise be overlooked when somebody is forgotten, or a damaged file read."""
    naming = {table.name for table in metadata.sorted_tables if column in table.c} - {messages.name}

    assert naming <= {table.name for table in (*owned, *OF_MESSAGE)}  # type: ignore[attr-defined]
    assert owned
