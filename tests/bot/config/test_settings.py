"""The environment is read once, strictly, and without repeating a secret."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.config.settings import NAMES, Settings, environment, near_misses, parse_dotenv, public
from core.domain.errors import SettingsError


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ)
    return caught.value.problems


def test_empty_environment_is_enough() -> None:
    """With nothing set, every setting has a default and the page is for this machine only."""
    settings = Settings.from_env({})

    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.loopback_only
    assert not settings.has_model_key


def test_all_problems_are_reported_together() -> None:
    """One start-up message names every wrong setting."""
    found = problems({"PORT": "http", "GROQ_BASE_URL": "api.groq.com", "LOG_LEVEL": "loud", "SECRET_KEY": "short"})

    assert {line.split()[0] for line in found} == {"GROQ_BASE_URL", "PORT", "SECRET_KEY", "LOG_LEVEL"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "70000", "from 0 to 65535"),
        ("PORT", "-1", "from 0 to 65535"),
        ("OPENAI_BASE_URL", "ftp://x", "begins with https://"),
        ("DISCORD_GATEWAY_URL", "https://gateway", "begins with wss://"),
        ("DISCORD_MESSAGE_CONTENT", "maybe", "true or false"),
        ("LOG_FORMAT", "xml", "auto, console, json"),
        ("LOCAL_MODEL", "/no/such/file.gguf", "not a file"),
        ("LOCAL_MODEL", "http://", "whole URL"),
        ("DATABASE_URL", "tern.db", "must be a URL"),
        ("TERN_CONFIG", "/no/such/tern.toml", "not a file"),
        ("SLACK_BOT_TOKEN", "xapp-1-A-secret", "SLACK_APP_TOKEN"),
        ("SLACK_APP_TOKEN", "xoxb-1-secret", "SLACK_BOT_TOKEN"),
        ("GROQ_API_KEY", "sk-secret", "an OpenAI key"),
        ("OPENAI_API_KEY", "gsk_secret", "a Groq key"),
        ("DISCORD_BOT_TOKEN", "Bot secret", '"Bot " before it'),
        ("GROQ_API_KEY", "gsk_a\x00secret", "control character"),
        ("GROQ_BASE_URL", "http://localhost:port", "begins with https://"),
        ("LOCAL_MODEL", "htp://key:secret@localhost/v1", "not a file"),
        ("LOCAL_MODEL", "http://key:secret@\u2100/v1", "whole URL"),
        ("DATABASE_URL", "postgresql://tern:secret[1]@db/tern", "%5B"),
    ],
)
def test_wrong_value_says_what_to_do(name: str, value: str, expected: str) -> None:
    """A wrong value is named with what would be right; a secret is not repeated."""
    (problem,) = problems({name: value})

    assert problem.startswith(name)
    assert expected in problem
    assert "secret" not in problem


def test_surrounding_whitespace_is_dropped() -> None:
    """A key pasted with a line break works."""
    assert Settings.from_env({"GROQ_API_KEY": " gsk_abc\n"}).groq_api_key == "gsk_abc"


def test_secrets_are_not_in_the_repr() -> None:
    """Printing the settings shows no key, token, password or proxy credential."""
    secret = {name: f"hidden-value-of-{name.lower()}" for name in NAMES if "KEY" in name or "TOKEN" in name}
    urls = {
        "DATABASE_URL": "postgresql+asyncpg://u:hidden-value@db/t",
        "HTTPS_PROXY": "http://u:hidden-value@proxy:3128",
    }
    settings = Settings.from_env(secret | urls)

    assert "hidden-value" not in repr(settings)
    assert "hidden-value" not in str(public(settings))


def test_secrets_lists_every_hidden_value() -> None:
    """The log's filter is told every secret, each API key by itself and the passwords inside URLs."""
    urls = {"HTTPS_PROXY": "http://user:pass-word@proxy:1", "LOCAL_MODEL": "http://:local-key@127.0.0.1/v1"}
    settings = Settings.from_env({"API_KEYS": "key-one-and-random, key-two-and-random"} | urls)

    assert set(settings.secrets()) == {"key-one-and-random", "key-two-and-random", "pass-word", "local-key"}


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_loopback_addresses_are_private(host: str, loopback: bool) -> None:
    """Anything but a loopback address can be reached by others."""
    assert Settings.from_env({"HOST": host}).loopback_only is loopback


def test_lower_case_proxy_is_understood() -> None:
    """https_proxy is what most tools set."""
    assert Settings.from_env({"https_proxy": "http://proxy:3128"}).https_proxy == "http://proxy:3128"


@pytest.mark.parametrize("word", ["off", "OFF", "none", "0"])
def test_local_model_can_be_switched_off(word: str) -> None:
    """LOCAL_MODEL=off and its synonyms mean no local model."""
    assert Settings.from_env({"LOCAL_MODEL": word}).local_model == "off"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("A = 1", "1"),
        ("export A=1", "1"),
        ("A='x # y'", "x # y"),
        ('A="x y" # comment', "x y"),
        ("A=x#y", "x#y"),
        ("A=x # comment", "x"),
        ("A=", ""),
        ("\ufeffA=1", "1"),
    ],
)
def test_dotenv_line(line: str, value: str, tmp_path: Path) -> None:
    """Quotes, comments and `export` mean in .env what people expect."""
    (tmp_path / ".env").write_text(line, encoding="utf-8")

    assert environment(tmp_path)["A"] == value


