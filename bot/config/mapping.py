"""What an operator says, in the terms of each part. Pure; every part's settings are declared beside that part."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields, replace

from adapters.discord.settings import DiscordSettings
from adapters.slack.settings import SlackSettings
from adapters.web.settings import WebSettings
from bot.config.settings import Settings
from bot.config.tern_toml import ChannelConfig, Config, LimitsConfig
from core.chat.personas import Channel, Persona, Personas
from core.domain.runs import RunRules
from core.extraction.schema import Schema, schema_of
from core.gateway.cache import CacheSettings
from core.gateway.quotas import Ceilings, GuardLimits
from core.inbox.inbox import InboxLimits
from core.inbox.runner import RunnerSettings
from core.storage.retention import Retention
from core.tools.loop import LoopLimits
from core.tools.mcp import McpServer
from core.tools.toolbox import ToolRules

SLACK_URL = "https://slack.com/api/"


def web_settings(settings: Settings, config: Config) -> WebSettings:
    return WebSettings(
        host=settings.host, port=settings.port, api_keys=settings.api_keys, public_hosts=settings.public_hosts
    )


def slack_settings(settings: Settings, config: Config) -> SlackSettings | None:
    """None while Slack is off: no bot token and no way to install the app, or nothing to listen with."""
    many = settings.slack_client_id and settings.slack_client_secret
    if not ((settings.slack_bot_token or many) and (settings.slack_app_token or settings.slack_signing_secret)):
        return None
    slack = SlackSettings(
        bot_token=settings.slack_bot_token,
        client_id=settings.slack_client_id,
        client_secret=settings.slack_client_secret,
        redirect_uri=settings.slack_redirect_uri,
        distribution=config.slack.distribution,
        app_token=settings.slack_app_token,
        signing_secret=settings.slack_signing_secret,
        api_url=f"{settings.slack_api_url}/" if settings.slack_api_url else SLACK_URL,
        proxy=settings.https_proxy,
        bot_name=config.bot.name,
        thread_follow_ups=config.slack.thread_follow_ups,
        native_streaming=config.slack.native_streaming,
        allow_channels=frozenset(config.slack.allow_channels),
        allow_users=frozenset(config.slack.allow_users),
        allow_external=config.slack.allow_external,
        allow_guests=config.slack.allow_guests,
        allow_by_channel=people_by_channel(config, "slack"),
        reaction_channels=frozenset(
            key.partition(":")[2] for key, one in config.channels.items() if key.startswith("slack:") and one.reactions
        ),
        backfill_hours=config.slack.backfill_hours,
        backfill_conversations=config.slack.backfill_conversations,
        max_attachment_bytes=config.slack.max_attachment_bytes,
    )
    prompts = config.slack.suggested_prompts
    return slack if prompts is None else replace(slack, suggested_prompts=tuple(prompts.items()))


def people_by_channel(config: Config, platform: str) -> dict[str, frozenset[str]]:
    """Channel id -> ids of those who may ask there, of channels that are not open to all."""
    places = ((channel_key.partition(":"), channel.allow) for channel_key, channel in config.channels.items())
    return {channel: frozenset(allow) for (on, _, channel), allow in places if on == platform and allow}


def discord_settings(settings: Settings, config: Config) -> DiscordSettings | None:
    """None while Discord is off."""
    if not settings.discord_bot_token:
        return None
    return DiscordSettings(
        token=settings.discord_bot_token,
        message_content=settings.discord_message_content,
        api_url=settings.discord_api_url,
        gateway_url=settings.discord_gateway_url,
        proxy=settings.https_proxy,
        allow_guilds=frozenset(config.discord.allow_guilds),
        allow_channels=frozenset(config.discord.allow_channels),
        allow_roles=frozenset(config.discord.allow_roles),
        allow_users=frozenset(config.discord.allow_users),
        allow_dms=config.discord.allow_dms,
        allow_by_channel={
            int(channel): frozenset(map(int, allow)) for channel, allow in people_by_channel(config, "discord").items()
        },
        allow_bots=frozenset(config.discord.allow_bots),
        follow_ups=config.discord.follow_ups,
        most_messages=config.discord.most_messages,
        follow_ups_by_channel={
            int(channel_key.removeprefix("discord:")): channel.follow_ups
            for channel_key, channel in config.channels.items()
            if channel.follow_ups and channel_key.startswith("discord:")
        },
        reaction_channels=_of_discord(config, lambda channel: channel.reactions),
        thread_channels=_of_discord(config, lambda channel: channel.threads),
        backfill_hours=config.discord.backfill_hours,
        backfill_messages=config.discord.backfill_messages,
        max_attachment_bytes=config.discord.max_attachment_bytes,
        shard_ids=config.discord.shard_ids,
        shard_count=config.discord.shard_count,
    )


def _of_discord(config: Config, wants: Callable[[ChannelConfig], bool]) -> frozenset[int]:
    """Ids of the channels that want something."""
    chosen = (key.removeprefix("discord:") for key, channel in config.channels.items() if wants(channel))
    return frozenset(int(channel) for channel in chosen if channel.isdecimal())


def personas(config: Config) -> Personas:
    return Personas(
        named={
            name: Persona(persona.prompt, persona.model, persona.temperature, persona.effort)
            for name, persona in config.personas.items()
        },
        channels={
            channel_key: Channel(channel.persona, channel.model, channel.context, channel.memory)
            for channel_key, channel in config.channels.items()
        },
        bot_name=config.bot.name,
    )


def retention(config: Config) -> Retention:
    kept = config.retention
    return Retention(turns_days=kept.turns_days, usage_days=kept.usage_days, blobs_days=kept.blobs_days)


def guard_limits(config: Config) -> GuardLimits:
    """The guard's own defaults, with what the operator set laid over them."""
    limits, defaults = config.limits, GuardLimits()
    return replace(
        defaults,
        user=_ceilings(limits, "", defaults.user),
        workspace=_ceilings(limits, "workspace_", defaults.workspace),
        everyone=_ceilings(limits, "global_", defaults.everyone),
        daily_spend_usd=config.bot.daily_spend_usd,
    )


