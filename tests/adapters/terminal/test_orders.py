"""What a typed line means."""

from __future__ import annotations

import pytest

from adapters.terminal.orders import ORDERS, Misspelt, Order, Question, help_text, parse


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("hello", Question("hello")),
        ("  hello  ", Question("hello")),
        ("", None),
        ("   ", None),
        ("/model", Order("/model")),
        ("/model quality", Order("/model", "quality")),
        ("/MODEL quality", Order("/model", "quality")),
        ("/exit", Order("/quit")),
        ("/forget all", Order("/forget", "all")),
        ("/modle quality", Misspelt("/modle", "/model")),
        ("/xyzzy", Misspelt("/xyzzy")),
        ("/usr/bin/env is what?", Question("/usr/bin/env is what?")),
        ("what does /help do?", Question("what does /help do?")),
    ],
)
def test_line(line: str, meaning: object) -> None:
    """Orders start with a slash; paths and everything else are questions; slips are named."""
    assert parse(line) == meaning


def test_help_lists_every_order() -> None:
    """Nothing that can be typed is missing from the help."""
    assert all(f"`{name}`" in help_text() for name in ORDERS)
