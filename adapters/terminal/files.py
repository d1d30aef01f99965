"""Files on this machine: one that goes along with a question is read once and kept where everything sent is kept; one
that belongs to an answer is written where the person works."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import mimetypes
from pathlib import Path

from core.domain.errors import TooLarge, Unreadable
from core.domain.incoming import Attachment, AttachmentKind, UserKey
from core.ports.storage import BlobStore

MAX_BYTES = 100 * 1024 * 1024
"""Of one file; what reads it has limits of its own below this."""

_MAX_STEM_CHARS = 60
_MAX_SUFFIX_CHARS = 12
"""Together with a number at most 255 bytes, which is what file systems take, also where every character has three."""


async def kept(typed: str, blobs: BlobStore, owner: UserKey) -> Attachment:
    """Read the file that *typed* names (quotes and ~ are understood) and keep its bytes.

    Raises:
        Unreadable: There is no such file, or it may not be read. TooLarge: Above the limit, or the quota.
        StorageError: It could not be kept.
    """
    path = _path(typed)
    try:
        content = await asyncio.to_thread(_read, path)
    except (OSError, ValueError) as error:
        raise Unreadable(path.name or typed, "there is no such file, or I may not read it") from error
    mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    ref = await blobs.put(content, mime=mime, owner=owner)
    return Attachment(_kind(mime), mime, path.name, len(content), ref)


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write a file into *folder* and return where it is; one that stands there keeps its name and its content.

    Raises:
        OSError: The folder takes no file.
    """
    plain = _plain(name)
    for number in itertools.count(1):
        path = folder / (plain if number == 1 else f"{Path(plain).stem}-{number}{Path(plain).suffix}")
        with contextlib.suppress(FileExistsError), path.open("xb") as file:
            file.write(content)
            return path
    raise AssertionError("numbers do not end")


def _plain(name: str) -> str:
    """*name* as a file's name inside one folder: visible, printable, without a path."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(char for char in last if char.isprintable()).strip().lstrip(".")
    stem, suffix = Path(kept).stem[:_MAX_STEM_CHARS], Path(kept).suffix[:_MAX_SUFFIX_CHARS]
    return f"{stem}{suffix}" if stem else "answer"


def _path(typed: str) -> Path:
    return Path(typed.strip().strip("\"'").replace("\\ ", " ")).expanduser()


def _read(path: Path) -> bytes:
    if not path.is_file():  # a device or a pipe may never end
        raise FileNotFoundError(path)
    if path.stat().st_size > MAX_BYTES:
        raise TooLarge("the file", limit=MAX_BYTES // 2**20, unit="MB")
    return path.read_bytes()


def _kind(mime: str) -> AttachmentKind:
    """A first guess by name; whoever reads the bytes judges by content."""
    kinds: dict[str, AttachmentKind] = {"image": "image", "audio": "audio", "video": "audio", "text": "text"}
    return kinds.get(mime.partition("/")[0], "file")
