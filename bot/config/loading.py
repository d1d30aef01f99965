"""Reads settings and tern.toml together, so that one start-up message names everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bot.config.settings import Settings, config_file
from bot.config.tern_toml import Config
from core.domain.errors import SettingsError
from core.gateway.registry import Registry, load_registry


@dataclass(frozen=True, slots=True)
class Loaded:
    settings: Settings
    config: Config
    registry: Registry


def load(environ: Mapping[str, str]) -> Loaded:
    """Read everything an operator says.

    Raises:
        SettingsError: With the problems of the environment and of tern.toml, all of them.
    """
    problems: list[str] = []
    settings, config, registry = Settings(), Config(), None
    try:
        settings = Settings.from_env(environ)
    except SettingsError as error:
        problems += error.problems
    path = _config_path(environ)
    try:
        config = Config.load(path)
        registry = registry_of(config, path)
    except SettingsError as error:
        problems += error.problems
    keys: list[tuple[str, str]] = []
    for name, provider in config.providers.items():
        variable = provider.key.removeprefix("env:")
        key = environ.get(variable, "").strip() if variable else ""
        if variable and not (key.isascii() and key.isprintable() and key):
            problems.append(f"{variable} is not set, or holds no key; [providers.{name}] in {path} names it")
        keys.append((name, key))
    if problems or registry is None:
        raise SettingsError(problems)
    return Loaded(replace(settings, provider_keys=tuple(keys)), config, registry)


def _config_path(environ: Mapping[str, str]) -> Path:
    """Where tern.toml is, also while other settings are wrong; the usual place where TERN_CONFIG is itself."""
    named = environ.get("TERN_CONFIG", "").strip()
    try:
        return Path(config_file(named)) if named else Settings().tern_config
    except ValueError:
        return Settings().tern_config


def registry_of(config: Config, path: Path) -> Registry:
    """The models with tern.toml's `[models]` laid over them. Raises SettingsError in the name of *path*."""
    try:
        return load_registry(config.models)
    except SettingsError as error:
        raise SettingsError([f"{path}: {problem}" for problem in error.problems]) from error
