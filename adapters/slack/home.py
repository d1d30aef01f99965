"""The Home tab: what the bot can do, this person's choices, usage, and "forget me". Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.slack.ids import CHOOSE_MODEL, CHOOSE_PERSONA, COMMAND, EXPORT_ME, FORGET_ME
from adapters.slack.render import escape, to_mrkdwn

Block = dict[str, Any]
_MAX_OPTIONS = 100
_DEFAULT = "-"
"""Stands for "" in an option, whose value may not be empty."""


@dataclass(frozen=True, slots=True)
class HomeFacts:
    bot_name: str
    models: Sequence[tuple[str, str]]
    personas: Sequence[tuple[str, str]]
    model: str
    persona: str
    usage: str
    """Markdown."""
    said: str = ""
    """What came of the last press; Markdown."""


def home_view(facts: HomeFacts) -> Block:
    """A view of type "home", well below the 250 KB that Slack takes (facts/slack.md 1.6)."""
    name = escape(facts.bot_name)
    blocks: list[Block] = [
        {"type": "header", "text": _plain(facts.bot_name)},
        _section(
            f"*Mention me* in a channel, write to me in *Messages*, or use `{COMMAND}`.\n"
            "Send a voice clip, a picture or a file with your question. In a thread I am part of, just go on.\n"
            "On any message, *More actions* offers Summarise thread, Explain this, Draft a reply and Transcribe."
        ),
        {"type": "divider"},
        _section("*Model* that answers you", _select(CHOOSE_MODEL, facts.models, facts.model)),
    ]
    if facts.personas:
        personas = [("", "as the channel has it"), *((key, about) for key, about in facts.personas if key)]
        blocks.append(_section(f"*Persona* {name} takes on for you", _select(CHOOSE_PERSONA, personas, facts.persona)))
    blocks += [
        {"type": "divider"},
        _section(f"*Your usage*\n{to_mrkdwn(facts.usage)}"),
        {"type": "actions", "elements": about_me_buttons()},
    ]
    if facts.said:
        blocks.append(_section(to_mrkdwn(facts.said)))
    return {"type": "home", "blocks": blocks}


def about_me_buttons() -> list[Block]:
    """ "Export" and "Forget me", the second with a question before it."""
    return [
        {"type": "button", "text": _plain("Export my data"), "action_id": EXPORT_ME, "value": "export"},
        {
            "type": "button",
            "text": _plain("Forget me"),
            "action_id": FORGET_ME,
            "value": "forget",
            "style": "danger",
            "confirm": {
                "title": _plain("Forget everything?"),
                "text": _plain("Your messages to me, my answers, your files and choices are deleted for good."),
                "confirm": _plain("Forget me"),
                "deny": _plain("Keep"),
            },
        },
    ]


def _section(mrkdwn: str, accessory: Block | None = None) -> Block:
    section: Block = {"type": "section", "text": {"type": "mrkdwn", "text": mrkdwn[:2_900]}}
    return section | {"accessory": accessory} if accessory else section


def _select(action_id: str, choices: Sequence[tuple[str, str]], chosen: str) -> Block:
    options = [_option(value, about) for value, about in choices[:_MAX_OPTIONS]]
    select: Block = {"type": "static_select", "action_id": action_id, "options": options}
    initial = [option for option in options if option["value"] == (chosen or _DEFAULT)]
    return select | {"initial_option": initial[0]} if initial else select


def _option(value: str, about: str) -> Block:
    option: Block = {"text": _plain((value or "default")[:75]), "value": (value or _DEFAULT)[:150]}
    return option | {"description": _plain(about[:75])} if about else option


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}
