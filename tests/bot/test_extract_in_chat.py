"""Extraction through the whole house, from a reply and from "Extract ..."."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.domain.incoming import Attachment, Incoming, Quote
from core.ports.storage import ShownTurn
from tests.bot.box import ANN, CHAT, Box, keyed, open_box
from tests.fakes.llm_api import FakeLlmApi, Say

BILL = Quote("q1", "bob", "Bob", "Two lamps at 30 each, please by Friday.")
LAMPS = '{"items": [{"name": "lamp", "price": 30}]}'


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


async def asks(box: Box, text: str, **more: Any) -> ShownTurn:
    now = box.app.clock.now()
    incoming = Incoming(f"x{now}", f"x{now}", ANN, CHAT, text, now, direct=True)
    receipt = await box.app.inbox.accept(replace(incoming, **more))
    return await box.answer(receipt.reply_id)


async def test_reply_becomes_a_table_with_files(tmp_path: Path, groq: FakeLlmApi) -> None:
    """`extract name, price:number` on a message: a table, JSON and CSV attached, the schema enforced by the model."""
    groq.plays("openai/gpt-oss-120b", Say(LAMPS))

    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await asks(box, "extract name, price:number", quotes=(BILL,))
        files = {one["name"]: await box.app.storage.blobs.get(one["ref"]) for one in turn.facts["files"]}

    assert turn.text.startswith("| name | price |\n| --- | --- |\n| lamp | 30 |")
    assert json.loads(files["extracted.json"]) == [{"name": "lamp", "price": 30}]
    assert b"lamp,30" in files["extracted.csv"]
    asked = groq.asked()[0].body
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert "Two lamps" in json.dumps(asked["messages"])


async def test_saved_schema_by_name(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A schema of tern.toml is asked for by its name."""
    groq.plays("openai/gpt-oss-120b", Say(LAMPS))

    async with open_box(tmp_path, keyed(groq), '[schemas]\nbill = "name, price:number"\n') as box:
        turn = await asks(box, "", quotes=(BILL,), action="extract", options={"schema": "bill"})
        offered = [name for name, _ in box.app.commands.schemas()]

    assert "| lamp | 30 |" in turn.text
    assert offered == ["to-dos", "table", "bill"]


async def test_invalid_everywhere_names_the_field(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Models that keep sending a wrong type end in a clear sentence, not in wrong data."""
    groq.answers(lambda body: Say('{"items": [{"name": "lamp", "price": "cheap"}]}'))

    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await asks(box, "extract name, price:number", quotes=(BILL,))

    assert turn.state == "failed"
    assert "did not keep to the form" in turn.facts["sentence"]
    assert "$.items[0].price" in turn.facts["sentence"]


async def test_long_document_is_extracted_in_parts(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A file that no context has room for is read in parts, side by side; its rows come back in its order."""
    lines = [f"Lamp{number:04} costs {number}." for number in range(3_000)]
    content = "\n".join(lines).encode()

    def rows(body: dict[str, Any]) -> Say:
        found = re.findall(r"Lamp(\d{4})", body["messages"][1]["content"])
        return Say(
            json.dumps({"items": [{"name": f"Lamp{found[0]}", "price": 1}, {"name": f"Lamp{found[-1]}", "price": 2}]})
        )

    groq.answers(rows)
    groq.limits = {model: {"RPM": 10**6, "RPD": 10**8, "TPM": 10**9} for model in groq.models}
    async with open_box(tmp_path, keyed(groq)) as box:
        ref = await box.app.storage.blobs.put(content, mime="text/plain", owner=ANN)
        file = Attachment("text", "text/plain", "bill.txt", len(content), ref)
        turn = await asks(box, "extract name, price:number", attachments=(file,))
        whole = {one["name"]: await box.app.storage.blobs.get(one["ref"]) for one in turn.facts["files"]}

    names = [row["name"] for row in json.loads(whole["extracted.json"])]
    assert len(groq.asked()) > 2
    assert len(names) == 2 * len(groq.asked())
    assert (names[0], names[-1]) == ("Lamp0000", "Lamp2999")
    assert names == sorted(names)
