"""Files on this machine that go along with a question, and those that belong to an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.terminal import files
from adapters.terminal.adapter import USER
from core.domain.errors import TooLarge, Unreadable
from tests.adapters.web.house import FakeBlobs


@pytest.mark.parametrize(
    ("name", "kind", "mime"),
    [
        ("photo.jpg", "image", "image/jpeg"),
        ("clip.ogg", "audio", "audio/ogg"),
        ("notes.md", "text", "text/markdown"),
        ("report.pdf", "file", "application/pdf"),
        ("odd", "file", "application/octet-stream"),
    ],
)
async def test_file_is_kept_with_its_kind(tmp_path: Path, name: str, kind: str, mime: str) -> None:
    """The bytes lie in the blobs under their owner; the kind is a first guess by name."""
    (tmp_path / name).write_bytes(b"content")
    blobs = FakeBlobs()

    item = await files.kept(str(tmp_path / name), blobs, USER)

    assert (item.kind, item.mime, item.name, item.size_bytes) == (kind, mime, name, 7)
    assert blobs.kept[item.ref] == b"content"
    assert await blobs.owned(item.ref, USER)


@pytest.mark.parametrize("form", ["'{}'", '"{}"', "{}", "  {}  "])
async def test_path_as_people_type_or_drop_it(tmp_path: Path, form: str) -> None:
    """Quotes and blanks around a path are no part of it."""
    (tmp_path / "two words.txt").write_bytes(b"x")

    assert (await files.kept(form.format(tmp_path / "two words.txt"), FakeBlobs(), USER)).name == "two words.txt"


@pytest.mark.parametrize("path", ["/nonexistent/a.png", "/dev/zero", "/", ""])
async def test_what_is_no_file_is_declined(path: str) -> None:
    """Devices, folders and nothing at all end in a sentence."""
    with pytest.raises(Unreadable):
        await files.kept(path, FakeBlobs(), USER)


async def test_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit holds before a byte is read."""
    monkeypatch.setattr(files, "MAX_BYTES", 3)
    (tmp_path / "a.bin").write_bytes(b"1234")

    with pytest.raises(TooLarge):
        await files.kept(str(tmp_path / "a.bin"), FakeBlobs(), USER)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("extracted.csv", "extracted.csv"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "answer"),
        ("..", "answer"),
        (".bashrc", "bashrc"),
        ("a\nb\x00\u202ec.txt", "abc.txt"),
        ("\u65e5" * 300 + ".json", "\u65e5" * 60 + ".json"),
    ],
)
def test_answers_file_stays_in_its_folder(tmp_path: Path, name: str, kept: str) -> None:
    """Whatever a file is called, it is written into the folder, visibly, under a printable name."""
    (tmp_path / "here").mkdir()

    path = files.written(tmp_path / "here", name, b"content")

    assert path == tmp_path / "here" / kept
    assert path.read_bytes() == b"content"
    assert [each.name for each in tmp_path.iterdir()] == ["here"]


def test_answers_file_overwrites_nothing(tmp_path: Path) -> None:
    """A name that is taken, be it by a link to elsewhere, gets a number."""
    (tmp_path / "a.csv").write_bytes(b"mine")
    (tmp_path / "a-2.csv").symlink_to(tmp_path / "elsewhere")

    path = files.written(tmp_path, "a.csv", b"theirs")

    assert path.name == "a-3.csv"
    assert (tmp_path / "a.csv").read_bytes() == b"mine"
    assert not (tmp_path / "elsewhere").exists()
