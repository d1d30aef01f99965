"""One reply on a platform: takes events, keeps the screen as close behind them as the pacer allows."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from core.base.clock import Clock
from core.base.waiting import wait_for
from core.delivery.composer import Composer, Ending
from core.delivery.draft import Draft
from core.delivery.pacing.pacer import Pacer, Slot
from core.delivery.pacing.schedule import Kind
from core.domain.errors import (
    StaleFence,
    StorageError,
    SurfaceBusy,
    SurfaceError,
    SurfaceGone,
    SurfaceRejected,
    TernError,
)
from core.domain.events import Event, Restarted, TextDelta
from core.domain.requests import ShownRecord
from core.ports.platform import Shown, Surface
from core.ports.storage import ReplyLedger
from core.wording import file_refused, notice_line, sentence_for

FILE_NAME = "answer.md"

_BUSY_EVERY_S = 8.0
"""Discord's typing indicator lasts ten seconds: https://docs.discord.com/developers/resources/channel, 2026-11-22."""

_CLOSE_WITHIN_S = 15.0
"""How long closing waits for a write that is under way. Cancelling one makes discord.py sleep twice as long
(facts/discord.md 1.11), so that is the last resort."""

_STORAGE_PAUSE_S = 1.0

_MAX_REPLY_ID_CHARS = 22
"""Discord takes nonces of up to 25 characters (facts/discord.md 1.8); "-" and the page's number are added."""


@dataclass(frozen=True, slots=True)
class _Step:
    """The next thing to do on the platform."""

    do: Literal["post", "edit", "remove", "attach"]
    page: int
    shown: Shown = Shown("")
    file: bytes = b""

    @property
    def kind(self) -> Kind:
        return "post" if self.do in ("post", "attach") else "edit"


