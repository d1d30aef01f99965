"""tern.toml: strict, with the key of every mistake."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.config.tern_toml import Config, McpServerConfig, PersonaConfig
from core.domain.errors import SettingsError


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Config.read(text)
    return caught.value.problems


def test_absent_file_means_the_defaults(tmp_path: Path) -> None:
    """A newcomer needs no tern.toml."""
    assert Config.load(tmp_path / "tern.toml") == Config()


def test_file_is_read_into_its_sections() -> None:
    """Personas, channels and limits arrive typed; a whole number is fine where a number is wanted."""
    config = Config.read(
        """
        [limits]
        cost_per_day_usd = 2
        [personas.pirate]
        prompt = "Talk like a pirate."
        temperature = 1
        [channels."slack:C123"]
        persona = "pirate"
        tools = ["read_page"]
        """
    )

    assert config.limits.cost_per_day_usd == 2.0
    assert config.personas["pirate"] == PersonaConfig("Talk like a pirate.", temperature=1.0)
    assert config.channels["slack:C123"].tools == ("read_page",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = \n", "tern.toml, line 1: not valid TOML: invalid value (column 5)"),
        ("x = [1,", "tern.toml, line 1: not valid TOML: invalid value"),
        ("[limits]\nrequests_per_minute = 'many'", ': "requests_per_minute" must be a whole number, not "many"'),
        ("[limits]\nrequests_per_minute = true", ': "requests_per_minute" must be a whole number, not true'),
        ("[limits]\nrequests_per_minute = -1", ': "requests_per_minute" must be a whole number of 0 or more'),
        ("[limits]\ncost_per_day_usd = nan", ': "cost_per_day_usd" must be a number of 0 or more'),
        ("\n\n[limitz]\n", ': unknown key "limitz"; this file may have bot, limits'),
        ("[limits]\n\nrequests = 3", ': unknown key "requests"; [limits] may have requests_per_minute'),
        ("limits = 3", ': "limits" must be a table, not 3'),
        ("[discord]\nallow_guilds = 'one'", ': "allow_guilds" must be a list'),
        ("[discord]\nallow_guilds = ['1']", ': "allow_guilds" must be a whole number, not "1"'),
        ("[discord]\nmost_messages = 0", '"most_messages" must be at least 1'),
        ("[discord]\nshard_ids = [1]", ': "shard_ids" needs "shard_count" beside it'),
        ("[slack]\nthread_follow_ups = true", ': "thread_follow_ups" must be one of all, asker, mention'),
        ("[personas.a]\nmodel = 'x'", ': "prompt" is missing in [personas.a]'),
        ("[personas.a]\nprompt = ''\neffort = 'max'", ': "effort" must be one of none, low, medium, high'),
        ("[channels.C1]\nmodel = 'x'", ': a channel is named "slack:C123" or "discord:42", not "C1"'),
        ("[channels.'web:x']\nallow = ['a']", ': "allow" works on Slack and Discord, where people have ids'),
        ("[channels.'discord:42']\nallow = ['ada']", ": Discord's ids are numbers"),
        ("[slack.suggested_prompts]\n" + "".join(f"t{n} = 'x'\n" for n in range(5)), "four"),
        ("[channels.'slack:C1']\npersona = 'b'", ': there is no persona "b"; personas here: none yet'),
    ],
)
def test_mistake_has_its_key_and_reason(text: str, expected: str) -> None:
    """Every kind of mistake is told with its key and what would be right."""
    (problem,) = problems(text)

    assert expected in problem


PIECES = (
    *("[bot]", "[limits]", "[[limits]]", "[discord]", "[slack]", "[schemas]", "[models.x]", "[mcp.servers.x]"),
    *("[personas.x]", "[channels.'discord:\xb2']", "[channels.'slack:C1']", "[voice]", "[tools]", "[x"),
    *("name = ", "drain_s = ", "requests_per_minute = ", "cost_per_day_usd = ", "allow_guilds = ", "prompt = ", "x = "),
    *("allow = ", "suggested_prompts = ", "thread_follow_ups = ", "everywhere = ", "env = ", "command = ", "a.b = "),
    *("1", "-1", "inf", "nan", "1e400", "true", "1979-05-27", "07:32:00", "'x'", '"\\u0000"', "'''", '"""', "'", '"'),
    *("9" * 400, "9" * 5_000, "0x" + "f" * 400, "0x" + "f" * 5_000, "[", "]", "{", "}", ",", ".", "#", '"\\q" = '),
    *("[" * 2_000, "{a=" * 400, "\r", "\0", "\x0c", "\u2028", "\x85", "\n"),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(PIECES) | st.text(max_size=4), st.sampled_from(("", "\n"))).map("".join), max_size=12
    ).map("".join)
)
@example("x = " + "[" * 2_000)
@example("[bot]\ndrain_s = " + "9" * 400)
@example("[bot]\nname = 0x" + "f" * 5_000)
@example("[limits]\nrequests_per_minute = " + "9" * 5_000)
@example("[limits]\nrequests_per_minute = 0x" + "f" * 400)
@example("[bot]\nname = \"'''\"\nx = '''\n\"\\q\" = 1\n'''")
def test_any_text_is_a_config_or_sentences(text: str) -> None:
    """Whatever stands in the file, it is read, or every mistake is a sentence under the file's name."""
    said: tuple[str, ...] = ()
    try:
        Config.read(text)
    except SettingsError as error:
        said = error.problems

    assert all(problem.startswith("tern.toml") and problem.encode() for problem in said)


