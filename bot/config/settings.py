"""What the environment says, read once: the only place in the house that looks at it.

Everything here is a contract with operators (names, defaults, meaning); `.env.example` lists it and the README explains
it. What an operator changes while the bot runs (personas, limits, models) is in tern.toml; see tern_toml.py.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

from core.domain.errors import SettingsError

T = TypeVar("T")

LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

MIN_DIFFERENT_CHARS = 6
"""In one key; fewer is a pattern, not chance."""

MIN_SECRET_CHARS = 16
"""Shorter secrets can be guessed; `python -c "import secrets; print(secrets.token_urlsafe())"` makes a good one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One field per environment variable, in lower case. An empty string means "not set"."""

    groq_api_key: str = field(default="", repr=False)
    groq_base_url: str = ""
    openai_api_key: str = field(default="", repr=False)
    openai_base_url: str = ""
    slack_bot_token: str = field(default="", repr=False)
    slack_app_token: str = field(default="", repr=False)
    slack_signing_secret: str = field(default="", repr=False)
    slack_client_id: str = ""
    slack_client_secret: str = field(default="", repr=False)
    slack_redirect_uri: str = ""
    slack_api_url: str = ""
    discord_bot_token: str = field(default="", repr=False)
    discord_api_url: str = ""
    discord_gateway_url: str = ""
    discord_message_content: bool = False
    """Ask for the privileged message content intent."""
    local_model: str = field(default="", repr=False)
    """"" for the embedded model, "off", a path to a GGUF file, or the URL of an OpenAI-compatible server. Hidden: such
    a URL may carry a key."""
    database_url: str = field(default="", repr=False)
    """"" for SQLite in `data_dir`. Hidden: such URLs may carry a password."""
    data_dir: Path = Path("data")
    tern_config: Path = Path("tern.toml")
    host: str = "127.0.0.1"
    port: int = 8080
    """0 lets the system choose."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    public_hosts: tuple[str, ...] = ()
    """Names under which a proxy offers the page and the API."""
    secret_key: str = field(default="", repr=False)
    """"" for one that is made on the first start and kept in `data_dir`."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    https_proxy: str = field(default="", repr=False)
    provider_keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """(name, key) of each `[providers.NAME]` in tern.toml whose key is in the environment."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read *environ*; whitespace around values is dropped.

        Raises:
            SettingsError: With every problem found, one line each, saying what to do.
        """
        reader = _Reader(environ)
        settings = cls(
            groq_api_key=reader.text("GROQ_API_KEY", not_like={"sk-": "an OpenAI key"}),
            groq_base_url=reader.url("GROQ_BASE_URL"),
            openai_api_key=reader.text("OPENAI_API_KEY", not_like={"gsk_": "a Groq key"}),
            openai_base_url=reader.url("OPENAI_BASE_URL"),
            slack_bot_token=reader.text(
                "SLACK_BOT_TOKEN",
                not_like={"xapp-": "an app-level token (SLACK_APP_TOKEN)", "xoxp-": "a user token; the bot's is xoxb-"},
            ),
            slack_app_token=reader.text(
                "SLACK_APP_TOKEN", not_like={"xoxb-": "a bot token (SLACK_BOT_TOKEN)", "xoxp-": "a user token"}
            ),
            slack_signing_secret=reader.text(
                "SLACK_SIGNING_SECRET", not_like={"xoxb-": "a bot token", "xapp-": "an app-level token"}
            ),
            slack_client_id=reader.text("SLACK_CLIENT_ID"),
            slack_client_secret=reader.text("SLACK_CLIENT_SECRET", not_like={"xoxb-": "a bot token"}),
            slack_redirect_uri=reader.url("SLACK_REDIRECT_URI"),
            slack_api_url=reader.url("SLACK_API_URL"),
            discord_bot_token=reader.text("DISCORD_BOT_TOKEN", not_like={"Bot ": 'the token with "Bot " before it'}),
            discord_api_url=reader.url("DISCORD_API_URL"),
            discord_gateway_url=reader.url("DISCORD_GATEWAY_URL", schemes=("wss", "ws")),
            discord_message_content=reader.flag("DISCORD_MESSAGE_CONTENT", default=False),
            local_model=reader.checked("LOCAL_MODEL", _local_model),
            database_url=reader.checked("DATABASE_URL", _database_url),
            data_dir=Path(reader.checked("DATA_DIR", lambda value: str(_path(value))) or "data"),
            tern_config=Path(reader.checked("TERN_CONFIG", config_file) or "tern.toml"),
            host=reader.text("HOST") or "127.0.0.1",
            port=reader.port("PORT", default=8080),
            api_keys=reader.listed("API_KEYS", _api_key),
            public_hosts=reader.listed("PUBLIC_HOSTS", _host_name),
            secret_key=reader.checked("SECRET_KEY", _secret_key),
            log_level=cast(LogLevel, reader.choice("LOG_LEVEL", ("info", "debug", "warning", "error"))),
            log_format=cast(LogFormat, reader.choice("LOG_FORMAT", ("auto", "console", "json"))),
            https_proxy=reader.url("HTTPS_PROXY", also="https_proxy"),
        )
        if reader.problems:
            raise SettingsError(reader.problems)
        return settings

    def secrets(self) -> tuple[str, ...]:
        """Every value that must never be seen in a log, an error or a page."""
        urls = ("local_model", "database_url", "https_proxy")
        apart = {*urls, "provider_keys"}
        hidden = [getattr(self, each.name) for each in fields(self) if not each.repr and each.name not in apart]
        hidden += [key for _, key in self.provider_keys]
        values = [value for entry in hidden for value in (entry if isinstance(entry, tuple) else (entry,))]
        passwords = [urlsplit(getattr(self, name)).password for name in urls]
        return tuple(value for value in [*values, *passwords] if value)

    @property
    def has_model_key(self) -> bool:
        return bool(self.groq_api_key or self.openai_api_key)

    @property
    def loopback_only(self) -> bool:
        """Whether nobody but this machine reaches the page, so that it needs no key."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")


