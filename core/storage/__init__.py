"""What outlives the process, over one SQL database: open it with `open_storage`.

schema.py says what there is, sqlite.py what only SQLite understands, writer.py how writes share a commit, inbox.py
how messages and runs change hands, salvage.py what is kept of a damaged file; one file for each other store.
core/ports/ has the protocols; only bot/ imports this package.
"""

from core.storage.blobs import BlobQuota
from core.storage.retention import Retention
from core.storage.store import Storage, back_up, open_storage, restore

__all__ = ["BlobQuota", "Retention", "Storage", "back_up", "open_storage", "restore"]