class LiveReply:
    """Shows one reply while it grows. An async context manager; the surface is not closed here.

    `send` never waits for the platform. Writes happen in a task of their own and are never cancelled: leaving the
    context by cancellation waits, within a bound, until the one under way is answered. Left without `finish` or
    `conclude`, the reply stands as it is and the ledger tells a later process where.

    Args:
        ledger: Bound to this reply's run. Pages it knows are edited, never posted again.
        reply_id: At most 22 characters.
        asked_at: When the question was accepted, epoch seconds.
        controls: Whether buttons are shown.
        patience_s: How long `finish` lets the platform refuse the last words before it gives up.

    Raises:
        StaleFence: From `send`, `finish` and `conclude`, once another process owns the run. Stop at once.
        StorageError: From `finish` and `conclude`, when the ledger could not be written for `patience_s`.
        SurfaceBusy: From `finish` and `conclude`, when the platform refused for `patience_s`.
    """

    # A dictionary of so many attributes would take 1.6 KB for each growing answer.
    __slots__ = ("_announced", "_asked_mono", "_changed", "_clock", "_closing", "_composer", "_deaf", "_draft",
                 "_edits", "_ended_at", "_ending", "_failure", "_files", "_first_shown_at", "_gone", "_group",
                 "_last_text_at", "_ledger", "_limits", "_pacer", "_patience_s", "_platform", "_refs", "_reply_id",
                 "_request_id", "_seat", "_seen_chars", "_shown", "_signal", "_surface", "_text_shown_at", "_unsure",
                 "_visible", "_writer", "_writes", "_written", "gone")  # fmt: skip

    def __init__(
        self,
        surface: Surface,
        ledger: ReplyLedger,
        pacer: Pacer,
        clock: Clock,
        *,
        reply_id: str,
        request_id: str,
        platform: str,
        asked_at: float,
        controls: bool = True,
        patience_s: float = 120.0,
    ) -> None:
        if len(reply_id) > _MAX_REPLY_ID_CHARS:
            raise ValueError(f"reply_id is longer than {_MAX_REPLY_ID_CHARS} characters: {reply_id!r}")
        self._surface = surface
        self._ledger = ledger
        self._pacer = pacer
        self._clock = clock
        self._reply_id = reply_id
        self._request_id = request_id
        self._platform = platform
        self._asked_mono = clock.monotonic() - max(0.0, clock.now() - asked_at)
        self._patience_s = patience_s

        self._draft = Draft(notice_line)
        self._limits = surface.limits
        self._composer = Composer(self._draft, self._limits, reply_id, controls=controls)
        self._seat = pacer.seat(self._limits, lambda: self._draft.chars, self._unseen_chars)
        self._group = asyncio.TaskGroup()
        self._changed = asyncio.Event()
        self._visible = asyncio.Event()
        self._written = asyncio.Event()
        """The writer has ended: everything is shown, or nothing more can be."""
        self._ending: Ending | None = None
        self._ended_at = 0.0
        self._closing = False
        self._deaf = False
        """Nothing more is taken in: the reply has its end, or belongs to another process."""
        self._gone = False
        self.gone = asyncio.Event()
        """Set once nothing can be shown any more: whoever writes for this reply should stop, it would be for nobody."""
        self._failure: TernError | None = None

        self._refs: dict[int, str] = {}
        self._shown: dict[int, Shown] = {}
        self._unsure: set[int] = set()
        """Pages that may stand on the platform without our knowing."""
        self._announced: set[int] = set()
        """Pages whose row says that they may stand there."""
        self._seen_chars = 0
        self._writes = 0
        self._edits = 0
        self._files = 0
        self._last_text_at: float | None = None
        self._text_shown_at: float | None = None
        self._first_shown_at: float | None = None

    # --- for the caller ---

    async def __aenter__(self) -> LiveReply:
        await self._group.__aenter__()
        self._writer = self._group.create_task(self._write(), name=f"write {self._reply_id}")
        self._signal = self._group.create_task(self._signal_busy(), name=f"busy {self._reply_id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cancelled = await self._close()
        self._pacer.leave(self._seat)
        await self._group.__aexit__(None, None, None)
        if cancelled and error is None:
            raise asyncio.CancelledError

    async def _close(self) -> bool:
        """Begin no further write and let the one under way end; returns whether we were cancelled meanwhile."""
        self._closing = True
        self._visible.set()
        self._changed.set()
        self._pacer.abandon(self._seat)
        return await self._settle()

    async def _settle(self) -> bool:
        """Let the write under way end, within a bound; returns whether we were cancelled meanwhile."""
        cancelled = False
        timer = self._group.create_task(self._clock.sleep(_CLOSE_WITHIN_S))
        while not timer.done() and (running := [task for task in (self._writer, self._signal) if not task.done()]):
            try:
                await asyncio.wait([timer, *running], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                cancelled = True
        for task in (timer, self._writer, self._signal):
            task.cancel()
        return cancelled

    @property
    def text(self) -> str:
        """The answer's Markdown so far."""
        return self._draft.text

    @property
    def preface(self) -> str:
        """What stands above the answer (what was heard, declined or cut), as Markdown quotes; "" for nothing."""
        return self._draft.preface

    async def send(self, event: Event) -> None:
        if self._deaf:
            if isinstance(self._failure, StaleFence):
                raise self._failure
            return
        self._draft.apply(event)
        if type(event) is TextDelta:
            if self._last_text_at is None:
                self._pacer.begin(self._seat)
            self._last_text_at = self._clock.monotonic()
        elif type(event) is Restarted:
            self._composer.rewind(event.keep_chars)
            self._seen_chars = min(self._seen_chars, event.keep_chars)
        if not self._changed.is_set():
            self._changed.set()

    async def finish(
        self, *, footer: str = "", outcome: str = "ok", asks_approval: bool = False, choices: tuple[str, ...] = ()
    ) -> ShownRecord:
        """The answer is complete; returns when its last word stands on the screen."""
        return await self._end(Ending(footer, outcome, asks_approval=asks_approval, choices=choices))

    async def conclude(self, sentence: str, *, keep_text: bool, outcome: str) -> ShownRecord:
        """End with *sentence*: under the text so far, or in its place.

        With the outcome "waiting" the reply only pauses: another `LiveReply` of the same id will go on.
        """
        under_text = keep_text and self._draft.chars > 0
        if not under_text:
            self._composer.replace(sentence)
        return await self._end(Ending(sentence if under_text else "", outcome, final=outcome != "waiting"))

    async def withdraw(self) -> ShownRecord:
        """Take every page back: the question was deleted."""
        self._composer.replace("")
        return await self._end(Ending(outcome="withdrawn"))

    async def hand_over(self) -> None:
        """Write nothing more; returns when no write is on its way and the ledger knows of all that stands.

        To be called before somebody else may go on with these pages: a post of ours that landed after they had looked
        would be unknown to them, and they would post it again.
        """
        self._deaf = True
        if await self._close():
            raise asyncio.CancelledError

    async def attach(self, name: str, content: bytes, comment: str = "") -> str:
        """Add a file to the finished answer; returns the platform's id of it.

        A rerun takes what an earlier run attached back before it attaches anew. Raises SurfaceError and StorageError;
        where the platform refused the file, a sentence stands in its place.
        """
        # `finish` keeps the number max_pages for an answer that is too long for pages.
        page = self._composer.max_pages + 1 + self._files
        self._files += 1
        await self._ledger.posting(page, self._nonce(page))
        try:
            ref = await self._surface.attach(name, content, comment)
        except SurfaceRejected:
            instead = Shown(file_refused(name), final=True, plain=True)
            await self._ledger.posted(page, await self._surface.post(page, instead, self._nonce(page)))
            raise
        await self._ledger.posted(page, ref)
        return ref

    async def _end(self, ending: Ending) -> ShownRecord:
        self._ending = ending
        self._deaf = True
        self._ended_at = self._clock.monotonic()
        self._composer.try_again()
        self._pacer.complete(self._seat)
        self._changed.set()
        await self._written.wait()
        if self._failure is not None:
            raise self._failure
        return self._record(ending)

    def _record(self, ending: Ending) -> ShownRecord:
        first, last, shown = self._first_shown_at, self._last_text_at, self._text_shown_at
        return ShownRecord(
            request_id=self._request_id,
            platform=self._platform,
            first_shown_s=None if first is None else max(0.0, first - self._asked_mono),
            last_lag_s=None if last is None or shown is None or self._gone else max(0.0, shown - last),
            edits=self._writes,
            pages=len(self._refs),
            outcome=self._outcome(ending),
        )

    def _outcome(self, ending: Ending) -> str:
        if self._gone:
            return SurfaceGone.__name__
        return SurfaceRejected.__name__ if self._composer.nothing_shown else ending.outcome

    def _unseen_chars(self) -> int:
        return self._draft.chars - self._seen_chars

    # --- the writer ---

    async def _write(self) -> None:
        try:
            await self._recall()
            await self._announce_first()
            while not self._gone and (step := await self._next_step()):
                self._follow_limits()
                slot = await self._pacer.turn(self._seat, step.kind)
                if slot is None:
                    return
                if self._changed.is_set():  # the latest text wins, not the one that asked for the turn
                    now_needed = self._step()
                    if now_needed is None or now_needed.kind != step.kind:
                        self._pacer.give_back(slot)
                        continue
                    step = now_needed
                await self._take(step, slot)
        except StorageError as error:
            self._failure = error
            self._deaf = self._deaf or isinstance(error, StaleFence)
        finally:
            self._visible.set()
            self._written.set()

    def _follow_limits(self) -> None:
        """A surface's buckets change with its ways: a stream that broke is edited from then on."""
        if self._limits is not self._surface.limits:
            self._limits = self._surface.limits
            self._pacer.reseat(self._seat, self._limits)

    async def _recall(self) -> None:
        """Learn what an earlier process left on the platform."""
        for posted in await self._ledger.pages():
            if posted.ref is None:
                self._unsure.add(posted.page)
            else:
                self._refs[posted.page] = posted.ref
        if self._refs:
            self._pacer.posted(self._seat)

    async def _announce_first(self) -> None:
        """Commit the first page's row while the model still thinks: its first words then wait for no disk.

        Where that fails, the post itself tries again, with patience.
        """
        if self._refs or self._unsure:
            return
        with contextlib.suppress(StorageError):
            await self._announce(0)

    async def _announce(self, page: int) -> None:
        """Let the ledger say that *page* may stand on the platform from now on."""
        if page not in self._announced:
            await self._ledger.posting(page, self._nonce(page))
            self._announced.add(page)

    async def _next_step(self) -> _Step | None:
        """Wait until there is something to do; None when there never will be."""
        while True:
            self._changed.clear()
            if self._closing and self._ending is None:
                return None
            if step := self._step():
                return step
            if self._ending is not None:
                return None
            await self._changed.wait()

    def _step(self) -> _Step | None:
        """The first difference between what should stand there and what does."""
        view = self._composer.view(self._ending)
        count = len(view.pages)
        for page, shown in enumerate(view.pages):
            if self._composer.given_up(page):
                continue
            if page not in self._refs:
                return _Step("post", page, shown) if self._may_post(page) else None
            if self._shown.get(page) == shown or not self._may_edit():
                continue
            before = self._shown.get(page)
            moved_on = before is not None and len(shown.text) < len(before.text)
            if moved_on and page + 1 < count and page + 1 not in self._refs and self._may_post(page + 1):
                return _Step("post", page + 1, view.pages[page + 1])  # never take text away before it stands elsewhere
            return _Step("edit", page, shown)
        if self._ending is None:
            return None
        file_page = self._composer.max_pages
        if view.file and file_page not in self._refs:
            return _Step("attach", file_page, file=view.file)
        surplus = [
            page for page in {*self._refs, *self._unsure} if page >= count and not (page == file_page and view.file)
        ]
        return _Step("remove", max(surplus)) if surplus else None

    def _may_post(self, page: int) -> bool:
        if self._ending is not None:
            return True
        max_edits = self._surface.limits.max_edits
        return max_edits is None or (page == 0 and max_edits > 0)

    def _may_edit(self) -> bool:
        """Where edits are numbered, the last one is kept for the end."""
        max_edits = self._surface.limits.max_edits
        return max_edits is None or self._ending is not None or self._edits < max_edits - 1

    async def _take(self, step: _Step, slot: Slot) -> None:
        """Do one step; whatever the platform says, the slot is accounted for."""
        chars = self._draft.chars
        try:
            if step.kind == "post" and step.page in self._unsure:
                await self._look_for(step.page)
                self._pacer.give_back(slot)  # it may be seconds old by now, and a post needs leave when it leaves
                return
            await self._do(step)
        except SurfaceBusy as error:
            (self._pacer.refused if error.too_many else self._pacer.failed)(slot, error.retry_after_s)
            if error.unsure and step.kind == "post":
                self._unsure.add(step.page)
            self._give_up_after_patience(error)
        except SurfaceGone:
            self._pacer.done(slot)
            self._be_gone()
        except SurfaceRejected as error:
            self._pacer.done(slot)
            self._make_acceptable(step, error)
        except StaleFence:
            self._pacer.done(slot)
            raise
        except StorageError as error:
            self._pacer.failed(slot, _STORAGE_PAUSE_S)
            self._give_up_after_patience(error)
        else:
            self._pacer.done(slot)
            self._wrote(step, chars)

    async def _do(self, step: _Step) -> None:
        match step.do:
            case "post" | "attach":
                await self._post(step)
            case "edit":
                await self._surface.edit(self._refs[step.page], step.page, step.shown)
                self._edits += 1
                self._shown[step.page] = step.shown
            case "remove":
                await self._remove(step.page)

    async def _post(self, step: _Step) -> None:
        page = step.page
        await self._announce(page)
        if step.do == "post":
            ref = await self._surface.post(page, step.shown, self._nonce(page))
            self._shown[page] = step.shown
        else:
            ref = await self._surface.attach(FILE_NAME, step.file, "")
        await self._stands(page, ref)

    async def _look_for(self, page: int) -> None:
        """Ask the platform whether *page* stands; afterwards that is known."""
        ref = await self._surface.find(page, self._nonce(page))
        self._unsure.discard(page)
        if ref is not None:
            await self._stands(page, ref)

    async def _stands(self, page: int, ref: str) -> None:
        self._refs[page] = ref
        self._pacer.posted(self._seat)
        await self._ledger.posted(page, ref)

    async def _remove(self, page: int) -> None:
        ref = self._refs.get(page) or await self._surface.find(page, self._nonce(page))
        if ref is not None:
            await self._surface.remove(ref, page)
        self._forget(page)
        await self._ledger.removed(page)

    def _forget(self, page: int) -> None:
        self._refs.pop(page, None)
        self._shown.pop(page, None)
        self._unsure.discard(page)
        self._announced.discard(page)

    def _nonce(self, page: int) -> str:
        return f"{self._reply_id}-{page}"

    def _wrote(self, step: _Step, chars: int) -> None:
        now = self._clock.monotonic()
        self._writes += 1
        self._seen_chars = chars
        if step.do in ("post", "edit"):
            self._visible.set()
            if self._composer.shows_answer(step.page, step.shown):
                self._text_shown_at = now
                if self._first_shown_at is None:
                    self._first_shown_at = now

    def _give_up_after_patience(self, error: SurfaceBusy | StorageError) -> None:
        if self._ending is not None and self._clock.monotonic() - self._ended_at > self._patience_s:
            self._failure = error
            self._be_gone()

    def _make_acceptable(self, step: _Step, error: SurfaceRejected) -> None:
        """Shorter, then plainer, then a sentence beside what stands; nothing that stands is ever taken away for it."""
        if step.do == "attach":
            self._composer.refuse_file()
        elif step.do == "remove":
            self._forget(step.page)
        elif not (error.too_long and self._composer.shorten()):
            before = self._shown.get(step.page)
            stands = before.text if before else "" if step.page not in self._refs else None
            self._composer.refuse(step.page, stands, sentence_for(error, self._request_id))
            if self._composer.nothing_shown and self._composer.given_up(0):
                self._be_gone()

    def _be_gone(self) -> None:
        """Nothing can be shown any more."""
        self._gone = True
        self.gone.set()

    # --- meanwhile ---

    async def _signal_busy(self) -> None:
        """Show that somebody is at work until there is something to see."""
        while not self._visible.is_set():
            await self._busy(True)
            await wait_for(self._visible, self._clock, _BUSY_EVERY_S)
        await self._busy(False)

    async def _busy(self, on: bool) -> None:
        with contextlib.suppress(SurfaceError):  # a nicety; the reply itself will meet whatever is wrong
            await self._surface.busy(on)
