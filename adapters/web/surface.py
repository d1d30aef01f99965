"""One reply on the page. Everything is absolute and kept by number, so that posting twice is the same as once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from adapters.web.growing import GrowingHtml
from adapters.web.hub import FileLink, Hub, ReplyView
from adapters.web.markdown import Markdown
from core.domain.errors import SurfaceRejected, TernError
from core.domain.incoming import ConversationKey, Incoming
from core.ports.platform import Shown, SurfaceLimits
from core.ports.storage import BlobStore

LIMITS = SurfaceLimits(
    max_chars=60_000,  # ours: beyond it one page's HTML gets slow to lay out; the next page follows without a seam
    max_pages=50,
    min_interval_s=0.03,  # ours: two frames of a 60 Hz screen
)
"""No rate buckets: nobody counts here but the reader's own eyes."""

_IN_A_THREAD_CHARS = 3_000
"""Rendering more than this takes longer than 5 ms, and other streams should not wait for it."""


class PageSurface:
    """Shows one reply through the hub."""

    def __init__(
        self,
        hub: Hub,
        markdown: Markdown,
        incoming: Incoming,
        reply_id: str,
        *,
        on_close: Callable[[ConversationKey, str], None],
        blobs: BlobStore | None = None,
    ) -> None:
        """*on_close* is told (conversation, reply id) when whoever opened the surface has closed it."""
        self._hub = hub
        self._markdown = markdown
        self._incoming = incoming
        self._reply_id = reply_id
        self._blobs = blobs
        self._on_close = on_close
        self._growing: dict[int, GrowingHtml] = {}

    @property
    def limits(self) -> SurfaceLimits:
        return LIMITS

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        await self._put(page, shown)
        return self._ref(page)

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        await self._put(page, shown)

    async def remove(self, ref: str, page: int) -> None:
        view = self._view()
        self._growing.pop(page, None)
        pages = tuple(() if number == page else one for number, one in enumerate(view.pages))
        self._show(replace(view, pages=pages, final=view.final or not any(pages)))

    async def find(self, page: int, nonce: str) -> str | None:
        """A page of this process, if it stands: an earlier process's pages went with it, and posting again is safe."""
        view = self._hub.view(self._reply_id)
        return self._ref(page) if view and page < len(view.pages) and view.pages[page] else None

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        if self._blobs is None:
            raise SurfaceRejected("files cannot be kept here")
        try:
            ref = await self._blobs.put(content, mime="application/octet-stream", owner=self._incoming.user)
        except TernError as error:
            raise SurfaceRejected(str(error)) from error
        view = self._view()
        self._show(replace(view, files=(*view.files, FileLink(ref, name, comment))))
        return ref

    async def busy(self, on: bool) -> None:
        """Let an empty reply stand, so that a page shows that something is coming; one that grows stays as it is."""
        view = self._hub.view(self._reply_id)
        if on and (view is None or view.final):
            self._show(ReplyView(self._reply_id, self._incoming.message_id, stop=True))

    async def close(self) -> None:
        self._on_close(self._incoming.conversation, self._reply_id)

    async def _put(self, page: int, shown: Shown) -> None:
        blocks = await self._render(page, shown)
        view = self._view()
        pages = [*view.pages, *([()] * (page + 1 - len(view.pages)))]
        pages[page] = blocks
        view = replace(view, pages=tuple(pages), settled=None)
        if page + 1 == len(pages):  # the last page says how the reply stands; those before it are complete
            stop = bool(shown.controls and shown.controls.stop)
            view = replace(view, status=shown.status, footer=shown.footer, stop=stop, final=shown.final)
        self._show(view)

    async def _render(self, page: int, shown: Shown) -> tuple[str, ...]:
        growing = self._growing.setdefault(page, GrowingHtml(self._markdown))
        if shown.final or growing.unsettled(shown.text) > _IN_A_THREAD_CHARS:
            return await asyncio.to_thread(growing.render, shown.text, final=shown.final)
        return growing.render(shown.text)

    def _view(self) -> ReplyView:
        view = self._hub.view(self._reply_id)
        return view or ReplyView(self._reply_id, self._incoming.message_id)

    def _show(self, view: ReplyView) -> None:
        self._hub.show(self._incoming.conversation, view)

    def _ref(self, page: int) -> str:
        return f"{self._reply_id}.{page}"
