"""What outlives the process, over one SQL database: open it with `open_storage`.

What there is    schema, migrations/, migrating, statements, prepared, codec, encryption, failures
Messages, runs   inbox (how they change hands), arrivals, claims, lookups, suspensions
Other stores     history, memories, conversations, preferences, installations, api_keys, usage, cache, blobs, archive,
                 responses, schedules
What ends        retention, removal (everything that names a message or a person)
The database     store (all of it), opening, engine (the port), sqlite/, postgres/, searching, locks

core/ports/ has the protocols; only bot/ imports this package.
"""

from core.storage.blobs import BlobQuota
from core.storage.retention import Retention
from core.storage.store import Storage, back_up, open_storage, restore

__all__ = ["BlobQuota", "Retention", "Storage", "back_up", "open_storage", "restore"]