def _ceilings(limits: LimitsConfig, prefix: str, defaults: Ceilings) -> Ceilings:
    given = {each.name: getattr(limits, prefix + each.name) for each in fields(Ceilings)}
    return replace(defaults, **{name: value or None for name, value in given.items() if value is not None})


def cache_settings(config: Config) -> CacheSettings:
    return CacheSettings(entries=config.cache.entries, ttl_s=config.cache.minutes * 60.0)


def inbox_limits(config: Config) -> InboxLimits:
    limits = InboxLimits(rules=run_rules(config))
    per_minute = config.limits.messages_per_minute
    return limits if per_minute is None else replace(limits, messages_per_minute=per_minute or sys.maxsize)


def answering_settings(config: Config, *, local_on_page: bool) -> RunnerSettings:
    """*local_on_page*: whether the local model may stand in on the page and in the terminal."""
    chats = {"slack", "discord"} if config.local.for_chat_platforms else set()
    page = RunnerSettings().local_platforms if local_on_page else frozenset()
    return RunnerSettings(local_platforms=page | chats)


def run_rules(config: Config) -> RunRules:
    return RunRules(lease_s=config.bot.lease_s, reply_deadline_s=config.bot.reply_deadline_s)


def tool_rules(config: Config) -> ToolRules:
    everywhere = config.tools.everywhere
    return ToolRules(
        everywhere=None if everywhere is None else frozenset(everywhere),
        by_channel={channel_key: frozenset(channel.tools) for channel_key, channel in config.channels.items()},
    )


def loop_limits(config: Config) -> LoopLimits:
    tools = config.tools
    return LoopLimits(
        rounds=tools.rounds, calls_per_round=tools.calls_per_round, seconds=tools.seconds, cost_usd=tools.cost_usd
    )


def mcp_servers(config: Config) -> list[McpServer]:
    return [
        McpServer(
            name,
            command=server.command,
            url=server.url,
            env=server.env,
            reads_only=frozenset(server.reads_only),
            acts=frozenset(server.acts),
            tools=None if server.tools is None else frozenset(server.tools),
            deadline_s=server.deadline_s,
        )
        for name, server in config.mcp.servers.items()
    ]


def schemas(config: Config) -> dict[str, Schema]:
    """Saved schemas, by name."""
    return {name: schema_of(written) for name, written in config.schemas.items()}
