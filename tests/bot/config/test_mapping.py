"""What an operator says reaches the part it is meant for."""

from __future__ import annotations

from dataclasses import fields

import pytest

from bot.config import mapping
from bot.config.settings import Settings
from bot.config.tern_toml import Config, DiscordConfig, LimitsConfig, SlackConfig
from core.gateway.quotas import Ceilings, GuardLimits

SLACK = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"}


def test_no_limits_section_leaves_the_guards_defaults() -> None:
    """Without [limits] the guard's own numbers hold."""
    assert mapping.guard_limits(Config()) == GuardLimits()


def test_each_ceiling_lands_in_its_scope() -> None:
    """Plain keys are for each user, workspace_ and global_ for theirs; what is not named keeps its default."""
    limits = mapping.guard_limits(
        Config.read("[limits]\nrequests_per_minute = 3\nworkspace_tokens_per_day = 4\nglobal_cost_per_day_usd = 5\n")
    )

    assert (limits.user.requests_per_minute, limits.user.tokens_per_day) == (3, GuardLimits().user.tokens_per_day)
    assert limits.workspace == Ceilings(tokens_per_day=4)
    assert limits.everyone == Ceilings(cost_per_day_usd=5.0)


def test_zero_lifts_a_ceiling() -> None:
    """0 is no ceiling, not a ceiling of nothing."""
    limits = mapping.guard_limits(Config.read("[limits]\ntokens_per_day = 0\n"))

    assert limits.user.tokens_per_day is None


def test_every_ceiling_of_the_guard_can_be_set() -> None:
    """No ceiling that the guard knows is out of an operator's reach."""
    keys = {each.name for each in fields(LimitsConfig)}

    assert {prefix + each.name for each in fields(Ceilings) for prefix in ("", "workspace_", "global_")} <= keys


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"SLACK_BOT_TOKEN": "xoxb-1"}, False),
        ({"SLACK_APP_TOKEN": "xapp-1"}, False),
        (SLACK, True),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "s"}, True),
    ],
)
def test_slack_is_on_with_a_token_and_a_way_to_listen(environ: dict[str, str], on: bool) -> None:
    """Half a set-up is off; either way of listening is enough."""
    assert (mapping.slack_settings(Settings.from_env(environ), Config()) is not None) is on


def test_slack_section_reaches_the_adapter() -> None:
    """Every key of [slack] arrives, sets as sets."""
    config = Config.read('[slack]\nthread_follow_ups = "mention"\nallow_users = ["U1"]\nbackfill_hours = 2\n')

    slack = mapping.slack_settings(Settings.from_env(SLACK), config)

    assert slack is not None
    assert (slack.thread_follow_ups, slack.allow_users, slack.backfill_hours) == ("mention", frozenset({"U1"}), 2.0)
    for each in fields(SlackConfig):
        assert hasattr(slack, each.name), each.name


def test_discord_section_reaches_the_adapter() -> None:
    """Every key of [discord] arrives, with the proxy that discord.py ignores by itself."""
    config = Config.read('[discord]\nallow_guilds = [42]\nallow_dms = "listed"\n')
    environ = {"DISCORD_BOT_TOKEN": "d", "DISCORD_MESSAGE_CONTENT": "true", "HTTPS_PROXY": "http://proxy:3128"}

    discord = mapping.discord_settings(Settings.from_env(environ), config)

    assert discord is not None
    assert (discord.allow_guilds, discord.allow_dms, discord.proxy) == (frozenset({42}), "listed", "http://proxy:3128")
    assert discord.message_content
    for each in fields(DiscordConfig):
        assert hasattr(discord, each.name), each.name


def test_defaults_agree_with_the_adapters() -> None:
    """Without sections, the adapters run on the numbers that stand beside their code."""
    from adapters.discord.settings import DiscordSettings
    from adapters.slack.settings import SlackSettings

    config = Config()
    slack = mapping.slack_settings(Settings.from_env(SLACK), config)
    discord = mapping.discord_settings(Settings.from_env({"DISCORD_BOT_TOKEN": "d"}), config)

    assert slack == SlackSettings(bot_token="xoxb-1", app_token="xapp-1")
    assert discord == DiscordSettings(token="d")


def test_local_model_may_be_let_into_chat_platforms() -> None:
    """Without the setting the small model stands in on the page and the terminal only, where it may at all."""

    def allowed(config: str, *, local_on_page: bool) -> frozenset[str]:
        return mapping.answering_settings(Config.read(config), local_on_page=local_on_page).local_platforms

    chats = "[local]\nfor_chat_platforms = true\n"
    assert allowed("", local_on_page=True) == {"web", "terminal"}
    assert allowed("", local_on_page=False) == set()
    assert allowed(chats, local_on_page=True) == {"web", "terminal", "slack", "discord"}
    assert allowed(chats, local_on_page=False) == {"slack", "discord"}


def test_personas_and_channels_arrive() -> None:
    """Names, prompts and what a channel prefers."""
    personas = mapping.personas(
        Config.read('[bot]\nname = "Arno"\n[personas.a]\nprompt = "Be a."\n[channels."slack:C1"]\npersona = "a"\n')
    )

    assert personas.bot_name == "Arno"
    assert personas.choose(personas.channel("slack:C1").persona).prompt == "Be a."


WRITTEN: dict[str, tuple[str, object]] = {
    "distribution": ('"unlisted"', "unlisted"),
    "thread_follow_ups": ('"asker"', "asker"),
    "native_streaming": ("false", False),
    "allow_channels": ('["C1"]', frozenset({"C1"})),
    "allow_users": ('["U1"]', frozenset({"U1"})),
    "allow_external": ("true", True),
    "allow_guests": ("true", True),
    "backfill_hours": ("2", 2.0),
    "backfill_conversations": ("7", 7),
    "max_attachment_bytes": ("1_000", 1_000),
    "suggested_prompts": ('{ Hi = "Say hi" }', (("Hi", "Say hi"),)),
}


@pytest.mark.parametrize("key", [each.name for each in fields(SlackConfig)])
def test_every_key_of_slacks_section_arrives(key: str) -> None:
    """A key that is read and then dropped would be a trap."""
    text, value = WRITTEN[key]
    config = Config.read(f"[slack]\n{key} = {text}\n")

    slack = mapping.slack_settings(Settings(slack_bot_token="t", slack_app_token="a"), config)

    assert slack is not None
    assert getattr(slack, key) == value


def test_a_channels_own_list_arrives() -> None:
    """`allow` of a channel reaches the platform it is on, and no other."""
    config = Config.read("[channels.'slack:C1']\nallow = ['U1']\n[channels.'discord:7']\nallow = ['9']\n")

    slack = mapping.slack_settings(Settings(slack_bot_token="t", slack_app_token="a"), config)
    discord = mapping.discord_settings(Settings(discord_bot_token="t"), config)

    assert slack
    assert discord
    assert slack.allow_by_channel == {"C1": frozenset({"U1"})}
    assert discord.allow_by_channel == {7: frozenset({9})}
