"""Keeps over a restart what the models' limits have taught: a used-up day must not be run into again."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from core.base.clock import Clock
from core.domain.errors import StorageError
from core.gateway.rate_limits import KeptWindow, RateLimits
from core.ports.storage import NoteStore

log: Any = structlog.get_logger(__name__)

NOTE = "limits"

SAVE_EVERY_S = 30.0
"""A crash loses this much of what a day has used; the next header or refusal tells."""


async def recall_limits(admission: RateLimits, notes: NoteStore) -> None:
    """Hand *admission* what the process before this one knew. What cannot be read is learned again."""
    try:
        stored = await notes.get(NOTE)
        admission.recall(msgspec.json.decode(stored or "{}", type=dict[str, dict[str, KeptWindow]]))
    except (StorageError, msgspec.DecodeError) as error:
        log.warning("what was known of the models' limits cannot be read", why=str(error))


async def keep_limits(admission: RateLimits, notes: NoteStore, clock: Clock) -> None:
    """Store what *admission* knows, until cancelled and once more then."""
    stored = ""

    async def store() -> None:
        nonlocal stored
        kept = msgspec.json.encode(admission.kept()).decode()
        if kept in (stored, "{}"):
            return
        try:
            await notes.set(NOTE, kept)
        except StorageError as error:
            log.warning("what is known of the models' limits cannot be stored", why=str(error))
        else:
            stored = kept

    try:
        while True:
            await clock.sleep(SAVE_EVERY_S)
            await store()
    finally:
        await store()
