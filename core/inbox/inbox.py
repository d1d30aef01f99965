"""The inbox: messages in, durable and once (deduplication); runs out, in order per conversation, side by side, to
whoever answers.

The rows are the truth (core/storage/), so everything here may be lost at any moment. What it keeps in memory is only
what it holds just now: the queue as last seen, its claims, the places people were shown.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import structlog

from core import wording
from core.base.clock import Clock
from core.base.waiting import wait_for
from core.domain.errors import OverLimit, QueueFull, RequestError, StaleFence, StorageError
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.domain.runs import Claim, KnownReply, Pending, ReplyCapability, RunRules, Settlement, StopReason, Taken
from core.inbox.scheduler import Flood, Stop, Ticket, choose, places
from core.ports.platform import ControlAction, Decision, Receipt
from core.ports.storage import InboxStore

_OWN_ONLY = frozenset({"web", "api", "terminal"})
"""Where nobody sees what others asked."""

log: Any = structlog.get_logger(__name__)


class Work(Protocol):
    """Brings one claimed run to its end and settles it (core/inbox/runner.py).

    With a ticket the run is only held: its place is shown until the ticket brings the started claim. *spoken* is called
    once its words are complete: what is left then is the platform's part.
    """

    async def __call__(
        self, claim: Claim, stop: Stop, ticket: Ticket | None = None, *, spoken: Callable[[], None]
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """Counts and seconds."""

    concurrency: int = 64
    """Runs answered at the same time. One whose words are complete does not count: a platform that takes nothing just
    now, or less than is asked of it, must not keep the others waiting."""
    queue: int = 1_000
    """Runs that may wait for their start, or complete for their platform; above it new messages are refused with a
    sentence."""
    messages_per_minute: int = 20
    """Of one person."""
    shown_queued: int = 100
    """Waiting runs that show their place."""
    queued_after_s: float = 1.0
    """A run that waits longer shows its place."""
    look_every_s: float = 1.0
    """How often the rows are read for what this process did not see itself: runs of dead processes, runs that are due
    again, stops that another process was told."""
    farewell_s: float = 5.0
    """How long runs get at the end of a drain to say that they are interrupted."""
    rules: RunRules = RunRules()


@dataclass(eq=False, slots=True)
class _Active:
    """A run in our hands: being answered, or held while it shows its place."""

    claim: Claim
    stop: Stop
    ticket: Ticket | None
    spoken: bool = False
    """Its words are complete."""
    task: asyncio.Task[None] | None = None

    @property
    def as_pending(self) -> Pending:
        claim = self.claim
        return Pending(claim.run_id, claim.seq, claim.conversation_id, claim.incoming.user, claim.starts)


def _may_see(known: KnownReply, by: UserKey) -> bool:
    """Whether *by* can have the reply in sight: a platform shows its buttons only where they may be pressed, whoever
    comes over HTTP names any id, so to them a reply of somebody else is not there."""
    return by == known.asker or (by.platform == known.asker.platform and by.platform not in _OWN_ONLY)


def new_id() -> str:
    """A run's or reply's id: 16 characters, not to be guessed."""
    return secrets.token_hex(8)


class Inbox:
    """Implements `Intake`. `run` works until `drain`; every call of `Intake` is durable also when it does not run.

    Args:
        store: The rows; must hand out runs by the same rules as `limits.rules`.
        work: Answers; see `Work`.
        ids: Makes ids, at most 20 characters of [0-9a-z], each once.
        platforms: Whose waiting runs are taken up here, None for everybody's. `python -m bot chat` beside a running
            bot shares its rows, and neither can show what was asked of the other.
    """

    def __init__(
        self,
        store: InboxStore,
        work: Work,
        clock: Clock,
        limits: InboxLimits = InboxLimits(),
        *,
        ids: Callable[[], str] = new_id,
        platforms: Collection[str] | None = None,
    ) -> None:
        self._store = store
        self._work = work
        self._clock = clock
        self._limits = limits
        self._new_id = ids
        self._platforms = platforms
        self._flood = Flood(clock, limits.messages_per_minute)
        self._pending: dict[str, Pending] = {}
        self._known_at: dict[str, float] = {}
        """Pending run -> when we first saw it wait, monotonic."""
        self._active: dict[str, _Active] = {}
        self._reserved = 0
        """Slots promised to messages that are being accepted."""
        self._arriving = 0
        """Messages that are being accepted and will wait."""
        self._group: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._wake = asyncio.Event()
        self._look_at = 0.0
        self._idle = asyncio.Event()
        self._idle.set()

    # --- Intake ---

    async def accept(self, incoming: Incoming, capability: ReplyCapability | None = None) -> Receipt:
        if refusal := self._refusal(incoming.user):
            at = incoming.conversation
            if await self._store.seen(at.platform, at.workspace, at.channel, incoming.message_id):
                return Receipt("duplicate")  # a redelivery is no new message, however many others there are
            return Receipt("refused", sentence=wording.sentence_for(refusal))
        start_now = self._has_room()
        self._reserved += start_now
        self._arriving += not start_now
        try:
            taken = await self._store.accept(incoming, capability, self._new_id(), self._new_id(), claim=start_now)
            if taken.state == "accepted":
                self._flood.count(incoming.user)
            if taken.claim and not self.open:  # a drain began meanwhile: whoever runs next need not wait for the lease
                await self._store.release(taken.claim)
            return self._receive(taken)
        finally:
            self._reserved -= start_now
            self._arriving -= not start_now

    async def revise(self, incoming: Incoming) -> Receipt:
        if refusal := self._refusal(incoming.user):
            return Receipt("refused", sentence=wording.sentence_for(refusal))
        taken = await self._store.revise(incoming, self._new_id(), self._new_id())
        if taken.state == "accepted":
            self._flood.count(incoming.user)
        self._tell(taken.stop, "superseded")
        return self._receive(taken)

    async def withdraw(
        self, platform: str, workspace: str, channel: str, message_id: str, *, may_come: bool = False
    ) -> None:
        taken = await self._store.withdraw(platform, workspace, channel, message_id, self._new_id(), may_come=may_come)
        self._tell(taken.stop, "deleted")
        self._receive(taken)

    async def press(
        self,
        reply_id: str,
        action: ControlAction,
        by: UserKey,
        *,
        moderator: bool = False,
        capability: ReplyCapability | None = None,
        choice: str = "",
    ) -> str:
        known = await self._store.reply(reply_id)
        if known is None or not _may_see(known, by):
            return wording.FORGOTTEN_REPLY
        match action:
            case "thumbs_up" | "thumbs_down" if by != known.asker and known.private:
                return wording.FORGOTTEN_REPLY  # whoever guessed its id learns nothing, not even that it is there
            case "thumbs_up" | "thumbs_down":
                await self._store.save_feedback(reply_id, by, action)
                return wording.THANKS
            case "confirm" | "decline":
                # Nobody may approve in another person's name, whatever rights they have here.
                return await self._decide(reply_id, action, by, capability) if by == known.asker else wording.NOT_YOURS
            case "choose":
                if by != known.asker:
                    return wording.NOT_YOURS
                return await self._again(reply_id, "regenerate", by, capability, {"schema": choice})
            case _ if by != known.asker and not moderator:
                return wording.NOT_YOURS_TO_STOP
            case "stop":
                return "" if await self._stop([known.run_id]) else wording.NOTHING_TO_STOP
            case "regenerate" | "shorter":
                return await self._again(reply_id, action, by, capability)

    async def _again(
        self,
        reply_id: str,
        action: Literal["regenerate", "shorter"],
        by: UserKey,
        capability: ReplyCapability | None,
        options: Mapping[str, str] | None = None,
    ) -> str:
        if refusal := self._refusal(by):
            return wording.sentence_for(refusal)
        taken = await self._store.repeat(reply_id, action, capability, self._new_id(), options=options)
        match taken.state:
            case "accepted":
                self._flood.count(by)
                self._receive(taken)
                return ""
            case "busy":
                self._wake.set()
                return wording.STILL_WRITING
            case "quarantined":
                return wording.QUARANTINED
            case _:
                return wording.FORGOTTEN_REPLY

    async def _decide(self, reply_id: str, decision: Decision, by: UserKey, capability: ReplyCapability | None) -> str:
        taken = await self._store.decide(reply_id, decision, by, capability, self._new_id())
        match taken.state:
            case "accepted":
                self._receive(taken)
                return ""
            case "busy":
                self._wake.set()
                return wording.STILL_WRITING
            case _:
                return wording.NOTHING_ASKED

    async def watch_questions(self, every_s: float = 20.0) -> None:
        """Say under every question before an acting tool that nobody answered in time that it is over; until
        cancelled. A conversation that is busy is looked at again."""
        while True:
            try:
                for reply_id, asker in await self._store.overdue(100):
                    if self._platforms is None or asker.platform in self._platforms:
                        await self._decide(reply_id, "expired", asker, None)
            except StorageError as error:
                log.warning("overdue questions could not be read", error=str(error))
            await self._clock.sleep(every_s)

    async def stop(self, conversation: ConversationKey, by: UserKey) -> bool:
        found = await self._store.open_runs(conversation=conversation)
        return await self._stop([run_id for run_id, asker in found if asker == by])

    async def stop_here(self, channel: str, by: UserKey) -> bool:
        return await self._stop([run_id for run_id, _ in await self._store.open_runs(user=by, channel=channel)])

    async def stop_all(self, *, user: UserKey | None = None, conversation: ConversationKey | None = None) -> None:
        """Stop every run of a person or conversation and wait, for seconds at most, until those in our hands have
        ended: before everything about them is forgotten."""
        run_ids = [run_id for run_id, _ in await self._store.open_runs(user=user, conversation=conversation)]
        await self._stop(run_ids)
        until = self._clock.monotonic() + self._limits.farewell_s
        while self._active.keys() & set(run_ids) and self._clock.monotonic() < until:
            await self._clock.sleep(0.05)

    async def conversation_of(self, platform: str, channel: str, ref: str) -> ConversationKey | None:
        return await self._store.conversation_of(platform, channel, ref)

    async def pages_of(self, platform: str, channel: str, message_id: str) -> Sequence[str]:
        return await self._store.pages_of(platform, channel, message_id)

    async def takes_part(self, conversation: ConversationKey) -> UserKey | None:
        return await self._store.takes_part(conversation)

    async def active_conversations(self, platform: str, since: float) -> Sequence[tuple[ConversationKey, str]]:
        return await self._store.active_conversations(platform, since)

    async def seen(self, platform: str, workspace: str, channel: str, message_id: str) -> bool:
        return await self._store.seen(platform, workspace, channel, message_id)

    # --- figures ---

    @property
    def open(self) -> bool:
        """Whether new messages are started: `run` is under way and no drain began."""
        return self._group is not None and not self._closing.is_set()

    @property
    def running(self) -> int:
        """Runs being answered."""
        return sum(1 for active in self._active.values() if active.ticket is None)

    @property
    def _speaking(self) -> int:
        """Runs that take up room: neither held nor complete."""
        return self.running - self._complete

    @property
    def _complete(self) -> int:
        """Runs that only wait for their platform."""
        return sum(active.spoken for active in self._active.values())

    @property
    def queued(self) -> int:
        """Runs waiting for their start, as far as this process knows."""
        return len(self._pending)

    # --- at the door ---

    def _refusal(self, user: UserKey) -> RequestError | None:
        if wait_s := self._flood.wait_s(user):
            limit = self._limits.messages_per_minute
            return OverLimit("user", "messages per minute", limit=limit, retry_after_s=wait_s)
        if (waiting := len(self._pending) + self._arriving + self._complete) >= self._limits.queue:
            return QueueFull(waiting)
        return None

    def _has_room(self) -> bool:
        """Whether a message may start the moment it is accepted: nobody waits, and a slot is free."""
        return self.open and not self._pending and self._speaking + self._reserved < self._limits.concurrency

    def _receive(self, taken: Taken) -> Receipt:
        """Start what was claimed at the door; queue the rest."""
        if taken.claim:
            if self.open:
                self._start(taken.claim)
        elif taken.state == "accepted" and taken.pending:
            self._note_pending(taken.pending)
            self._wake.set()
        return Receipt(
            "accepted" if taken.state == "accepted" else "duplicate", taken.run_id, taken.reply_id, taken.place
        )

    async def _stop(self, run_ids: Sequence[str]) -> bool:
        if not run_ids:
            return False
        asked = await self._store.request_stop(run_ids, "user")
        self._tell(asked, "user")
        for run_id in asked:
            self._forget_pending(run_id)  # the next look brings it back if its pages still have to say so
        return bool(asked)

    def _tell(self, run_ids: Iterable[str], reason: StopReason) -> None:
        for run_id in run_ids:
            if active := self._active.get(run_id):
                active.stop.request(reason)

    # --- life ---

    async def run(self) -> None:
        """Answer until `drain` has ended, or until cancelled: then whatever runs is cut off, and its rows say so."""
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                keeper = group.create_task(self._keep_leases(), name="inbox leases")
                try:
                    await self._dispatch()
                finally:
                    self._group = None
                    keeper.cancel()
                    for active in self._active.values():
                        active.stop.request("shutdown")
        finally:
            self._ended.set()

    async def drain(self, grace_s: float) -> None:
        """Start nothing more, give what is being answered *grace_s*, then interrupt it; returns when `run` has ended.

        What was not finished is accepted again, with its lease given up, for whoever runs next. Messages that come
        meanwhile are stored and not started.
        """
        self._closing.set()
        for active in list(self._active.values()):
            if active.ticket:
                active.stop.request("shutdown")
        await wait_for(self._idle, self._clock, grace_s)
        for active in list(self._active.values()):
            active.stop.request("shutdown")
        await wait_for(self._idle, self._clock, self._limits.farewell_s)
        for active in list(self._active.values()):
            if active.task:
                active.task.cancel()
        self._wake.set()
        await self._ended.wait()

    async def retry_waiting(self) -> None:
        """A model answers again: whatever waits for one is tried at once, not when its own pause is over."""
        if await self._store.retry_now():
            self._look_at = 0.0
            self._wake.set()

    async def _dispatch(self) -> None:
        self._look_at = 0.0
        while not (self._closing.is_set() and self._idle.is_set()):
            self._wake.clear()
            try:
                if self._clock.monotonic() >= self._look_at:
                    await self._look()
                    self._look_at = self._clock.monotonic() + self._limits.look_every_s
                    if self.open:
                        await self._show_places()
                if self.open:
                    await self._start_next()
            except StorageError as error:
                log.warning("the inbox cannot use its rows just now", error=str(error))
                self._look_at = self._clock.monotonic() + self._limits.look_every_s
            await wait_for(self._wake, self._clock, max(0.0, self._look_at - self._clock.monotonic()))

    async def _look(self) -> None:
        """Bring the queue up to date with the rows, and hear what was asked of our runs elsewhere."""
        before = set(self._pending)
        waiting = await self._store.pending(2 * self._limits.queue)
        found = [run for run in waiting if self._platforms is None or run.user.platform in self._platforms]
        for gone in before - {run.run_id for run in found}:
            self._forget_pending(gone)
        for run in found:
            if run.run_id not in self._active or self._active[run.run_id].ticket:
                self._note_pending(run)
        if self._active:
            for run_id, reason in (await self._store.stops(list(self._active))).items():
                self._tell([run_id], reason)

    async def _start_next(self) -> None:
        while True:
            running = [active.as_pending for active in self._active.values() if active.ticket is None]
            free = self._limits.concurrency - self._speaking - self._reserved
            chosen = choose(self._pending.values(), running=running, free=free) if free > 0 else []
            if not chosen:
                return
            claims = await self._store.claim([run.run_id for run in chosen])
            for run in chosen:
                self._forget_pending(run.run_id)  # also where somebody else has it now
            for claim in claims:
                self._start(claim)

    async def _show_places(self) -> None:
        """Tell those who wait where they stand."""
        if not self._pending:
            return
        place_of = places(self._pending.values())
        held = [active for active in self._active.values() if active.ticket]
        for active in held:
            if active.ticket and (place := place_of.get(active.claim.run_id)):
                active.ticket.move(place)
        patient_until = self._clock.monotonic() - self._limits.queued_after_s
        next_of: dict[int, str] = {}
        """Conversation -> its oldest untold run: one after the other, so that their signs stand in order."""
        for run_id in place_of:
            if run_id not in self._active and self._known_at[run_id] <= patient_until:
                next_of.setdefault(self._pending[run_id].conversation_id, run_id)
        untold = list(next_of.values())[: max(0, self._limits.shown_queued - len(held))]
        if untold:
            for claim in await self._store.hold(untold):
                self._start(claim, Ticket(place_of[claim.run_id]))

    def _start(self, claim: Claim, ticket: Ticket | None = None) -> None:
        held = self._active.get(claim.run_id)
        if held and held.ticket:
            held.ticket.call(claim)
            held.claim, held.ticket = claim, None
            return
        if self._group is None:
            return  # cut off while it was being claimed: its lease runs out
        active = _Active(claim, Stop(), ticket)
        self._active[claim.run_id] = active
        self._idle.clear()
        active.task = self._group.create_task(self._carry_out(active), name=f"run {claim.run_id}")

    async def _carry_out(self, active: _Active) -> None:
        def spoken() -> None:
            active.spoken = True
            self._wake.set()

        try:
            await self._work(active.claim, active.stop, active.ticket, spoken=spoken)
        except StaleFence:
            log.info("a run is in other hands now", run_id=active.claim.run_id)
        except StorageError as error:
            # The row still says that it runs. Its lease will end, and it is taken up again.
            log.error("a run could not be settled", run_id=active.claim.run_id, error=str(error))
        except Exception:
            log.exception("a run failed in a way nobody foresaw", run_id=active.claim.run_id)
            await self._write_off(active.claim)
        finally:
            del self._active[active.claim.run_id]
            if not self._active:
                self._idle.set()
            self._wake.set()

    async def _write_off(self, claim: Claim) -> None:
        try:
            await self._store.settle(claim, Settlement("failed", error="crashed"))
        except StorageError as error:
            log.error("a run could not be settled", run_id=claim.run_id, error=str(error))

    async def _keep_leases(self) -> None:
        """Renew in time; whatever was taken from us must stop writing."""
        pause_s = 0.3 * self._limits.rules.lease_s
        while True:
            await self._clock.sleep(pause_s)
            ours = {run_id: active.claim.fence for run_id, active in self._active.items()}
            if not ours:
                continue
            try:
                kept = await self._store.renew(list(ours))
            except StorageError as error:
                log.warning("leases could not be renewed", error=str(error))
                continue
            for run_id, fence in ours.items():
                now_fence, reason = kept.get(run_id, (-1, None))
                if now_fence != fence:
                    self._tell([run_id], "lost")
                elif reason:
                    self._tell([run_id], reason)

    def _note_pending(self, run: Pending) -> None:
        self._pending[run.run_id] = run
        self._known_at.setdefault(run.run_id, self._clock.monotonic())

    def _forget_pending(self, run_id: str) -> None:
        self._pending.pop(run_id, None)
        self._known_at.pop(run_id, None)
