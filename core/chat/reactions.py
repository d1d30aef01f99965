"""Reactions as commands: which emoji asks for what, and in which words. Pure; off unless a channel opts in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from core.domain.incoming import Action

ReactionCommand = Literal["summarise", "answer", "translate", "again", "remember", "stop"]

EMOJI: Mapping[str, ReactionCommand] = MappingProxyType(
    {
        "\N{MEMO}": "summarise",
        "\N{BLACK QUESTION MARK ORNAMENT}": "answer",
        "\N{GLOBE WITH MERIDIANS}": "translate",
        "\N{CLOCKWISE RIGHTWARDS AND LEFTWARDS OPEN CIRCLE ARROWS}": "again",
        "\N{BOOKMARK}": "remember",
        "\N{RAISED HAND}": "stop",
    }
)

SHORT_NAMES: Mapping[str, ReactionCommand] = MappingProxyType(
    {
        "memo": "summarise",
        "question": "answer",
        "globe_with_meridians": "translate",
        "repeat": "again",
        "bookmark": "remember",
        "hand": "stop",
        "raised_hand": "stop",
    }
)
"""The same emoji as Slack calls them (emoji-data's short names)."""

ANSWER_THIS = "Answer the message that I point at."
TRANSLATE_THIS = (
    "Translate the message that I point at into English; if it is English, into the language that the others "
    "here write. Give the translation alone."
)


def command_of(emoji: str) -> ReactionCommand | None:
    """What *emoji* asks for, as a character or by its short name; skin tones and styles do not matter."""
    plain = "".join(one for one in emoji if one != "\ufe0f" and not "\U0001f3fb" <= one <= "\U0001f3ff")
    return EMOJI.get(plain) or SHORT_NAMES.get(emoji.strip(":").partition("::")[0])


def wording_of(command: ReactionCommand, words: str) -> tuple[Action, str]:
    """(action, text) of the question that a reaction to a message with *words* is. "again" and "stop" ask nothing."""
    match command:
        case "summarise":
            return "summarise", ""
        case "translate":
            return "ask", TRANSLATE_THIS
        case "remember":
            return "ask", f"remember that {' '.join(words.split())}"
        case _:
            return "ask", ANSWER_THIS
