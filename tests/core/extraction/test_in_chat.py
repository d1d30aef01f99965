"""Tables out of messages: what counts as a wish for one, and how the answer and its files look."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.extraction.in_chat import SHOWN_ROWS, as_csv, table, wanted
from core.extraction.schema import parse_short

ANN = UserKey("slack", ":T1", "ann")
QUOTE = Quote("1", "bob", "Bob", "Two lamps at 30 each.")
SAVED = {"invoice": parse_short("name, price:number")}


def message(text: str, **more: Any) -> Incoming:
    key = ConversationKey("slack", ":T1", "C1", more.pop("root", "m1"))
    return Incoming("m1", "e1", ANN, key, text, 0.0, **more)


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("extract name, price:number", "name, price:number"),
        ("Extract: due:date", "due:date"),
        ("extract invoice", "invoice"),
        ("extract to-dos", "to-dos"),
        ("extract the main idea", None),
        ("extract honey", None),
        ("what does it extract, and why?", None),
        ("extract", None),
    ],
)
def test_typed_wish(text: str, schema: str | None) -> None:
    """In a reply, "extract" before fields or a saved name asks for a table; other sentences with it are questions."""
    assert wanted(message(text, quotes=(QUOTE,)), SAVED) == schema


def test_nothing_to_read_is_a_question() -> None:
    """Where there is neither a message nor a file, the words are for the model."""
    assert wanted(message("extract name, price:number"), SAVED) is None


def test_file_is_something_to_read() -> None:
    """A file beside the words is enough."""
    file = Attachment("text", "text/plain", "a.txt", 3, "F1")

    assert wanted(message("extract name, price:number", attachments=(file,)), SAVED) == "name, price:number"


def test_thread_is_something_to_read() -> None:
    """In a thread the words before the question are meant."""
    assert wanted(message("extract name, price:number", root="m0"), SAVED) == "name, price:number"


def test_schema_may_be_left_to_be_chosen() -> None:
    """Whoever used the menu has not said yet which one."""
    assert wanted(message("", action="extract", quotes=(QUOTE,)), SAVED) == ""


def test_chosen_schema_counts() -> None:
    """What was chosen in a menu is the schema, whatever the text."""
    assert wanted(message("", action="extract", options={"schema": "to-dos"}), SAVED) == "to-dos"


def test_table_is_short_and_whole() -> None:
    """Long tables are cut with a count; bars in cells do not break them."""
    rows = [{"name": f"a|b {number}", "price": None} for number in range(SHOWN_ROWS + 5)]

    lines = table(rows, ["name", "price"]).splitlines()

    assert lines[:3] == ["| name | price |", "| --- | --- |", "| a\\|b 0 |  |"]
    assert lines[-1] == f"{SHOWN_ROWS + 5} rows; the first {SHOWN_ROWS} are shown. Everything is in the attached files."


def test_csv_defuses_formulas() -> None:
    """A value that a spreadsheet would run is only text there."""
    content = as_csv([{"name": '=HYPERLINK("http://evil")', "price": 3.5}]).decode("utf-8-sig")

    assert list(csv.reader(io.StringIO(content))) == [["name", "price"], ['\'=HYPERLINK("http://evil")', "3.5"]]
