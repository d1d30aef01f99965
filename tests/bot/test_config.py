"""tern.toml: strict, with the line of every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import Config, PersonaConfig
from bot.toml_lines import lines_of
from core.errors import SettingsError


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
        ("[limits]\nrequests_per_minute = 'many'", 'line 2: "requests_per_minute" must be a whole number, not "many"'),
        ("[limits]\nrequests_per_minute = true", 'line 2: "requests_per_minute" must be a whole number, not true'),
        ("[limits]\nrequests_per_minute = -1", 'line 2: "requests_per_minute" must be a whole number of 0 or more'),
        ("[limits]\ncost_per_day_usd = nan", 'line 2: "cost_per_day_usd" must be a number of 0 or more'),
        ("\n\n[limitz]\n", 'line 3: unknown key "limitz"; this file may have bot, limits'),
        ("[limits]\n\nrequests = 3", 'line 3: unknown key "requests"; [limits] may have requests_per_minute'),
        ("limits = 3", 'line 1: "limits" must be a table, not 3'),
        ("[discord]\nallow_guilds = 'one'", 'line 2: "allow_guilds" must be a list'),
        ("[discord]\nallow_guilds = ['1']", 'line 2: "allow_guilds" must be a whole number, not "1"'),
        ("[discord]\nshard_ids = [1]", 'line 2: "shard_ids" needs "shard_count" beside it'),
        ("[slack]\nthread_follow_ups = true", 'line 2: "thread_follow_ups" must be one of all, asker, mention'),
        ("[personas.a]\nmodel = 'x'", 'line 1: "prompt" is missing in [personas.a]'),
        ("[personas.a]\nprompt = ''\neffort = 'max'", 'line 3: "effort" must be one of none, low, medium, high'),
        ("[channels.C1]\nmodel = 'x'", 'line 1: a channel is named "slack:C123" or "discord:42", not "C1"'),
        ("[channels.'web:x']\nallow = ['a']", 'line 2: "allow" works on Slack and Discord, where people have ids'),
        ("[channels.'discord:42']\nallow = ['ada']", "line 1: Discord's ids are numbers"),
        ("[slack.suggested_prompts]\n" + "".join(f"t{n} = 'x'\n" for n in range(5)), "four"),
        ("[channels.'slack:C1']\npersona = 'b'", 'line 2: there is no persona "b"; personas here: none yet'),
    ],
)
def test_mistake_has_its_line_and_reason(text: str, expected: str) -> None:
    """Every kind of mistake is told with its line and what would be right."""
    (problem,) = problems(text)

    assert expected in problem


def test_all_mistakes_are_reported_in_the_order_of_their_lines() -> None:
    """Three mistakes in three sections are three lines."""
    found = problems("[slack]\nallow_guests = 1\n[bot]\nname = 2\n[cache]\nsize = 3\n")

    assert [line.partition(":")[0] for line in found] == [f"tern.toml, line {number}" for number in (2, 4, 6)]


def test_keys_are_found_whatever_they_look_like() -> None:
    """Quoted, dotted and nested keys are found; what only looks like a key inside a long text is not."""
    text = 'a."b.c" = 1\n[x."y z"]\nprompt = """\nfake = 1\n[fake]\n"""\nlast = 2\n[[many]]\n'

    assert lines_of(text) == {
        ("a", "b.c"): 1,
        ("x", "y z"): 2,
        ("x", "y z", "prompt"): 3,
        ("x", "y z", "last"): 7,
        ("many",): 8,
    }


def test_unreadable_file_is_a_settings_problem(tmp_path: Path) -> None:
    """A tern.toml that is not text says so instead of a traceback."""
    path = tmp_path / "tern.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SettingsError, match="cannot be read"):
        Config.load(path)
