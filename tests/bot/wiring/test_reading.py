"""What `[voice] local_model` means, and how a model by name gets here."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config.tern_toml import Config, VoiceConfig
from bot.wiring.reading import LocalVoice, fetch_voice, local_voice
from core.domain.errors import SettingsError


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.wiring.reading.importlib.util.find_spec", lambda name: object())


def test_section_is_read() -> None:
    """[voice] takes a model, whether answers are spoken, and by whom."""
    config = Config.read('[voice]\nlocal_model = "base"\nvoice_replies = true\nvoice = "daniel"\n')

    assert config.voice == VoiceConfig("base", voice_replies=True, voice="daniel")
    assert Config().voice == VoiceConfig()


def test_nothing_is_set_up_by_default(tmp_path: Path) -> None:
    """Without a wish nothing listens here and nothing is fetched."""
    assert local_voice(VoiceConfig(), tmp_path) is None


@pytest.mark.usefixtures("_installed")
def test_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    """A folder needs no download."""
    assert local_voice(VoiceConfig(str(tmp_path)), tmp_path / "data") == LocalVoice(tmp_path)


@pytest.mark.usefixtures("_installed")
def test_name_is_fetched_once_into_the_data_folder(tmp_path: Path) -> None:
    """A name names a folder of ours; once the model lies there it is not fetched again."""
    folder = tmp_path / "models" / "whisper-base"
    before = local_voice(VoiceConfig("base"), tmp_path)
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"")

    assert before == LocalVoice(folder, "base")
    assert local_voice(VoiceConfig("base"), tmp_path) == LocalVoice(folder)


@pytest.mark.usefixtures("_installed")
def test_folder_that_is_not_there_is_a_settings_problem(tmp_path: Path) -> None:
    """A mistyped path is told at start, not tried as a name."""
    with pytest.raises(SettingsError, match="there is no folder"):
        local_voice(VoiceConfig("/nonexistent/model"), tmp_path)


def test_missing_extra_is_a_settings_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setattr("bot.wiring.reading.importlib.util.find_spec", lambda name: None)

    with pytest.raises(SettingsError, match="pip install"):
        local_voice(VoiceConfig("base"), tmp_path)


async def test_failed_download_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor hears why, and no half of a model lies where a whole one is looked for."""
    monkeypatch.setattr("bot.wiring.reading._DOWNLOAD", "raise SystemExit('no such host')")
    voice = LocalVoice(tmp_path / "whisper-base", "base")

    with pytest.raises(OSError, match="no such host"):
        await fetch_voice(voice, {})

    assert list(tmp_path.iterdir()) == []


async def test_download_stands_once_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model appears under its name only when everything is there."""
    make = "import sys, pathlib; at = pathlib.Path(sys.argv[2]); at.mkdir(); (at / 'model.bin').write_text(sys.argv[1])"
    monkeypatch.setattr("bot.wiring.reading._DOWNLOAD", make)
    voice = LocalVoice(tmp_path / "whisper-base", "base")

    await fetch_voice(voice, {})
    await fetch_voice(voice, {})

    assert [path.name for path in tmp_path.iterdir()] == ["whisper-base"]
    assert (voice.folder / "model.bin").read_text() == "base"
