"""The page as one of the bot's adapters: its messages go through the inbox like everybody else's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from adapters.web.hub import Hub, Settled
from adapters.web.turns import TurnRenderer
from core.base.clock import Clock
from core.domain.errors import StorageError, SurfaceGone, Unreadable
from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote
from core.domain.runs import ReplyCapability
from core.ports.platform import AdapterHealth, Commands, Intake, Surface
from core.ports.storage import BlobStore, ConversationList, ShownTurn

if TYPE_CHECKING:
    from adapters.web.markdown import Markdown

log = logging.getLogger(__name__)

ENDED = frozenset({"answered", "stopped", "failed", "quarantined"})
"""Run states after which nothing more will be shown by itself."""

_SETTLE_TRIES_S = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses between looks at whether an ended reply's figures are stored."""

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Desk:
    """The inbox's two faces, once the adapter runs."""

    intake: Intake
    commands: Commands


class WebAdapter:
    """Constructed with everything it needs; nothing here is closed by it."""

    name = "web"

    def __init__(self, *, clock: Clock, conversations: ConversationList, blobs: BlobStore | None = None) -> None:
        self.hub = Hub()
        self.conversations = conversations
        self.blobs = blobs
        self._clock = clock
        self._desk: Desk | None = None
        self._closing = False
        self._ended: asyncio.Queue[tuple[ConversationKey, str]] = asyncio.Queue()
        self._event_in_at: float | None = None
        self._delivered_at: float | None = None

    @cached_property
    def markdown(self) -> Markdown:
        """What renders for the page, once it is asked for; see `warm_up`."""
        from adapters.web.markdown import Markdown

        return Markdown()

    @cached_property
    def turns(self) -> TurnRenderer:
        return TurnRenderer(self.markdown)

    async def warm_up(self) -> None:
        """Load what renders, in a thread: where nobody opens the page, 3 MB of parser and lexers are never loaded."""
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        import adapters.web.surface  # noqa: F401 (the code's colours with it)

        _ = self.markdown

    @property
    def desk(self) -> Desk | None:
        """None until `run` and after it."""
        return self._desk

    @property
    def takes_messages(self) -> bool:
        return self._desk is not None and not self._closing

    async def run(self, intake: Intake, commands: Commands) -> None:
        self._desk = Desk(intake, commands)
        self._closing = False
        try:
            while True:
                await self._settle(*await self._ended.get())
        finally:
            self._desk = None

    async def close_intake(self) -> None:
        self._closing = True

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> Surface:
        from adapters.web.surface import PageSurface

        return PageSurface(self.hub, self.markdown, incoming, reply_id, blobs=self.blobs, on_close=self._surface_closed)

    async def fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncGenerator[bytes, None]:
        """What was uploaded lies in the blobs; nothing is fetched from elsewhere."""
        if self.blobs is None or not attachment.ref.startswith("blob:"):
            raise SurfaceGone(f"{attachment.name} is not kept here")
        try:
            content = await self.blobs.get(attachment.ref)
        except (StorageError, Unreadable) as error:
            raise SurfaceGone(f"{attachment.name} is gone") from error
        for start in range(0, len(content), _CHUNK_BYTES):
            yield content[start : start + _CHUNK_BYTES]

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        return ()

    def health(self) -> AdapterHealth:
        if self._closing:
            return AdapterHealth("down", "closing", None, self._event_in_at, self._delivered_at)
        return AdapterHealth(
            "connected" if self._desk else "starting",
            f"{self.hub.watching} open pages",
            heartbeat_at=self._clock.now() if self._desk else None,  # the event loop answering is this adapter's pulse
            event_in_at=self._event_in_at,
            delivered_at=self._delivered_at,
        )

    def heard(self) -> None:
        """Note that a message came in."""
        self._event_in_at = self._clock.now()

    def _surface_closed(self, conversation: ConversationKey, reply_id: str) -> None:
        self._delivered_at = self._clock.now()
        self._ended.put_nowait((conversation, reply_id))

    async def _settle(self, conversation: ConversationKey, reply_id: str) -> None:
        """Show the figures, which are stored just after the last edit."""
        for wait_s in _SETTLE_TRIES_S:
            await self._clock.sleep(wait_s)
            try:
                turn = await self._stored(conversation, reply_id)
            except StorageError:
                log.warning("could not read the figures of reply %s; the page shows it without", reply_id)
                return
            if turn is not None:
                self.hub.settle(conversation, reply_id, Settled(turn.state, turn.text, turn.facts))
                return

    async def _stored(self, conversation: ConversationKey, reply_id: str) -> ShownTurn | None:
        turns = await self.conversations.messages(conversation, limit=20)
        mine = (turn for turn in turns if turn.reply_id == reply_id and turn.role == "assistant")
        return next((turn for turn in mine if turn.state in ENDED), None)
