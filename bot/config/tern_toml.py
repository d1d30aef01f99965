"""tern.toml: what an operator changes while the bot runs. Strict, because a key that is silently ignored is a trap.

The dataclasses below are the file's grammar: a field is a key, a nested dataclass a table, and its default is what
holds when the key is absent. `Config.read` names every mistake with its key.
"""

from __future__ import annotations

import math
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from core.chat.personas import Reading
from core.domain.errors import BadRequest, SettingsError
from core.ports.platform import MAX_CHOICE_CHARS
from core.providers.flavours import FLAVOURS
from core.tools.names import OWN_TOOLS

Effort = Literal["none", "low", "medium", "high"]
Mistake = tuple[tuple[str, ...], str]
"""(path of the key, what is wrong with it)"""


@dataclass(frozen=True, slots=True)
class BotConfig:
    name: str = "Tern"
    daily_spend_usd: float | None = None
    """The whole bot stops asking paid models for the rest of the day (UTC) once this is spent."""
    reply_deadline_s: float = 900.0
    """How long a message is tried again while no model answers."""
    drain_s: float = 20.0
    """How long replies in flight may go on after SIGTERM."""
    lease_s: float = 10.0
    """How long after a process died another takes up what it was answering; renewed every third of it."""


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Ceilings of the rate guard: for each user, for each workspace, for everybody. 0 lifts one; an absent key leaves
    the default, which stands in core/gateway/quotas.py."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    cost_per_day_usd: float | None = None
    workspace_requests_per_minute: int | None = None
    workspace_tokens_per_minute: int | None = None
    workspace_tokens_per_day: int | None = None
    workspace_cost_per_day_usd: float | None = None
    global_requests_per_minute: int | None = None
    global_tokens_per_minute: int | None = None
    global_tokens_per_day: int | None = None
    global_cost_per_day_usd: float | None = None
    messages_per_minute: int | None = None
    """Of one user, at the door of the inbox: a flood stops there."""


@dataclass(frozen=True, slots=True)
class PersonaConfig:
    prompt: str
    model: str = ""
    temperature: float | None = None
    effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Under `[channels."slack:C123"]`: platform and the platform's own channel id."""

    persona: str = ""
    model: str = ""
    tools: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    """Ids of those who may ask here; on Discord of roles too. Empty: whoever may ask elsewhere."""
    context: Reading = "mention"
    """What is read around a question: "off", "thread" (its thread or reply chain), or "mention" (also the channel's
    last messages before a mention in it)."""
    memory: bool = True
    """Whether things may be remembered here, and used."""
    follow_ups: Literal["all", "asker", "mention"] | None = None
    """What goes on in a thread of this channel without naming the bot; absent: as elsewhere on the platform."""
    reactions: bool = False
    """Whether reactions are commands here (core/chat/reactions.py)."""
    threads: bool = False
    """Discord: each question gets a thread of its own."""


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """How long each kind is kept, in days; 0 keeps it for ever."""

    turns_days: int = 90
    usage_days: int = 400
    blobs_days: int = 30


@dataclass(frozen=True, slots=True)
class SlackConfig:
    """Fields and meaning are those of adapters/slack/settings.py."""

    distribution: Literal["internal", "marketplace", "unlisted"] = "internal"
    thread_follow_ups: Literal["all", "asker", "mention"] = "all"
    native_streaming: bool = True
    allow_channels: tuple[str, ...] = ()
    allow_users: tuple[str, ...] = ()
    allow_external: bool = False
    allow_guests: bool = False
    backfill_hours: float = 24.0
    backfill_conversations: int = 50
    max_attachment_bytes: int = 100 * 2**20
    suggested_prompts: Mapping[str, str] | None = None
    """Title = "message"; absent: those of the manifest."""


@dataclass(frozen=True, slots=True)
class DiscordConfig:
    """Fields and meaning are those of adapters/discord/settings.py. Ids without quotes."""

    allow_guilds: tuple[int, ...] = ()
    allow_channels: tuple[int, ...] = ()
    allow_roles: tuple[int, ...] = ()
    allow_users: tuple[int, ...] = ()
    allow_dms: Literal["everyone", "listed", "nobody"] = "everyone"
    allow_bots: tuple[int, ...] = ()
    follow_ups: Literal["all", "asker", "mention"] = "asker"
    most_messages: int = 8
    backfill_hours: float = 12.0
    backfill_messages: int = 200
    max_attachment_bytes: int = 100 * 2**20
    shard_ids: tuple[int, ...] = ()
    shard_count: int | None = None