def toml(value: Any) -> str:
    """*value* as TOML writes it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(ascii(value))
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
        case _:
            return str(value)


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from((2**63, -(10**400), 1e308)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    f"{table.name}.{key.name}"
    for table in fields(Config)
    if is_dataclass(section := getattr(Config(), table.name))
    for key in fields(section)
]
KEYS += [f"personas.x.{key.name}" for key in fields(PersonaConfig)]
KEYS += [f"mcp.servers.x.{key.name}" for key in fields(McpServerConfig)]
KEYS += ["schemas.x", "models.x", "models.x.price", "channels.'slack:C1'.tools", "channels.'discord:1'.allow"]


@given(st.sampled_from(KEYS), VALUES)
@example("bot.daily_spend_usd", -(10**400))
def test_any_value_of_any_key_is_taken_or_named(key: str, value: Any) -> None:
    """A value of any kind and depth under every key that there is: the config has it, or a mistake has its key."""
    said: tuple[str, ...] = ()
    try:
        Config.read(f"{key} = {toml(value)}\n")
    except SettingsError as error:
        said = error.problems

    where = key.replace("'", '"').split(".")[0]
    assert all(problem.startswith(f"tern.toml: {where}") and problem.encode() for problem in said)


@pytest.mark.parametrize(
    "line",
    ["env = 'TOKEN=hunter2'", "env = {TOKEN = ['hunter2']}", "command = 'run --key hunter2'", "env = {TOKEN = 42}"],
)
def test_keys_of_a_tool_server_are_not_repeated(line: str) -> None:
    """What starts a server or opens it may hold its keys: a mistake there names the place only."""
    told = "".join(problems(f"[mcp.servers.x]\n{line}\n"))

    assert not re.search("hunter2|42", told)


def test_all_mistakes_are_reported_in_the_order_of_the_file() -> None:
    """Three mistakes in three sections are three sentences, each with the key it is about."""
    found = problems("[slack]\nallow_guests = 1\n[bot]\nname = 2\n[cache]\nsize = 3\n")

    assert [line.split(": ")[1] for line in found] == ["slack.allow_guests", "bot.name", "cache.size"]


def test_keys_that_need_quotes_have_them() -> None:
    """A channel's table is named as the file writes it; a key of any length takes little room."""
    (quoted,) = problems("[channels.'slack:C1']\npersona = 'b'")
    (long,) = problems(f"{'x' * 500} = 1")

    assert quoted.startswith('tern.toml: channels."slack:C1".persona: ')
    assert long.startswith(f'tern.toml: "{"x" * 40}": ')


def test_unreadable_file_is_a_settings_problem(tmp_path: Path) -> None:
    """A tern.toml that is not text says so instead of a traceback."""
    path = tmp_path / "tern.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SettingsError, match="cannot be read"):
        Config.load(path)