def test_dotenv_mistake_names_the_line_but_not_its_text() -> None:
    """A line that cannot be read is told by number; its text may be a secret."""
    with pytest.raises(SettingsError) as caught:
        parse_dotenv("# fine\nA=1\ngsk_pasted_alone\n")

    assert caught.value.problems == (".env, line 3: expected NAME=value",)


def test_real_environment_beats_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set, even to nothing, wins over .env."""
    (tmp_path / ".env").write_text("GROQ_API_KEY=gsk_file\nPORT=9000\n")
    monkeypatch.setenv("GROQ_API_KEY", "")
    monkeypatch.delenv("PORT", raising=False)

    settings = Settings.from_env(environment(tmp_path))

    assert settings.groq_api_key == ""
    assert settings.port == 9000


PIECES = (
    *(
        "http://",
        "https://",
        "htp://",
        "sqlite://",
        "wss://",
        "//",
        "/",
        "..",
        "~",
        "~nobody",
        "[",
        "]",
        "::1",
        "@",
        ":",
    ),
    *("?", "#", "%", "\0", "\n", " ", "\ud800", "\u2100", "\u200b", "\u0663", "\xb2", "\xe9", "9" * 5_000, "x" * 300),
    *("xapp-", "gsk_", "Bot ", "true", "8080", "host", "off"),
)
SECRET = "hunter2"
HIDDEN = frozenset(each.name.upper() for each in fields(Settings) if not each.repr)


@given(st.dictionaries(
    st.sampled_from((*NAMES, "https_proxy")),
    st.lists(st.sampled_from(PIECES) | st.just(SECRET) | st.text(st.characters(codec=None), max_size=3), max_size=5)
    .map("".join), max_size=6,
))  # fmt: skip
@example({"DATA_DIR": "~nobody"})
@example({"TERN_CONFIG": "x" * 300})
@example({"TERN_CONFIG": "\0"})
@example({"TERN_CONFIG": "\ud800"})
@example({"LOCAL_MODEL": "x" * 300})
@example({"LOCAL_MODEL": "http://[hunter2"})
@example({"PORT": "9" * 5_000})
@example({"DATABASE_URL": "https://user:hunter2@a\u2100"})
def test_any_environment_is_settings_or_sentences(environ: dict[str, str]) -> None:
    """Whatever stands in the variables, they are read, or every problem is a line that can be printed, begins with the
    variable's name and repeats nothing: a secret may stand on any line by mistake."""
    found: Settings | None = None
    said: tuple[str, ...] = ()
    try:
        found = Settings.from_env(environ)
    except SettingsError as error:
        said = error.problems

    assert (found is None) == bool(said)
    for problem in said:
        assert problem.startswith((*NAMES, "https_proxy"))
        assert len(problem.encode().splitlines()) == 1
        assert SECRET not in problem
    if found is not None:
        shown = [value for name, value in environ.items() if name not in HIDDEN and SECRET in value]
        assert shown or SECRET not in f"{found!r}{public(found)}"
        assert all(found.secrets())


@given(st.lists(st.sampled_from((*PIECES, SECRET, "A=", "export ", "'", '"', "=")) | st.text(max_size=3)).map("".join))
def test_any_dotenv_is_read_or_named_by_line(text: str) -> None:
    """Whatever stands in .env; no line is repeated, for it may hold a secret."""
    said: tuple[str, ...] = ()
    try:
        parse_dotenv(text)
    except SettingsError as error:
        said = error.problems

    assert all(re.fullmatch(r"\.env, line \d+: expected NAME=value", problem) for problem in said)


def test_misspelt_name_gets_a_hint() -> None:
    """A variable that is nearly ours is named with the one that was meant; others are left alone."""
    hints = near_misses({"DISCORD_TOKEN": "x", "GROQ_API_KEY": "y", "SLACK_WEBHOOK_CHANNEL_OF_MINE": "z", "PATH": ""})

    assert hints == ["DISCORD_TOKEN is not a setting of Tern; did you mean DISCORD_BOT_TOKEN?"]


@pytest.mark.parametrize("keys", ["a", "key-one,a-long-and-random-key", "a" * 40, "abababababababababab", "1234567890"])
def test_keys_that_can_be_guessed_are_refused(keys: str) -> None:
    """A short key, and one of few different characters, is a mistake that names how to make a good one."""
    with pytest.raises(SettingsError, match=r"API_KEYS holds a key that can be guessed.*token_urlsafe") as caught:
        Settings.from_env({"API_KEYS": keys})

    assert len(keys) < 5 or keys not in str(caught.value)


@pytest.mark.parametrize("hosts", ["https://bot.example.org", "bot.example.org:443", "bot.example.org/tern", "a b/c"])
def test_public_hosts_are_names_alone(hosts: str) -> None:
    """What is compared with a Host header has no scheme, port or path."""
    with pytest.raises(SettingsError, match="PUBLIC_HOSTS names hosts without scheme"):
        Settings.from_env({"PUBLIC_HOSTS": hosts})

    assert Settings.from_env({"PUBLIC_HOSTS": "Bot.example.org, [::1]"}).public_hosts == ("bot.example.org", "::1")