@dataclass(frozen=True, slots=True)
class LocalConfig:
    for_chat_platforms: bool = False
    """Whether the small local model may stand in on Slack and Discord too."""
    for_page: bool = False
    """Whether the small local model may answer on the page, in the terminal and over the API while a provider with a
    key is away. Without any key it always does, and so does a model of your own (LOCAL_MODEL)."""
    idle_stop_s: float = 600.0
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class CacheConfig:
    entries: int = 500
    minutes: float = 10.0


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    local_model: str = ""
    """A faster-whisper model for recordings that nobody else hears: a name ("base") or a folder. Needs what
    `make voice` installs."""
    voice_replies: bool = False
    """Whether a voice clip is answered with a voice clip beside the text."""
    voice: str = "autumn"
    """Which voice reads; Groq's speech model decides what there is."""


@dataclass(frozen=True, slots=True)
class ToolsConfig:
    """What the model may call on the way to an answer, and how far it may go with it."""

    everywhere: tuple[str, ...] | None = None
    """Tools that are allowed in every place; absent: all that neither reach outside nor change anything."""
    rounds: int = 5
    """Times a model may ask for tools before it must answer."""
    calls_per_round: int = 4
    seconds: float = 60.0
    cost_usd: float = 0.05
    """Of one answer: above it the model must answer with what it knows."""
    confirm_minutes: float = 30.0
    """How long a question before an acting tool, or before a costly table, may be agreed to."""
    rows_ask_above_usd: float = 0.05
    """Above this estimate "for each row ..." asks before it begins."""


@dataclass(frozen=True, slots=True)
class McpServerConfig:
    """`[mcp.servers.NAME]`: either `command` (stdio) or `url` (streamable HTTP). Fields as in core/tools/mcp.py."""

    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    reads_only: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    tools: tuple[str, ...] | None = None
    deadline_s: float = 30.0


