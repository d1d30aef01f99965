"""tern.example.toml: says what the code does, and all of it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from bot.config import mapping
from bot.config.tern_toml import Config
from core.gateway.registry import load_registry

TEXT = (Path(__file__).parents[3] / "tern.example.toml").read_text(encoding="utf-8")
EVERY_KEY = re.sub(r"^#(?=\S)", "", TEXT, flags=re.MULTILINE)


def keys_of_code(kind: type, path: str = "") -> Iterator[str]:
    """Every key of the grammar: "bot.name"; a table of named tables has "*" for the name."""
    hints = get_type_hints(kind)
    for each in fields(kind):
        hint, name = hints[each.name], f"{path}{each.name}"
        if is_dataclass(hint):
            yield from keys_of_code(hint, f"{name}.")  # type: ignore[arg-type] # a class, not an instance
        elif get_origin(hint) is Mapping and is_dataclass(get_args(hint)[1]):
            yield from keys_of_code(get_args(hint)[1], f"{name}.*.")
        else:
            yield name


def keys_of_table(table: Mapping[str, Any], known: set[str], path: str = "") -> Iterator[str]:
    for key, value in table.items():
        name = f"{path}{key}"
        if name in known or not isinstance(value, dict):
            yield name
        elif any(each.startswith(f"{path}{key}.*.") for each in known):
            for inner in value.values():
                yield from keys_of_table(inner, known, f"{name}.*.")
        else:
            yield from keys_of_table(value, known, f"{name}.")


def test_as_it_stands_it_changes_nothing() -> None:
    """Every value that is set is the default."""
    assert Config.read(TEXT) == Config()


def test_it_has_every_key_and_no_other() -> None:
    """With the keys that are not set taken in, it names exactly what tern.toml may hold."""
    known = set(keys_of_code(Config))

    assert set(keys_of_table(tomllib.loads(EVERY_KEY), known)) == known


def test_with_every_key_set_it_is_accepted() -> None:
    """Whoever takes a "#" away has a line that works."""
    load_registry(Config.read(EVERY_KEY).models)


def test_limits_that_are_not_set_are_shown_as_they_hold() -> None:
    """The ceilings of a user stand in core/gateway/quotas.py; the example shows the same."""
    shown = mapping.guard_limits(Config.read(EVERY_KEY))

    assert shown.user == mapping.guard_limits(Config()).user
