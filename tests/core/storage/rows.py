"""Short ways to fill a storage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from core.domain.incoming import Incoming, UserKey
from core.domain.requests import Part, Text, Turn
from core.domain.runs import Claim, ReplyCapability, Settlement
from core.storage import Storage
from tests.core.front_desk import ANN, message

_ids = count(1)


async def accepted(storage: Storage, incoming: Incoming, capability: ReplyCapability | None = None) -> Claim:
    """A message that was taken in and started."""
    number = next(_ids)
    taken = await storage.inbox.accept(incoming, capability, f"run{number}", f"reply{number}", claim=True)
    assert taken.claim
    return taken.claim


async def said(
    storage: Storage,
    question: str,
    answer: str | Sequence[Part],
    *,
    user: UserKey = ANN,
    root: str = "root",
    tokens: int = 5,
    message_id: str = "",
    at: float = 1_800_000_000.0,
) -> Claim:
    """A question and its finished answer, each of *tokens* tokens."""
    incoming = message(question, user=user, root=root, message_id=message_id, at=at)
    claim = await accepted(storage, incoming)
    parts = (Text(answer),) if isinstance(answer, str) else tuple(answer)
    turns = ((Turn("user", (Text(question),)), tokens), (Turn("assistant", parts), tokens))
    await storage.inbox.settle(claim, Settlement("answered", turns=turns, facts={"model": "fast"}))
    return claim


async def reconnect(storage: Storage) -> None:
    """Let every connection but the loop's own read the file anew."""
    database = storage._database
    await database._writer.between(database._carrier.engine.dispose)
    for reader in database._readers:
        reader.is_stale = True
