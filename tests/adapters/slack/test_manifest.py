"""manifest.yaml asks for exactly what the code uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import adapters.slack
from adapters.slack.ids import COMMAND, EVENTS, SCOPES, SHORTCUTS, SUBCOMMANDS
from adapters.slack.settings import SlackSettings

FOLDER = Path(adapters.slack.__file__).parent
MANIFEST: dict[str, Any] = yaml.safe_load((FOLDER / "manifest.yaml").read_text())
CODE = "\n".join(path.read_text() for path in FOLDER.glob("*.py") if path.name != "ids.py")

NEEDS = {
    "agents_sessions_rename": set(),
    "agents_sessions_setStatus": set(),
    "apps_connections_open": set(),
    "assistant_threads_setStatus": {"chat:write"},
    "assistant_threads_setSuggestedPrompts": {"assistant:write"},
    "assistant_threads_setTitle": {"assistant:write"},
    "auth_test": set(),
    "chat_appendStream": {"chat:write"},
    "chat_delete": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_postMessage": {"chat:write"},
    "chat_startStream": {"chat:write"},
    "chat_stopStream": {"chat:write"},
    "chat_update": {"chat:write"},
    "conversations_history": {"channels:history", "groups:history", "im:history", "mpim:history"},
    "conversations_info": {"channels:read", "groups:read", "im:read", "mpim:read"},
    "bots_info": {"users:read"},
    "oauth_v2_access": set(),
    "conversations_open": {"im:write"},
    "conversations_replies": {"channels:history", "groups:history", "im:history", "mpim:history"},
    "files_info": {"files:read"},
    "files_upload_v2": {"files:write"},
    "users_info": {"users:read"},
    "users_list": {"users:read"},
    "views_publish": set(),
}
"""Scopes of each method: its page under https://docs.slack.dev/reference/methods, read 2026-11-22."""

EVENTS_NEED = {
    "app_mention": {"app_mentions:read"},
    "message.channels": {"channels:history"},
    "message.groups": {"groups:history"},
    "message.im": {"im:history"},
    "message.mpim": {"mpim:history"},
    "reaction_added": {"reactions:read"},
}


def test_the_methods_that_are_called_are_known() -> None:
    """Every Web API call in the code stands in the table below which its scopes are written down, and no other."""
    families = "|".join(sorted({name.split("_")[0] for name in NEEDS}))
    called = set(re.findall(rf"\.((?:{families})_\w+)\(", CODE))

    assert called == set(NEEDS)


def test_scopes() -> None:
    """The scopes are those of the methods, the events and the command; none is missing, none too many."""
    used = {"commands"}.union(*NEEDS.values(), *EVENTS_NEED.values())

    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) == set(SCOPES) == used


def test_events() -> None:
    """Subscribed is what is parsed: message.* kinds and every other type by name."""
    parse = (FOLDER / "parse.py").read_text()

    assert MANIFEST["settings"]["event_subscriptions"]["bot_events"] == list(EVENTS)
    assert all(f'"{event.split(".")[0]}"' in parse for event in EVENTS)


def test_the_command() -> None:
    """One command, whose hint names every subcommand."""
    (command,) = MANIFEST["features"]["slash_commands"]

    assert command["command"] == COMMAND
    assert all(verb in command["usage_hint"] for verb in SUBCOMMANDS if verb != "ask")


def test_shortcuts() -> None:
    """Every shortcut of the manifest is handled, and every handled one is in the manifest."""
    shortcuts = MANIFEST["features"]["shortcuts"]

    assert [shortcut["callback_id"] for shortcut in shortcuts] == list(SHORTCUTS)
    assert all(shortcut["type"] == "message" for shortcut in shortcuts)


def test_slacks_limits() -> None:
    """At most ten shortcuts of 24 characters, four prompts, a description of 300 (facts/slack.md 1.1, 1.6)."""
    features = MANIFEST["features"]

    assert len(features["shortcuts"]) <= 10
    assert all(len(shortcut["name"]) <= 24 for shortcut in features["shortcuts"])
    assert len(features["agent_view"]["agent_description"]) <= 300
    assert len(features["agent_view"]["suggested_prompts"]) <= 4
    assert "assistant_view" not in features


def test_people_can_write_directly() -> None:
    """A read-only messages tab would block direct messages without any error."""
    assert MANIFEST["features"]["app_home"]["messages_tab_read_only_enabled"] is False


def test_the_prompts_are_the_settings_own() -> None:
    """What the manifest suggests is what the code suggests when the tab is opened."""
    prompts = MANIFEST["features"]["agent_view"]["suggested_prompts"]
    default = SlackSettings("xoxb-1", app_token="xapp-1").suggested_prompts

    assert [(prompt["title"], prompt["message"]) for prompt in prompts] == list(default)


def test_settings_need_a_transport() -> None:
    """Without an app token and a signing secret there is no way to listen."""
    with pytest.raises(ValueError, match="SLACK_APP_TOKEN"):
        SlackSettings("xoxb-1")
