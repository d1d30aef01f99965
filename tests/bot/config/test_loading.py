"""Environment and tern.toml are read as one: one message names everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config.loading import load
from core.domain.errors import SettingsError


def test_problems_of_both_files_come_together(tmp_path: Path) -> None:
    """A wrong variable and a mistake in tern.toml are told in one go."""
    path = tmp_path / "tern.toml"
    path.write_text("[bot]\nname = 3\n")

    with pytest.raises(SettingsError) as caught:
        load({"PORT": "x", "TERN_CONFIG": str(path)})

    assert len(caught.value.problems) == 2


def test_wrong_model_entry_has_its_key(tmp_path: Path) -> None:
    """What the registry finds wrong is told with the entry and its field."""
    path = tmp_path / "tern.toml"
    path.write_text('\n[models."openai/gpt-oss-20b"]\ncontext_window = "big"\n[models.mine]\nprovider = "local"\n')

    with pytest.raises(SettingsError) as caught:
        load({"TERN_CONFIG": str(path)})

    first, second = caught.value.problems
    assert f'{path}: models."openai/gpt-oss-20b": ' in first
    assert "context_window" in first
    assert "mine" in second


def test_price_that_is_no_table_is_named(tmp_path: Path) -> None:
    """A table that would be laid over ours may be a number in the file: that is told."""
    path = tmp_path / "tern.toml"
    path.write_text('[models."openai/gpt-oss-20b"]\nprice = 5\n')

    with pytest.raises(SettingsError, match=r"gpt-oss-20b.*price"):
        load({"TERN_CONFIG": str(path)})


def test_model_of_ones_own_is_known(tmp_path: Path) -> None:
    """A complete entry of a model that we never heard of is taken as it is."""
    path = tmp_path / "tern.toml"
    path.write_text(
        '[models."llama4:12b"]\nprovider = "local"\ntier = "local"\ncontext_window = 32768\nmax_output = 4096\n'
        'capabilities = ["text", "tools"]\n'
    )

    loaded = load({"TERN_CONFIG": str(path)})

    assert loaded.registry.get("llama4:12b").context_window == 32_768


@pytest.mark.parametrize("path", ["~nobody", "x" * 300, "a\0b", "\ud800"])
def test_tern_config_that_names_no_file_is_one_sentence(path: str) -> None:
    """The path cannot even be looked at: that is told, and nothing else goes wrong."""
    with pytest.raises(SettingsError) as caught:
        load({"TERN_CONFIG": path})

    assert [problem.split()[0] for problem in caught.value.problems] == ["TERN_CONFIG"]
