"""What the README tells an operator to click is what the code needs."""

from __future__ import annotations

import re
from pathlib import Path

import discord
import pytest

SECTION = re.search(
    r"<!-- discord -->(.*?)<!-- /discord -->",
    (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8"),
    re.DOTALL,
)
NEEDED = {
    "View Channels": discord.Permissions(view_channel=True),
    "Send Messages": discord.Permissions(send_messages=True),
    "Send Messages in Threads": discord.Permissions(send_messages_in_threads=True),
    "Read Message History": discord.Permissions(read_message_history=True),
    "Attach Files": discord.Permissions(attach_files=True),
}
"""Discord's name in its own settings -> what it grants. Link previews and reactions are not used."""


def section() -> str:
    assert SECTION is not None
    return SECTION[1]


def test_invite_asks_for_what_is_needed_and_no_more() -> None:
    """The number in the link is the sum of the named permissions."""
    (number,) = re.findall(r"permissions=(\d+)", section())

    assert discord.Permissions(int(number)) == discord.Permissions(sum(each.value for each in NEEDED.values()))
    assert "scope=bot+applications.commands&" in section()


@pytest.mark.parametrize("name", NEEDED)
def test_each_permission_is_named(name: str) -> None:
    """Whoever reads the number can tell what it grants."""
    assert name in " ".join(section().split())