NAMES: tuple[str, ...] = tuple(each.name.upper() for each in fields(Settings) if each.name != "provider_keys")
"""The environment variables that we read, in the order of the fields; those that tern.toml names come beside them."""


def environment(directory: Path = Path()) -> dict[str, str]:
    """Return the process's environment over what *directory*'s `.env` says.

    A variable that is set, even to nothing, beats its line in `.env`: `GROQ_API_KEY= make run` tries the bot without.

    Raises:
        SettingsError: If `.env` has lines that cannot be read.
    """
    path = directory / ".env"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} cannot be read: {error}"]) from error
    return parse_dotenv(text) | dict(os.environ)  # noqa: TID251 - the one place


def child_environment() -> dict[str, str]:
    """What a process of ours needs of this one's environment: no setting and no secret is among it."""
    needed = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")
    ours = os.environ  # noqa: TID251 - the other half of the one place
    return {name: ours[name] for name in needed if name in ours}


_DOTENV_LINE = re.compile(
    r"""(?:export\s+)? (?P<name>[A-Za-z_][A-Za-z0-9_]*) \s*=\s*
        (?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<bare>.*?) )
        \s* (?:(?<=\s)\#.*)? """,
    re.VERBOSE,
)


def parse_dotenv(text: str) -> dict[str, str]:
    """Read `NAME=value` lines; quotes, `export` and comments are understood, `$VARIABLES` are not expanded.

    Raises:
        SettingsError: Naming every line that is none of these. The line itself is not repeated: it may hold a secret.
    """
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _DOTENV_LINE.fullmatch(stripped)
        if match is None:
            problems.append(f".env, line {number}: expected NAME=value")
            continue
        values[match["name"]] = match["single"] or match["double"] or match["bare"] or ""
    if problems:
        raise SettingsError(problems)
    return values


def near_misses(environ: Mapping[str, str]) -> list[str]:
    """Name variables that look like ours but are not: a typing mistake would otherwise just switch something off."""
    ours = re.compile(r"(GROQ|SLACK|DISCORD|TERN)_")
    hints = []
    for name in sorted(environ):
        if name in NAMES or not ours.match(name):
            continue
        close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.7)
        if close:
            hints.append(f"{name} is not a setting of Tern; did you mean {close[0]}?")
    return hints


