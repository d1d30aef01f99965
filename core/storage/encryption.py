"""What is stored unreadable: short-lived capabilities sealed, forgotten people and messages as opaque marks."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.domain.errors import StorageError
from core.domain.incoming import UserKey

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_KEY_FILE = "secret.key"
_KEY_BYTES = 32


def load_key(data_dir: Path, given: bytes) -> bytes:
    """The key that everything here derives from: SECRET_KEY where it is set, else one kept in *data_dir*.

    The file is made on first need, readable by its owner alone; it is there whole or not at all. Raises OSError, and
    StorageError where it holds less than a key: everybody could guess what such a key opens.
    """
    if given:
        return given
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / _KEY_FILE
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) < _KEY_BYTES:
        raise StorageError(
            f"{path} is cut off ({len(key)} of {_KEY_BYTES} bytes); put its copy back, or delete it: buttons under old "
            "answers to commands then no longer work"
        )
    return key


def _make_key(path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Not renamed: of two processes that start at once the second must not replace the key that the first one uses.
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


class Seals:
    """Two independent keys from one: for encryption (Fernet) and for marks (HMAC-SHA-256)."""

    def __init__(self, key: bytes, *older: bytes) -> None:
        """*older* keys still open what was sealed under them; marks stay those of the oldest, or what was forgotten
        would come back with a new key."""
        keys = (key, *older)
        self._capability_keys = [hashlib.sha256(b"tern capabilities\0" + one).digest() for one in keys]
        self._mark_key = hashlib.sha256(b"tern marks\0" + keys[-1]).digest()

    @cached_property
    def _fernet(self) -> MultiFernet:
        """Loaded by the first command or button: cryptography is 7 MB and 20 ms, and mentions need none of it."""
        from cryptography.fernet import Fernet, MultiFernet

        return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in self._capability_keys])

    def seal(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def open(self, sealed: bytes) -> str | None:
        """None when it was sealed under another key: as good as expired."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            return None

    def mark(self, *names: str) -> bytes:
        """An opaque mark: equal names give equal marks, and without the key nobody can try names against it."""
        joined = b"\0".join(name.encode("utf-8", "replace") for name in names)
        return hmac.digest(self._mark_key, joined, "sha256")

    def message_mark(self, platform: str, workspace: str, channel: str, message_id: str) -> bytes:
        return self.mark("message", platform, workspace, channel, message_id)

    def nobody(self, user: UserKey) -> str:
        """Under what name a forgotten person's spending of the last days goes on counting against their limits."""
        return "forgotten:" + self.mark("user", user.platform, user.workspace, user.user).hex()[:32]
