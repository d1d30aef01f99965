"""`[providers.NAME]` of tern.toml: read, checked, and switched on."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config.loading import load
from bot.config.tern_toml import Config
from bot.wiring.providers import named_providers
from core.domain.errors import SettingsError
from core.providers.groq import GroqProvider
from core.providers.named import NamedProvider

FILE = """
[providers.router]
flavour = "openrouter"
key = "env:ROUTER_KEY"

[providers.groq-team]
flavour = "groq"
key = "env:TEAM_KEY"

[providers.rack]
base_url = "http://10.0.0.7:8000/v1"
flavour = "vllm"

[models."router/deepseek/deepseek-v4"]
provider = "router"
tier = "quality"
context_window = 64_000
max_output = 8_000
capabilities = ["text"]
"""


def test_servers_by_name(tmp_path: Path) -> None:
    """Each with its own key from the environment; several keys of Groq among them; no key where none is needed."""
    (tmp_path / "tern.toml").write_text(FILE)
    environ = {"TERN_CONFIG": str(tmp_path / "tern.toml"), "ROUTER_KEY": "rk-secret", "TEAM_KEY": "gsk-secret"}

    loaded = load(environ)
    found = named_providers(loaded.settings, loaded.config)

    assert {name: type(one) for name, one in found.items()} == {
        "router": NamedProvider,
        "groq-team": GroqProvider,
        "rack": NamedProvider,
    }
    assert found["groq-team"].name == "groq-team"
    assert loaded.registry.get("router/deepseek/deepseek-v4").name_there == "deepseek/deepseek-v4"
    assert {"rk-secret", "gsk-secret"} <= set(loaded.settings.secrets())
    assert "secret" not in repr(loaded)


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By the name of its variable, and of whoever wants it."""
    (tmp_path / "tern.toml").write_text(FILE)

    with pytest.raises(SettingsError) as caught:
        load({"TERN_CONFIG": str(tmp_path / "tern.toml"), "TEAM_KEY": "gsk-secret"})

    assert "ROUTER_KEY is not set" in str(caught.value)
    assert "providers.router" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[providers.groq]\nbase_url = "https://x/v1"', "none of"),
        ('[providers."A B"]\nbase_url = "https://x/v1"', "made of"),
        ("[providers.x]", 'needs "base_url"'),
        ('[providers.x]\nbase_url = "x:1"', "begins with https"),
        ('[providers.x]\nflavour = "openrouter"\nkey = "sk-12345"', "names the variable"),
        ('[providers.x]\nflavour = "moon"', "there is no flavour"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, why: str) -> None:
    """Before anything is asked, and without the key that somebody wrote there."""
    with pytest.raises(SettingsError) as caught:
        Config.read(text)

    assert why in str(caught.value)
    assert "12345" not in str(caught.value)
