"""A strict platform in memory: it counts every call, refuses what platforms refuse, and loses what they lose."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.base.clock import Clock
from core.domain.errors import StaleFence, SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected
from core.ports.platform import Rate, Shown, Surface, SurfaceLimits
from core.ports.storage import PostedPage, ReplyLedger

DISCORD_LIKE = SurfaceLimits(
    max_chars=1_900,
    post=(Rate("place:post", 5, 5.0), Rate("global", 45, 1.0)),
    edit=(Rate("place:edit", 5, 5.0), Rate("global", 45, 1.0)),
)
"""Five calls in five seconds for each channel and kind, fifty a second over all (facts/discord.md 1.11), of which the
adapter leaves five to what is no write."""

SLACK_LIKE = SurfaceLimits(
    max_chars=12_000,
    post=(Rate("place:chat.postMessage", 1, 1.0),),
    edit=(Rate("workspace:chat.update", 50, 60.0),),
)
"""One post a second in a channel, fifty edits a minute in a workspace (facts/slack.md 1.3)."""

SLACK_STREAM_LIKE = SurfaceLimits(
    max_chars=9_000,
    post=(Rate("workspace:chat.startStream", 20, 60.0),),
    edit=(Rate("workspace:chat.appendStream", 100, 60.0),),
    finish=(Rate("workspace:chat.stopStream", 20, 60.0),),
)
"""A stream in a direct message: tiers 2, 4 and 2 (facts/slack.md 1.2)."""


class FakePlatform:
    """What all surfaces of one platform share: its buckets, and a log of every call that arrived.

    Args:
        latency_s: One way; a call is applied after it and answered after twice that.
    """

    def __init__(self, clock: Clock, *, latency_s: float = 0.0) -> None:
        self.clock = clock
        self.latency_s = latency_s
        self.refusals = 0
        """Calls answered with "too many"."""
        self.calls: list[tuple[float, str]] = []
        """When a call was counted, and what it was."""
        self._counted: dict[str, deque[float]] = {}

    async def arrive(self, what: str, rates: Sequence[Rate]) -> None:
        """Travel to the platform and be counted. Raises SurfaceBusy above any of the rates."""
        if self.latency_s:
            await self.clock.sleep(self.latency_s)
        now = self.clock.monotonic()
        for rate in rates:
            counted = self._counted.setdefault(rate.key, deque())
            while counted and counted[0] <= now - rate.per_s:
                counted.popleft()
            if len(counted) >= rate.capacity:
                self.refusals += 1
                raise SurfaceBusy(f"too many: {rate.key}", retry_after_s=counted[0] + rate.per_s - now)
        for rate in rates:
            self._counted[rate.key].append(now)
        self.calls.append((now, what))

    async def answer(self) -> None:
        if self.latency_s:
            await self.clock.sleep(self.latency_s)


@dataclass
class Message:
    """A page as it stands on the platform."""

    ref: str
    page: int
    nonce: str
    shown: Shown
    at: float
    history: list[tuple[float, Shown]] = field(default_factory=list)
    """Every state it had, with the moment it was applied."""


class FakeSurface(Surface):
    """One reply on a `FakePlatform`.

    Keep the surface across `LiveReply`s to play a restart: what was posted stays.

    Misbehaviour, set by the test: `fail_next` raises the given errors, one for each write, before it is applied;
    `lose_next` applies so many writes and loses their answers (SurfaceBusy, unsure); `gone` refuses everything.
    """

    def __init__(self, platform: FakePlatform, limits: SurfaceLimits = DISCORD_LIKE, *, name: str = "m") -> None:
        self._platform = platform
        self._limits = limits
        self._name = name
        self.messages: dict[str, Message] = {}
        self.files: list[tuple[str, bytes]] = []
        self.removed: list[int] = []
        self.busy_calls: list[bool] = []
        self.refuses_rich = False
        """Reject every page that is not asked for plain."""
        self.refuses_word = ""
        """Reject every page with this in it, as a server's word filter does (Discord's 200000)."""
        self.refuses_files = False
        self.fail_next: list[SurfaceError] = []
        self.lose_next = 0
        self.gone = False
        self.posts = 0
        self.edits = 0
        self.finds = 0
        self.in_flight = 0
        self.broken_off = 0
        """Writes that were cancelled before they were answered."""

    @property
    def limits(self) -> SurfaceLimits:
        return self._limits

    @property
    def pages(self) -> list[str]:
        """What a reader sees, page by page."""
        return [message.shown.text for message in self._in_order()]

    @property
    def shown(self) -> list[Shown]:
        return [message.shown for message in self._in_order()]

    def _in_order(self) -> list[Message]:
        return sorted(self.messages.values(), key=lambda message: message.page)

    # --- the port ---

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        assert len(nonce) <= 25, "facts/discord.md 1.8"
        async with _Call(self, "post", self._limits.post) as lost:
            self._check(shown)
            assert all(message.page != page for message in self.messages.values()), f"page {page} stands there already"
            ref = f"{self._name}{self.posts}"
            self.posts += 1
            now = self._platform.clock.monotonic()
            self.messages[ref] = Message(ref, page, nonce, shown, now, [(now, shown)])
            lost.check()
        return ref

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        rates = self._limits.finish if shown.final and self._limits.finish is not None else self._limits.edit
        async with _Call(self, "edit", rates) as lost:
            self._check(shown)
            message = self._known(ref, page)
            message.shown = shown
            message.history.append((self._platform.clock.monotonic(), shown))
            self.edits += 1
            lost.check()

    async def remove(self, ref: str, page: int) -> None:
        async with _Call(self, "remove", self._limits.edit) as lost:
            if ref in self.messages:  # taken back before, by a process that could not note it any more
                self._known(ref, page)
                del self.messages[ref]
            self.removed.append(page)
            lost.check()

    async def find(self, page: int, nonce: str) -> str | None:
        self.finds += 1
        if self.gone:
            raise SurfaceGone("gone")
        return next((message.ref for message in self.messages.values() if message.nonce == nonce), None)

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        async with _Call(self, "attach", self._limits.post) as lost:
            if self.refuses_files:
                raise SurfaceRejected("no right to attach files")
            self.files.append((name, content))
            lost.check()
        return f"{self._name}-file{len(self.files)}"

    async def busy(self, on: bool) -> None:
        self.busy_calls.append(on)

    async def close(self) -> None: ...

    # --- strictness ---

    def _check(self, shown: Shown) -> None:
        if self.refuses_rich and not shown.plain:
            raise SurfaceRejected("invalid_blocks")
        if self.refuses_word and self.refuses_word in shown.text:
            raise SurfaceRejected("blocked by a word filter")
        if self._limits.measure(shown.text) > self._limits.max_chars:
            raise SurfaceRejected("msg_too_long", too_long=True)
        assert shown.text.strip() or shown.status or shown.footer, "an empty page"

    def _known(self, ref: str, page: int) -> Message:
        assert ref in self.messages, f"unknown message {ref}"
        assert self.messages[ref].page == page, f"{ref} is page {self.messages[ref].page}, not {page}"
        return self.messages[ref]


class _Call:
    """One write, from leaving to being answered. Two at once on one surface are a mistake of the caller."""

    def __init__(self, surface: FakeSurface, what: str, rates: Sequence[Rate]) -> None:
        self._surface = surface
        self._what = what
        self._rates = rates

    async def __aenter__(self) -> _Call:
        surface = self._surface
        assert surface.in_flight == 0, "one call at a time"
        surface.in_flight += 1
        try:
            await surface._platform.arrive(self._what, self._rates)
            if surface.gone:
                raise SurfaceGone("gone")
            if surface.fail_next:
                raise surface.fail_next.pop(0)
        except BaseException as error:
            surface.in_flight -= 1
            surface.broken_off += not isinstance(error, Exception)
            raise
        return self

    def check(self) -> None:
        """Lose the answer where the test asked for it: the write stands all the same."""
        if self._surface.lose_next:
            self._surface.lose_next -= 1
            raise SurfaceBusy("connection reset", retry_after_s=0.5, unsure=True)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        surface = self._surface
        try:
            if kind is None:
                await surface._platform.answer()
        except BaseException:
            surface.broken_off += 1
            raise
        finally:
            surface.in_flight -= 1


class FakeLedger(ReplyLedger):
    """Keeps the order posting, posted; set `stale` to play another process that took the run over."""

    def __init__(self) -> None:
        self.rows: dict[int, PostedPage] = {}
        self.stale = False

    def _check(self) -> None:
        if self.stale:
            raise StaleFence

    async def pages(self) -> Sequence[PostedPage]:
        return [self.rows[page] for page in sorted(self.rows)]

    async def posting(self, page: int, nonce: str) -> None:
        self._check()
        self.rows[page] = PostedPage(page, nonce, None)

    async def posted(self, page: int, ref: str) -> None:
        self._check()
        assert page in self.rows, "posted before posting"
        self.rows[page] = PostedPage(page, self.rows[page].nonce, ref)

    async def removed(self, page: int) -> None:
        self._check()
        self.rows.pop(page, None)
