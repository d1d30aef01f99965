"""The page's own files, read once and served from memory under a name that changes with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import resources

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Assets:
    """`files`: name -> (content type, bytes). `version` is a hash over all of them, so caches need no expiry."""

    version: str
    files: dict[str, tuple[str, bytes]] = field(repr=False)

    @property
    def index(self) -> bytes:
        """The page itself, pointing at this version's files."""
        return self.files["index.html"][1].replace(b"{version}", self.version.encode())


def load_assets() -> Assets:
    """Read every file of the `page` folder."""
    files: dict[str, tuple[str, bytes]] = {}
    for entry in sorted(resources.files("adapters.web").joinpath("page").iterdir(), key=lambda entry: entry.name):
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in TYPES:
            files[entry.name] = (TYPES[suffix], entry.read_bytes())
    digest = hashlib.sha256()
    for name, (_, content) in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return Assets(digest.hexdigest()[:16], files)
