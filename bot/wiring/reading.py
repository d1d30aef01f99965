"""What reads attachments: a worker for files, ears for recordings, and the local speech model where one is set up."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.config.tern_toml import VoiceConfig
from core.domain.errors import SettingsError

NEEDS_EXTRA = "[voice] local_model needs what `make voice` installs (without make: pip install '.[local-voice]')"

_DOWNLOAD = "import sys; from faster_whisper import download_model; download_model(sys.argv[1], output_dir=sys.argv[2])"

_FETCH_WITHIN_S = 3_600.0
"""Three gigabytes, the largest there is, over a megabyte a second."""


@dataclass(frozen=True, slots=True)
class LocalVoice:
    """Where the local speech model lies, and what has to be fetched before it does ("" for nothing)."""

    folder: Path
    fetch: str = ""

    @property
    def readable(self) -> str:
        """What the worker that listens has to read; for a model that is still to come, the folder it will lie in."""
        if not self.fetch:
            return str(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        return str(self.folder.parent)


def local_voice(config: VoiceConfig, data_dir: Path) -> LocalVoice | None:
    """What `[voice] local_model` means: a folder as it is, a name fetched once into the data folder; None for "".

    Raises:
        SettingsError: Where the extra that listens is not installed.
    """
    wanted = config.local_model
    if not wanted:
        return None
    if importlib.util.find_spec("faster_whisper") is None:
        raise SettingsError([NEEDS_EXTRA])
    if Path(wanted).expanduser().is_dir():
        return LocalVoice(Path(wanted).expanduser().resolve())
    if any(mark in wanted for mark in "/\\."):
        raise SettingsError([f'[voice] local_model: there is no folder "{wanted}"'])
    folder = data_dir / "models" / f"whisper-{wanted}"
    return LocalVoice(folder, "" if (folder / "model.bin").exists() else wanted)


def letters_are_read() -> bool:
    """Whether Debian's tesseract is installed, where the worker looks for it."""
    return shutil.which("tesseract", path=os.defpath) is not None


async def fetch_voice(voice: LocalVoice, environ: Mapping[str, str]) -> None:
    """Download the model in a process of its own: the worker that listens may write no files.

    Raises:
        OSError: If it cannot be had; the supervisor tries again later.
    """
    if not voice.fetch or (voice.folder / "model.bin").exists():
        return
    unfinished = voice.folder.with_name(f"{voice.folder.name}.part")
    command = (sys.executable, "-c", _DOWNLOAD, voice.fetch, str(unfinished))
    process = await asyncio.create_subprocess_exec(
        *command, env=dict(environ), stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(_FETCH_WITHIN_S):
            _, errors = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise OSError(f"the speech model {voice.fetch!r} could not be fetched: {last[0][:200]}")
    await asyncio.to_thread(unfinished.rename, voice.folder)
