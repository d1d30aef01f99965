"""Buttons under an answer. Their whole state is in the custom_id, so they work after any restart and cost no memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol, cast, get_args

import discord
from discord import ui

from core.ports.platform import ControlAction, Controls

LOOKS: dict[ControlAction, tuple[str, str, discord.ButtonStyle]] = {
    "stop": ("Stop", "", discord.ButtonStyle.danger),
    "regenerate": ("Regenerate", "", discord.ButtonStyle.secondary),
    "shorter": ("Shorter", "", discord.ButtonStyle.secondary),
    "confirm": ("Confirm", "", discord.ButtonStyle.success),
    "decline": ("Decline", "", discord.ButtonStyle.secondary),
    "choose": ("", "", discord.ButtonStyle.secondary),
    "thumbs_up": ("", "\N{THUMBS UP SIGN}", discord.ButtonStyle.secondary),
    "thumbs_down": ("", "\N{THUMBS DOWN SIGN}", discord.ButtonStyle.secondary),
}
FINISHED: tuple[ControlAction, ...] = ("regenerate", "shorter", "thumbs_up", "thumbs_down")
FOR_THE_ASKER: frozenset[ControlAction] = frozenset({"stop", "regenerate", "shorter", "confirm", "decline", "choose"})
"""Only the asker or a moderator may press these."""

TEMPLATE = (
    rf"tern:(?P<action>{'|'.join(get_args(ControlAction))}):(?P<reply>[\w-]{{1,60}}):(?P<asker>\d{{1,20}})"
    r"(?::(?P<choice>.+))?"
)
"""At most 100 characters (facts/discord.md 1.8)."""


class Presses(Protocol):
    """Who hears of a press; the adapter."""

    async def pressed(
        self, interaction: discord.Interaction[Any], action: ControlAction, reply_id: str, asker: int, choice: str = ""
    ) -> None: ...


class Control(ui.DynamicItem[ui.Button[Any]], template=TEMPLATE):
    """One button; DynamicItem finds its way back from the custom_id (facts/discord.md 1.6)."""

    def __init__(self, action: ControlAction, reply_id: str, asker: str, choice: str = "") -> None:
        label, emoji, style = LOOKS[action]
        super().__init__(
            ui.Button(
                label=label or choice or None,
                emoji=emoji or None,
                style=style,
                custom_id=f"tern:{action}:{reply_id}:{asker}" + (f":{choice}" if choice else ""),
            )
        )
        self.action: ControlAction = action
        self.reply_id = reply_id
        self.asker = asker
        self.choice = choice

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Control:
        return cls(cast(ControlAction, match["action"]), match["reply"], match["asker"], match["choice"] or "")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        interactions = cast(Presses, interaction.client.presses)
        await interactions.pressed(interaction, self.action, self.reply_id, int(self.asker), self.choice)


class Buttons(ui.View):
    """The row under a page. The library keeps no record of it: presses find `Control` by its template."""

    def __init__(self, controls: Controls, asker: str) -> None:
        super().__init__(timeout=None)
        actions: list[ControlAction] = ["stop"] if controls.stop else []
        if controls.finished:
            actions += FINISHED
        if controls.confirm:
            actions += ("confirm", "decline")
        for action in actions:
            self.add_item(Control(action, controls.reply_id, asker))
        for choice in controls.choices:
            self.add_item(Control("choose", controls.reply_id, asker, choice))

    def is_dispatchable(self) -> bool:
        return False  # otherwise every message edited would be remembered for good


def buttons(controls: Controls | None, asker: str) -> Buttons | None:
    """The view to show, None for none."""
    if controls is None or not (controls.stop or controls.finished or controls.confirm or controls.choices):
        return None
    return Buttons(controls, asker)


def is_ours(custom_id: str) -> bool:
    return re.fullmatch(TEMPLATE, custom_id) is not None


def is_finished(custom_id: str) -> bool:
    """Whether a button with that id stands under a finished answer: anything but Stop does."""
    found = re.fullmatch(TEMPLATE, custom_id)
    return found is not None and found["action"] != "stop"


def reply_of(marks: Iterable[str]) -> tuple[str, int] | None:
    """(reply id, asker) of the answer that buttons with these ids stand under."""
    found = (re.fullmatch(TEMPLATE, mark) for mark in marks)
    return next(((one["reply"], int(one["asker"])) for one in found if one), None)
