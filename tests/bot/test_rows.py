"""A table attached and "for each row ...", through the whole house."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.domain.errors import BadRequest
from core.domain.incoming import Attachment, Incoming
from core.extraction.rows import parse_table
from core.ports.platform import Receipt
from core.ports.storage import ShownTurn
from tests.bot.box import ANN, CHAT, Box, keyed, open_box
from tests.fakes.llm_api import FakeLlmApi, Say, bad_request

TABLE = b"city;people\r\nOslo;700000\r\nBergen;290000\r\n"


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


async def sends(box: Box, text: str, content: bytes = TABLE, name: str = "cities.csv") -> Receipt:
    ref = await box.app.storage.blobs.put(content, mime="text/csv", owner=ANN)
    now = box.app.clock.now()
    file = Attachment("text", "text/csv", name, len(content), ref)
    return await box.app.inbox.accept(Incoming(f"r{now}", f"r{now}", ANN, CHAT, text, now, (file,), direct=True))


async def table_of(box: Box, turn: ShownTurn) -> list[dict[str, str]]:
    content = await box.app.storage.blobs.get(turn.facts["files"][0]["ref"])
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def land(body: dict[str, Any]) -> Any:
    said = json.dumps(body["messages"])
    return bad_request("no") if "Bergen" in said else Say("Norway")


async def test_every_row_gets_its_answer(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Each row is asked by itself; the file that comes back has one more column, and what failed says why."""
    groq.answers(land)

    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await box.answer((await sends(box, "For each row, name the country")).reply_id)
        rows = await table_of(box, turn)

    assert "1 of 2 rows of cities.csv are answered" in turn.text
    assert (rows[0]["city"], rows[0]["answer"]) == ("Oslo", "Norway")
    assert rows[1]["answer"] == ""
    assert rows[1]["error"]


async def test_costly_table_is_asked_about_first(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Above the limit nothing is asked of a model before the asker has seen the cost and agreed."""
    groq.answers(lambda body: Say("Norway"))

    async with open_box(tmp_path, keyed(groq), "[tools]\nrows_ask_above_usd = 0.0\n") as box:
        receipt = await sends(box, "For each row: name the country")
        turn = await box.answer(receipt.reply_id)
        before = len(groq.asked())
        await box.app.inbox.press(receipt.reply_id, "confirm", ANN)
        after = await box.answer(receipt.reply_id)
        while "answered" not in after.text:
            after = await box.answer(receipt.reply_id)

    assert "2 rows and would cost about" in turn.text
    assert turn.facts["asks_leave"]
    assert before == 0
    assert "2 of 2 rows" in after.text


def test_tables_of_every_kind() -> None:
    """Commas, semicolons, tabs and JSON Lines."""
    assert parse_table("a.csv", "a,b\n1,2\n") == [{"a": "1", "b": "2"}]
    assert parse_table("a.csv", "a;b\n1;2\n") == [{"a": "1", "b": "2"}]
    assert parse_table("a.tsv", "a\tb\n1\t2\n") == [{"a": "1", "b": "2"}]
    assert parse_table("a.jsonl", '{"a": 1}\n"x"\n') == [{"a": 1}, {"value": "x"}]
    with pytest.raises(BadRequest, match="line 2"):
        parse_table("a.jsonl", "1\n{\n")