@dataclass(frozen=True, slots=True)
class McpConfig:
    servers: Mapping[str, McpServerConfig] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """`[providers.NAME]`: any OpenAI-compatible server; a model names it in `provider`."""

    base_url: str = ""
    """What stands before /chat/completions; may be left out where the flavour has an address of its own."""
    key: str = field(default="", repr=False)
    """"env:NAME": the variable that holds it. The key itself does not belong into this file."""
    flavour: str = "compatible"
    """How the server differs: core/providers/flavours.py."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file. `models` is checked by the registry, which knows what a model is."""

    bot: BotConfig = BotConfig()
    limits: LimitsConfig = LimitsConfig()
    personas: Mapping[str, PersonaConfig] = field(default_factory=dict)
    channels: Mapping[str, ChannelConfig] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    retention: RetentionConfig = RetentionConfig()
    slack: SlackConfig = SlackConfig()
    discord: DiscordConfig = DiscordConfig()
    local: LocalConfig = LocalConfig()
    cache: CacheConfig = CacheConfig()
    voice: VoiceConfig = VoiceConfig()
    tools: ToolsConfig = ToolsConfig()
    mcp: McpConfig = McpConfig()
    schemas: Mapping[str, Any] = field(default_factory=dict)
    """Saved schemas for `extract`, by name: the short form as a text, or a JSON Schema as a table."""

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the file at *path*; the defaults where there is none.

        Raises:
            SettingsError: As `read`, or when the file cannot be opened.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([f"{path} cannot be read: {error}"]) from error
        return cls.read(text, name=str(path))

    @classmethod
    def read(cls, text: str, *, name: str = "tern.toml") -> Config:
        """Read the file's *text*.

        Raises:
            SettingsError: One sentence for each mistake: "tern.toml: limits.tokens_per_day: ...";
                with the line where the file is no TOML.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError([_syntax_problem(name, str(error), last_line=text.count("\n") + 1)]) from error
        except ValueError as error:  # Python takes no number of more than 4,300 digits, and tomllib passes that on
            raise SettingsError([f"{name}: not valid TOML: a number has too many digits"]) from error
        except RecursionError as error:
            raise SettingsError([f"{name}: lists or tables stand too deep in each other"]) from error
        reader = _Reader()
        config: Config = reader.value(cls, table, ())
        mistakes = reader.mistakes or _cross_checks(config)
        if mistakes:
            raise SettingsError([f"{name}: {_dotted(path)}: {why}" for path, why in mistakes])
        return config


def _dotted(path: tuple[str, ...]) -> str:
    """As TOML writes it: channels."slack:C1".tools; a key of any length takes little room."""
    return ".".join(key if _BARE.fullmatch(key) else f'"{key[:40]}"' for key in path)


def _syntax_problem(name: str, error: str, *, last_line: int) -> str:
    """tomllib says "Invalid value (at line 3, column 5)", or "(at end of document)"."""
    what, _, where = error.rstrip(")").rpartition(" (at ")
    what = f"not valid TOML: {what[:1].lower()}{what[1:]}"
    if not where.startswith("line "):
        return f"{name}, line {last_line}: {what}"
    line, _, column = where.partition(", ")
    return f"{name}, {line}: {what} ({column})"


def _cross_checks(config: Config) -> list[Mistake]:
    mistakes: list[Mistake] = []
    for channel_key, channel in config.channels.items():
        if (
            channel_key.partition(":")[0] not in {"slack", "discord", "web", "terminal"}
            or not channel_key.partition(":")[2]
        ):
            mistakes.append(
                (("channels", channel_key), f'a channel is named "slack:C123" or "discord:42", not "{channel_key}"')
            )
        if channel.persona and channel.persona not in config.personas:
            known = ", ".join(config.personas) or "none yet"
            mistakes.append(
                (
                    ("channels", channel_key, "persona"),
                    f'there is no persona "{channel.persona}"; personas here: {known}',
                )
            )
        if channel.allow and channel_key.partition(":")[0] not in {"slack", "discord"}:
            mistakes.append(
                (("channels", channel_key, "allow"), '"allow" works on Slack and Discord, where people have ids')
            )
        if channel_key.startswith("discord:") and not all(
            each.isdecimal() for each in (*channel.allow, channel_key[8:])
        ):
            mistakes.append((("channels", channel_key), "Discord's ids are numbers"))
    mistakes += _tool_mistakes(config) + _schema_mistakes(config) + _provider_mistakes(config)
    if len(config.slack.suggested_prompts or ()) > 4:  # facts/slack.md 1.1
        mistakes.append((("slack", "suggested_prompts"), 'Slack shows four "suggested_prompts" at most'))
    if config.discord.most_messages < 1:
        mistakes.append((("discord", "most_messages"), '"most_messages" must be at least 1'))
    if config.discord.shard_ids and config.discord.shard_count is None:
        mistakes.append((("discord", "shard_ids"), '"shard_ids" needs "shard_count" beside it'))
    return mistakes


def _tool_mistakes(config: Config) -> list[Mistake]:
    mistakes: list[Mistake] = []
    for name, server in config.mcp.servers.items():
        if not _SERVER_NAME.fullmatch(name):
            mistakes.append((("mcp", "servers", name), "a server's name is made of letters, digits, - and single _"))
        if bool(server.command) == bool(server.url):
            mistakes.append((("mcp", "servers", name), f'[mcp.servers.{name}] needs either "command" or "url"'))
    lists: list[tuple[tuple[str, ...], tuple[str, ...]]] = [(("tools", "everywhere"), config.tools.everywhere or ())]
    lists += [(("channels", channel_key, "tools"), channel.tools) for channel_key, channel in config.channels.items()]
    for path, tools in lists:
        for tool in tools:
            if tool not in OWN_TOOLS and tool.partition("__")[0] not in config.mcp.servers:
                known = ", ".join(sorted(OWN_TOOLS))
                mistakes.append((path, f'there is no tool "{tool}"; tools here: {known}, and SERVER__TOOL'))
    return mistakes


def _provider_mistakes(config: Config) -> list[Mistake]:
    mistakes: list[Mistake] = []
    for name, provider in config.providers.items():
        at = ("providers", name)
        if not _PROVIDER_NAME.fullmatch(name) or name in _TAKEN:
            why = f"a provider's name is made of a-z, 0-9 and -, and is none of {', '.join(sorted(_TAKEN))}"
            mistakes.append((at, why))
        if provider.flavour not in FLAVOURS:
            mistakes.append(
                ((*at, "flavour"), f'there is no flavour "{provider.flavour}"; one of {", ".join(FLAVOURS)}')
            )
        elif not provider.base_url and not FLAVOURS[provider.flavour].base_url:
            mistakes.append((at, f'[providers.{name}] needs "base_url": where its /chat/completions is'))
        if provider.base_url and not re.match(r"https?://[^\s/]", provider.base_url):
            mistakes.append(((*at, "base_url"), '"base_url" begins with https:// or http://'))
        if provider.key and not _KEY_OF.fullmatch(provider.key):
            mistakes.append(((*at, "key"), '"key" names the variable that holds it: "env:MY_KEY"'))
    return mistakes


_PROVIDER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_TAKEN: Final = frozenset({"groq", "openai", "local", "local-voice"})
_KEY_OF: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


def _schema_mistakes(config: Config) -> list[Mistake]:
    if not config.schemas:
        return []
    from core.extraction.schema import schema_of  # its validator takes a while to load, and few files need it

    mistakes: list[Mistake] = []
    for name, schema in config.schemas.items():
        if len(name) > MAX_CHOICE_CHARS:
            mistakes.append((("schemas", name), f"a name is a button's label: {MAX_CHOICE_CHARS} characters at most"))
        try:
            schema_of(schema)
        except BadRequest as error:
            mistakes.append((("schemas", name), error.problem))
    return mistakes


_BARE = re.compile(r"[A-Za-z0-9_-]{1,40}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*")


class _Reader:
    """Turns plain TOML values into the types that the dataclasses declare, collecting (path, why)."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def value(self, wanted: Any, given: Any, path: tuple[str, ...]) -> Any:
        """Return *given* as *wanted*; None after a mistake, which is then in `mistakes`."""
        origin, arguments = get_origin(wanted), get_args(wanted)
        if is_dataclass(wanted):
            return self._table(wanted, given, path)
        if origin in (Union, types.UnionType):
            return self.value(next(each for each in arguments if each is not type(None)), given, path)
        if origin is Literal:
            return given if given in arguments else self._wrong(path, f"one of {', '.join(arguments)}", given)
        if origin is tuple:
            if not isinstance(given, list):
                return self._wrong(path, "a list, for example [...]", given)
            return tuple(self.value(arguments[0], each, path) for each in given)
        if origin is Mapping or wanted is Mapping:
            if not isinstance(given, dict):
                return self._wrong(path, "a table", given)
            return {key: self.value(arguments[1], each, (*path, key)) for key, each in given.items()}
        return self._plain(wanted, given, path)

    def _plain(self, wanted: Any, given: Any, path: tuple[str, ...]) -> Any:
        if wanted is Any:
            return given
        if type(given) is int and wanted in (int, float):
            if abs(given) >= _TOO_LARGE:
                return self._wrong(path, f"{_PLAIN[wanted]} of 0 or more, below 2^63", given)
            given = wanted(given)
        if type(given) is not wanted:
            return self._wrong(path, _PLAIN[wanted], given)
        if wanted in (int, float) and not (math.isfinite(given) and given >= 0):
            return self._wrong(path, f"{_PLAIN[wanted]} of 0 or more", given)
        return given

    def _table(self, wanted: Any, given: Any, path: tuple[str, ...]) -> Any:
        if not isinstance(given, dict):
            return self._wrong(path, "a table", given)
        hints = _hints(wanted)
        values = {}
        for key, each in given.items():
            if key in hints:
                values[key] = self.value(hints[key], each, (*path, key))
            else:
                where = f"[{'.'.join(path)}]" if path else "this file"
                self.mistakes.append(((*path, key), f'unknown key "{key}"; {where} may have {", ".join(hints)}'))
        for each in fields(wanted):
            if each.name not in values and not _has_default(each):
                self.mistakes.append((path, f'"{each.name}" is missing in [{".".join(path)}]'))
                return None
        return wanted(**values)

    def _wrong(self, path: tuple[str, ...], wanted: str, given: Any) -> None:
        given_instead = "" if path[:2] == _MAY_HOLD_KEYS else f", not {_shown(given)}"
        self.mistakes.append((path, f'"{path[-1]}" must be {wanted}{given_instead}'))


_MAY_HOLD_KEYS = ("mcp", "servers")
"""A server's command, address and environment may; nothing of them is repeated."""

_TOO_LARGE = 2**63
"""What TOML asks of a reader, and the database can hold."""

_PLAIN = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING


@lru_cache
def _hints(wanted: type) -> dict[str, Any]:
    return get_type_hints(wanted)


def _shown(given: Any) -> str:
    match given:
        case bool():
            return str(given).lower()
        case dict():
            return "a table"
        case list():
            return "a list"
        case int() if abs(given) >= _TOO_LARGE:
            return "a number this long"
        case str():
            return f'"{given[:40]}"'
        case _:
            return str(given)
