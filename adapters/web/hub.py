"""The page's platform: what stands in each conversation's open replies, and who is watching.

State, not messages: a subscriber is never queued deltas, it is told that something changed and then sent the
difference between what it has and what stands now. A slow reader therefore gets fewer and larger steps, memory stays
bounded by what is visible, and a reader who comes late or comes back needs no history.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from adapters.web.sse import frame
from core.domain.incoming import ConversationKey

encode = msgspec.json.encode

MAX_VIEWS = 500
"""Views kept at once; when there are more, the oldest settled one goes, then the oldest finished one."""


@dataclass(frozen=True, slots=True)
class FileLink:
    ref: str
    name: str
    comment: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known of a reply once it is stored: its Markdown, how its run ended, its figures."""

    state: str
    text: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReplyView:
    """What stands of one reply: absolute, like the `Shown` it is made from."""

    reply_id: str
    message_id: str
    pages: tuple[tuple[str, ...], ...] = ()
    """Of each page, the HTML of its top-level blocks."""
    status: str = ""
    footer: str = ""
    stop: bool = False
    """Whether it can be stopped, also while it only waits."""
    final: bool = False
    files: tuple[FileLink, ...] = ()
    settled: Settled | None = None

    @property
    def blocks(self) -> tuple[str, ...]:
        return tuple(block for page in self.pages for block in page)


class Hub:
    """One per process; lives on the event loop and is never written to from elsewhere."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, tuple[ConversationKey, ReplyView]] = OrderedDict()
        self._watchers: dict[ConversationKey, set[Watcher]] = {}
        self.closed = False

    def view(self, reply_id: str) -> ReplyView | None:
        found = self._views.get(reply_id)
        return found[1] if found else None

    def show(self, conversation: ConversationKey, view: ReplyView) -> None:
        """Let *view* stand, and wake whoever watches."""
        self._views[view.reply_id] = (conversation, view)
        if len(self._views) > MAX_VIEWS:
            self._drop_one()
        for watcher in self._watchers.get(conversation, ()):
            watcher.changed(view.reply_id)

    def settle(self, conversation: ConversationKey, reply_id: str, settled: Settled) -> None:
        """Add what the stored turn knows to a finished reply. From now on whoever comes reads the stored turn."""
        view = self.view(reply_id)
        if view is None or not view.final:  # dropped, or being written anew already
            return
        if conversation in self._watchers:
            self.show(conversation, replace(view, settled=settled))
        else:
            del self._views[reply_id]

    def tell(self, conversation: ConversationKey, event: str, payload: Any) -> None:
        """Send one event to whoever watches *conversation* now."""
        watchers = self._watchers.get(conversation)
        if watchers:
            message = frame(event, encode(payload))
            for watcher in watchers:
                watcher.told(message)

    def forget(self, conversation: ConversationKey) -> None:
        """Drop every view of *conversation* and tell its watchers."""
        for reply_id in [key for key, (where, _) in self._views.items() if where == conversation]:
            del self._views[reply_id]
        self.tell(conversation, "forgotten", {})

    @contextmanager
    def watch(self, conversation: ConversationKey) -> Iterator[Watcher]:
        """Watch *conversation*, beginning with what stands there and is not stored yet."""
        views = [view for where, view in self._views.values() if where == conversation]
        standing = [view.reply_id for view in views if view.settled is None]
        watcher = Watcher(self, standing)
        self._watchers.setdefault(conversation, set()).add(watcher)
        try:
            yield watcher
        finally:
            left = self._watchers[conversation]
            left.discard(watcher)
            if not left:
                del self._watchers[conversation]

    async def close(self, app: object = None) -> None:
        """Let every page go, so that a shutdown need not wait for readers who would stay for ever."""
        self.closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()

    @property
    def watching(self) -> int:
        return sum(map(len, self._watchers.values()))

    def _drop_one(self) -> None:
        settled = (key for key, (_, view) in self._views.items() if view.settled)
        finished = (key for key, (_, view) in self._views.items() if view.final)
        oldest = next(settled, None) or next(finished, None)
        if oldest:
            del self._views[oldest]


class Watcher:
    """One open page on one conversation: knows what that page already has."""

    def __init__(self, hub: Hub, standing: Sequence[str]) -> None:
        self._hub = hub
        self._has: dict[str, ReplyView] = {}
        self._changed: dict[str, None] = dict.fromkeys(standing)
        self._told: list[bytes] = []
        self._wake = asyncio.Event()
        if standing:
            self._wake.set()

    def changed(self, reply_id: str) -> None:
        self._changed[reply_id] = None
        self._wake.set()

    def told(self, message: bytes) -> None:
        self._told.append(message)
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    async def news(self, within_s: float) -> bytes:
        """What to send next; empty when nothing happened in time."""
        try:
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        except TimeoutError:
            return b""
        self._wake.clear()
        changed, self._changed = self._changed, {}
        told, self._told = self._told, []
        steps = [step for reply_id in changed if (step := self._step(reply_id))]
        return b"".join((*steps, *told))

    def _step(self, reply_id: str) -> bytes:
        view = self._hub.view(reply_id)
        if view is None:  # forgotten meanwhile
            return b""
        before = self._has.get(reply_id)
        self._has[reply_id] = view
        return frame("reply", encode(difference(before, view)))


def difference(before: ReplyView | None, view: ReplyView) -> dict[str, Any]:
    """What a page that has *before* needs to show *view*.

    `blocks` holds [index, how many UTF-16 units of the block's HTML stand, what follows them]; `count` is how many
    blocks there are, so that surplus ones go.
    """
    old = before.blocks if before else ()
    new = view.blocks
    changes: list[tuple[int, int, str]] = []
    for index, html in enumerate(new):
        if index >= len(old):
            changes.append((index, 0, html))
        elif old[index] is not html and old[index] != html:
            keep = common_prefix(old[index], html)
            changes.append((index, utf16_length(html[:keep]), html[keep:]))
    return {
        "reply_id": view.reply_id,
        "message_id": view.message_id,
        "blocks": changes,
        "count": len(new),
        "status": view.status,
        "footer": view.footer,
        "stop": view.stop,
        "final": view.final,
        "files": view.files,
        "settled": view.settled,
    }


def common_prefix(one: str, other: str) -> int:
    """How many characters both begin with. By halving, as comparing slices costs far less than a loop."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def utf16_length(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