class _Reader:
    """Reads one variable at a time and collects what is wrong. Never repeats a value: whoever fills in `.env` may have
    pasted a token on the wrong line.

    A *check* answers with the value to use, or raises ValueError with what to do, in words of our own: the library's
    may repeat what they could not read.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, *, not_like: Mapping[str, str] | None = None) -> str:
        """*not_like*: prefixes of values that people paste here by mistake -> what such a value is."""
        value = self._environ.get(name, "").strip()
        for prefix, what in (not_like or {}).items():
            if value.startswith(prefix):
                self.problems.append(f"{name} holds {what}; see .env.example")
        if value and not value.isprintable():
            self.problems.append(f"{name} holds a control character; was it pasted whole, on one line?")
        return value

    def checked(self, name: str, check: Callable[[str], str]) -> str:
        value = self.text(name)
        if not value.isprintable():
            return ""
        try:
            return check(value) if value else ""
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return ""

    def listed(self, name: str, check: Callable[[str], str]) -> tuple[str, ...]:
        """Values separated by commas or blanks, each as *check* has it."""
        return tuple(_listed(self.checked(name, lambda value: " ".join(map(check, _listed(value))))))

    def url(self, name: str, *, schemes: tuple[str, ...] = ("https", "http"), also: str = "") -> str:
        value = self.text(name) or (self.text(also) if also else "")
        if value and not _is_url(value, schemes):
            self.problems.append(f"{name} must be a URL that begins with {schemes[0]}://")
        return value.rstrip("/")

    def port(self, name: str, *, default: int) -> int:
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"\d{1,5}", value) or int(value) > 65_535:
            self.problems.append(f"{name} must be a number from 0 to 65535")
            return default
        return int(value)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """The first choice is the default."""
        value = self.text(name).lower() or choices[0]
        if value not in choices:
            self.problems.append(f"{name} must be one of {', '.join(choices)}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name).lower()
        if value in {"1", "true", "yes", "on"}:
            return True
        if value in {"0", "false", "no", "off"}:
            return False
        if value:
            self.problems.append(f"{name} must be true or false")
        return default


def _local_model(value: str) -> str:
    if value.lower() in {"off", "none", "false", "0", "no"}:
        return "off"
    if value.startswith(("http://", "https://")):
        if not _is_url(value, ("http", "https")):
            raise ValueError("must be a whole URL, for example http://127.0.0.1:11434/v1")
        return value
    path = _path(value)
    if not _is_file(path):
        raise ValueError("is not a file; give the path of a GGUF file, a URL, or off")
    return str(path)


def config_file(value: str) -> str:
    """The path that TERN_CONFIG names. Raises ValueError with what is wrong with it."""
    path = _path(value)
    if not _is_file(path):
        raise ValueError("is not a file; give the path of a tern.toml")
    return str(path)


def _path(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError("begins with ~ and the name of nobody here; give the path in full") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than any file's name
        return False


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port >= 0)
    except ValueError:  # a port that is no number among others; it is first looked at when it is asked for
        return False


def _database_url(value: str) -> str:
    scheme, found, _ = value.partition("://")
    try:
        urlsplit(value)
    except ValueError:  # not chained: it holds the password
        raise ValueError("cannot be taken apart; write / ? # [ ] of a password as %2F %3F %23 %5B %5D") from None
    if not found or not re.fullmatch(r"[a-z0-9]+(\+[a-z0-9]+)?", scheme):
        raise ValueError("must be a URL, for example sqlite:///data/tern.db")
    return value


def _listed(value: str) -> list[str]:
    return [each for each in re.split(r"[,\s]+", value) if each]


def _api_key(value: str) -> str:
    # a key of one letter is guessed at once, and so is one letter written sixteen times
    if len(value) < MIN_SECRET_CHARS or len(set(value)) < MIN_DIFFERENT_CHARS:
        raise ValueError(
            f"holds a key that can be guessed; give each at least {MIN_SECRET_CHARS} random characters "
            '(python -c "import secrets; print(secrets.token_urlsafe())" makes one)'
        )
    return value


def _host_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", value):
        raise ValueError("names hosts without scheme, port or path, for example bot.example.org")
    return value.strip("[]").lower()


def _secret_key(value: str) -> str:
    if any(len(key) < MIN_SECRET_CHARS for key in value.split()):
        raise ValueError(f"must have at least {MIN_SECRET_CHARS} characters; leave it out to have one made for you")
    return value


def public(settings: Settings) -> dict[str, Any]:
    """The settings with secrets reduced to whether they are set, for doctor and the debug log."""
    return {
        each.name: (getattr(settings, each.name) if each.repr else bool(getattr(settings, each.name)))
        for each in fields(settings)
    }
