"""One claimed run, brought to its end: asked, shown, settled. How it ends is decided here and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from core import wording
from core.base.clock import Clock
from core.chat.forgotten import Forgotten
from core.chat.prompts import question
from core.chat.service import Answered, Chat, ReplyFile
from core.delivery.live_reply import LiveReply
from core.delivery.pacing.pacer import Pacer
from core.domain.errors import (
    CallMalformed,
    ContextTooLong,
    ModelBlocked,
    ModelGone,
    NoModelLeft,
    OutputMalformed,
    RequestError,
    RequestRejected,
    StaleFence,
    StorageError,
    SurfaceBusy,
    SurfaceError,
    SurfaceGone,
    TooLargeForLimit,
)
from core.domain.events import Event, Notice, Send, TextDelta
from core.domain.incoming import Incoming, Quote
from core.domain.requests import Reply, ShownRecord, Text, Turn
from core.domain.runs import Claim, Settlement
from core.gateway.tokens import estimate_tokens
from core.inbox.scheduler import Stop, Ticket
from core.ports.gateway import Observer
from core.ports.platform import Adapter, Surface
from core.ports.storage import InboxStore

log: Any = structlog.get_logger(__name__)

_HOPELESS = (
    TooLargeForLimit,
    ContextTooLong,
    ModelGone,
    ModelBlocked,
    RequestRejected,
    CallMalformed,
    OutputMalformed,
)
"""What a model will say again in a minute."""

_DEADLINE_MARGIN_S = 5.0
"""The middleware stack keeps the deadline itself and words it better; this is for a stage that does not."""

_SETTLE_TRIES = 6
"""With doubling pauses from 0.2 s: about twelve seconds, longer than another process may hold the database."""


class Voice(Protocol):
    """`core/voice/speaking.py`."""

    async def clip(self, run_id: str, incoming: Incoming, reply: Reply) -> ReplyFile | None:
        """The answer spoken, None where it cannot be. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """Times in seconds."""

    first_retry_s: float = 5.0
    """Pause before a run that found no model is tried again; it doubles."""
    retry_cap_s: float = 60.0
    local_platforms: frozenset[str] = frozenset({"web", "terminal"})
    """Where the small local model may stand in."""


_ERASED = Settlement("stopped", "deleted", erase=True)


def backoff_s(tries: int, settings: RunnerSettings, at_least_s: float | None = None) -> float:
    """How long a run waits that has waited *tries* times already; never shorter than a provider asked for."""
    return max(min(settings.first_retry_s * 2.0**tries, settings.retry_cap_s), at_least_s or 0.0)


@dataclass(slots=True)
class _Listener:
    """Passes events on to the screen and keeps what the figures need."""

    send: Send
    clock: Clock
    began: float
    first_text_s: float | None = None
    notices: dict[str, Mapping[str, str]] | None = None

    async def __call__(self, event: Event) -> None:
        if self.first_text_s is None and type(event) is TextDelta:
            self.first_text_s = self.clock.monotonic() - self.began
        elif type(event) is Notice:
            self.notices = {**(self.notices or {}), event.kind: event.facts}
        await self.send(event)


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that one run needs on its way."""

    claim: Claim
    stop: Stop
    live: LiveReply
    adapter: Adapter
    spoken: Callable[[], None]
    """To be called when the words are complete."""


class Runner:
    """Implements the inbox's `Work`. Owns nothing: adapters and pacers belong to whoever made them.

    Args:
        adapters: By platform.
        pacers: By platform; one per process, shared with its adapter.
        observers: Told of every visible answer.
        voice: Speaks the answers to voice clips; None leaves them written.
        forgotten: Keeps what was forgotten from being read back; None reads everything.
        on_waiting: Hears that a run waits because no model answers.
    """

    def __init__(
        self,
        chat: Chat,
        store: InboxStore,
        adapters: Mapping[str, Adapter],
        pacers: Mapping[str, Pacer],
        clock: Clock,
        observers: Sequence[Observer] = (),
        settings: RunnerSettings = RunnerSettings(),
        voice: Voice | None = None,
        forgotten: Forgotten | None = None,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._voice = voice
        self._forgotten = forgotten
        self._on_waiting = on_waiting
        self._chat = chat
        self._store = store
        self._adapters = adapters
        self._pacers = pacers
        self._clock = clock
        self._observers = observers
        self._settings = settings

    async def __call__(
        self, claim: Claim, stop: Stop, ticket: Ticket | None = None, *, spoken: Callable[[], None]
    ) -> None:
        """Raises StaleFence when another process has the run, StorageError when it could not be settled."""
        if claim.duty == "drop":
            await self._settle(claim, Settlement("stopped", "superseded"))
            return
        if claim.duty == "bury":
            await self._settle(claim, Settlement("quarantined", "crashes"))
            return
        try:
            adapter, surface = await self._open(claim)
        except SurfaceGone as error:
            await self._settle(claim, _ERASED if claim.duty == "withdraw" else _unseen(claim, error))
        except SurfaceError as error:
            await self._settle(claim, self._later(claim, type(error).__name__))
        else:
            try:
                await self._show(claim, stop, ticket, adapter, surface, spoken)
            finally:
                await surface.close()

    # --- the screen ---

    async def _open(self, claim: Claim) -> tuple[Adapter, Surface]:
        """Raises SurfaceError, SurfaceGone where the answer is private and the right to show it has expired."""
        incoming = claim.incoming
        adapter = self._adapters.get(incoming.conversation.platform)
        if adapter is None:
            raise SurfaceBusy(f"{incoming.conversation.platform} is switched off")
        capability = claim.capability
        if capability and capability.expires_at <= self._clock.now():
            if incoming.visibility == "private":
                raise SurfaceGone("the right to answer privately has expired")
            capability = None
        return adapter, await adapter.surface(incoming, claim.reply_id, capability)

    async def _show(
        self,
        claim: Claim,
        stop: Stop,
        ticket: Ticket | None,
        adapter: Adapter,
        surface: Surface,
        spoken: Callable[[], None],
    ) -> None:
        platform = claim.incoming.conversation.platform
        async with LiveReply(
            surface,
            self._store.ledger(claim),
            self._pacers[platform],
            self._clock,
            reply_id=claim.reply_id,
            request_id=claim.run_id,
            platform=platform,
            asked_at=claim.accepted_at,
        ) as live:
            started = await self._wait_for_turn(live, stop, ticket) if ticket else claim
            job = _Job(started or claim, stop, live, adapter, spoken)
            try:
                await (self._carry_out(job) if started else self._end_stopped(job, None))
            except SurfaceBusy as error:
                # The platform took nothing for minutes. What was not seen is asked again, until the deadline.
                await self._settle(job.claim, self._later(job.claim, type(error).__name__))

    async def _wait_for_turn(self, live: LiveReply, stop: Stop, ticket: Ticket) -> Claim | None:
        """Show the place in the queue until the turn comes; None when a stop comes first."""
        while (news := await self._unless_stopped(stop, ticket.news())) is not None:
            if isinstance(news, Claim):
                return news
            await live.send(Notice("queued", {"place": str(news)}))
        return None

    # --- the ends ---

    async def _carry_out(self, job: _Job) -> None:
        match job.claim.duty:
            case "answer" if job.claim.tries and self._clock.now() >= job.claim.deadline_at:
                await self._give_up_waiting(job, "NoModelLeft")
            case "answer":
                await self._answer(job)
            case "stop":
                job.stop.request("user")
                await self._end_stopped(job, None)
            case "withdraw":
                await self._withdraw(job)
            case "give_up":
                await self._say(job, wording.QUARANTINED, "quarantined", Settlement("quarantined", error="crashes"))
            case "apologise":
                await self._say(job, wording.backlog(job.claim.missed), "backlog", Settlement("failed", "backlog"))
            case "drop" | "bury":
                raise AssertionError("settled before anything was opened")

    async def _answer(self, job: _Job) -> None:
        listener = _Listener(job.live.send, self._clock, self._clock.monotonic())
        came = await self._unless_stopped(
            job.stop, self._ask(job, listener), self._stop_at_deadline(job), _stop_when_gone(job)
        )
        job.spoken()
        match came:
            case Answered():
                await self._finish(job, came, listener)
            case None:
                await self._end_stopped(job, listener)
            case StaleFence():
                raise came
            case NoModelLeft() if not _is_hopeless(came):
                await self._wait_for_a_model(job, came)
            case NoModelLeft() | RequestError() | SurfaceError():
                await self._fail(job, came)
            case StorageError():
                raise came
            case _:
                log.error("an answer failed", run_id=job.claim.run_id, exc_info=came)
                await self._fail(job, came)

    async def _ask(self, job: _Job, listener: _Listener) -> Answered | Exception:
        claim, incoming = job.claim, job.claim.incoming
        try:
            return await self._chat.answer(
                claim.run_id,
                incoming,
                context=partial(self._context, job.adapter, incoming),
                send=listener,
                deadline_at=claim.deadline_at,
                allow_local=incoming.conversation.platform in self._settings.local_platforms,
            )
        except Exception as error:  # noqa: BLE001 sorted in `_answer`; inside a TaskGroup it would lose its class
            return error

    async def _finish(self, job: _Job, answered: Answered, listener: _Listener) -> None:
        reply = answered.reply
        footer = wording.FROM_CACHE if reply.from_cache else ""
        record = await job.live.finish(footer=footer, asks_approval=reply.asks_approval, choices=reply.choices)
        self._observe(record)
        facts = _figures(reply, listener) | _preface(job)
        if record.outcome == "ok" and (attached := await self._attach(job, answered, listener)):
            facts["files"] = attached
        if record.outcome == "ok":
            await self._settle(job.claim, Settlement("answered", turns=answered.turns, facts=facts))
        else:
            await self._settle(job.claim, _not_shown(job.claim, record, facts))

    async def _attach(self, job: _Job, answered: Answered, listener: _Listener) -> list[dict[str, str]]:
        """Attach the answer's files, and its words as a clip where it answers one; the text stands without them too."""
        files = list(answered.files)
        if self._voice and "heard" in (listener.notices or {}):
            clip = await self._voice.clip(job.claim.run_id, job.claim.incoming, answered.reply)
            files += [clip] if clip else []
        attached = []
        for file in files:
            try:
                ref = await job.live.attach(file.name, file.content, file.comment)
            except SurfaceError as error:
                log.warning("a file could not be attached", run_id=job.claim.run_id, file=file.name, error=str(error))
                continue
            attached.append({"ref": ref, "name": file.name, "comment": file.comment})
        return attached

    async def _end_stopped(self, job: _Job, listener: _Listener | None) -> None:
        """A stop came first; its reason decides what is seen and kept."""
        text = job.live.text
        match job.stop.reason:
            case "user":
                sentence = wording.STOPPED if text else wording.STOPPED_BEFORE_TEXT
                record = await job.live.conclude(sentence, keep_text=True, outcome="stopped")
                self._observe(record)
                await self._settle(job.claim, _partial(job, listener, "stopped", "user", sentence))
            case "deadline":
                record = await job.live.conclude(wording.DEADLINE_PASSED, keep_text=True, outcome="deadline")
                self._observe(record)
                await self._settle(job.claim, _partial(job, listener, "failed", "deadline", wording.DEADLINE_PASSED))
            case "superseded" | "deleted":
                # The next run of the same message works on the same pages: nothing is said here.
                await job.live.hand_over()
                await self._settle(job.claim, Settlement("stopped", error=job.stop.reason))
            case "shutdown":
                if text:
                    await job.live.conclude(wording.SHUTTING_DOWN, keep_text=True, outcome="waiting")
                await job.live.hand_over()
                # Only now: whoever takes it up next must not meet a write of ours that is still on its way.
                await self._store.release(job.claim)
            case "gone":
                await self._settle(job.claim, _unseen(job.claim, SurfaceGone("gone while the answer was written")))
            case "lost" | None:
                return

    async def _wait_for_a_model(self, job: _Job, error: NoModelLeft) -> None:
        claim, now = job.claim, self._clock.now()
        next_try_at = now + backoff_s(claim.tries, self._settings, error.retry_after_s)
        if next_try_at >= claim.deadline_at:
            await self._give_up_waiting(job, type(error).__name__)
            return
        log.warning("no model answers", run_id=claim.run_id, tries=claim.tries, error=str(error))
        sentence = wording.waiting(claim.deadline_at, claim.incoming.tz)
        self._observe(await job.live.conclude(sentence, keep_text=bool(error.partial_text), outcome="waiting"))
        await self._settle(
            claim,
            Settlement(
                "waiting", "NoModelLeft", next_try_at=next_try_at, facts={"outcome": "waiting", "sentence": sentence}
            ),
        )
        self._on_waiting()

    async def _give_up_waiting(self, job: _Job, error: str) -> None:
        sentence = wording.gave_up(job.claim.accepted_at, job.claim.incoming.tz)
        await self._say(job, sentence, "gave_up", Settlement("failed", error))

    async def _fail(self, job: _Job, error: Exception) -> None:
        sentence = wording.sentence_for(error, job.claim.run_id)
        log.info("answered with a sentence", run_id=job.claim.run_id, error=type(error).__name__)
        keep_text = isinstance(error, NoModelLeft) and bool(error.partial_text)
        name = type(error).__name__
        await self._say(job, sentence, name, Settlement("failed", name), keep_text=keep_text)

    async def _withdraw(self, job: _Job) -> None:
        try:
            await job.live.withdraw()
        except SurfaceBusy as error:
            again = self._later(job.claim, type(error).__name__)
            await self._settle(job.claim, again if again.state == "waiting" else _ERASED)
        else:
            await self._settle(job.claim, _ERASED)

    async def _say(
        self, job: _Job, sentence: str, outcome: str, settlement: Settlement, *, keep_text: bool = False
    ) -> None:
        """End with a sentence of our own."""
        record = await job.live.conclude(sentence, keep_text=keep_text, outcome=outcome)
        self._observe(record)
        facts = {"outcome": outcome, "sentence": sentence, **_preface(job)}
        await self._settle(job.claim, Settlement(settlement.state, settlement.error, facts=facts))

    # --- means ---

    async def _unless_stopped(
        self, stop: Stop, work: Coroutine[Any, Any, Any], *watches: Coroutine[Any, Any, None]
    ) -> Any:
        """Await *work*, which raises nothing but cancellation; None when a stop comes first. *watches* end with it."""

        async def end_when_stopped() -> None:
            await stop.wanted()
            working.cancel()

        async with asyncio.TaskGroup() as group:
            working = group.create_task(work)
            beside = [group.create_task(watch) for watch in (end_when_stopped(), *watches)]
            working.add_done_callback(lambda _: [task.cancel() for task in beside])
        return None if working.cancelled() else working.result()

    async def _stop_at_deadline(self, job: _Job) -> None:
        await self._clock.sleep(max(0.0, job.claim.deadline_at - self._clock.now()) + _DEADLINE_MARGIN_S)
        job.stop.request("deadline")

    def _later(self, claim: Claim, why: str) -> Settlement:
        """Nothing can be shown now: again in a while, until the deadline."""
        next_try_at = self._clock.now() + backoff_s(claim.tries, self._settings)
        if next_try_at >= claim.deadline_at:
            return Settlement("failed", why)
        return Settlement("waiting", why, next_try_at=next_try_at)

    async def _settle(self, claim: Claim, settlement: Settlement) -> None:
        """Write the end down; a database that is busy or full for seconds does not lose it."""
        for attempt in range(_SETTLE_TRIES - 1):
            try:
                await self._store.settle(claim, settlement)
            except StaleFence:
                raise
            except StorageError as error:
                log.warning("a run could not be settled yet", run_id=claim.run_id, error=str(error))
                await self._clock.sleep(0.2 * 2.0**attempt)
            else:
                return
        await self._store.settle(claim, settlement)

    async def _context(self, adapter: Adapter, incoming: Incoming, channel_messages: int = 0) -> Sequence[Quote]:
        """What stands before the question, without what was forgotten; an answer without it is better than none."""
        try:
            quotes = await adapter.context(incoming, channel_messages=channel_messages)
            return quotes if self._forgotten is None else await self._forgotten.without(incoming, quotes)
        except (SurfaceError, StorageError) as error:
            log.info("the conversation's context could not be read", error=str(error))
            return ()

    def _observe(self, record: ShownRecord) -> None:
        for observer in self._observers:
            observer.shown(record)


async def _stop_when_gone(job: _Job) -> None:
    """A model that writes for nobody is paid all the same: its stream is closed."""
    await job.live.gone.wait()
    job.stop.request("gone")


def _is_hopeless(error: NoModelLeft) -> bool:
    """Whether trying again until the deadline cannot help."""
    return not error.errors or all(isinstance(cause, _HOPELESS) for cause in error.errors)


def _unseen(claim: Claim, error: SurfaceError) -> Settlement:
    """The place, or the right to show something there, is gone: settled, and for a private answer declared so."""
    private = claim.incoming.visibility == "private"
    why = "undeliverable" if private else type(error).__name__
    log.warning("an answer cannot be shown", run_id=claim.run_id, why=why)
    facts = {"outcome": why, "sentence": wording.UNDELIVERABLE if private else wording.sentence_for(error)}
    return Settlement("failed", why, facts=facts)


def _not_shown(claim: Claim, record: ShownRecord, facts: Mapping[str, Any]) -> Settlement:
    """An answer came, but the platform did not take it."""
    if record.outcome == SurfaceGone.__name__:
        return _unseen(claim, SurfaceGone("gone while the answer was written"))
    return Settlement("failed", record.outcome, facts={**facts, "outcome": record.outcome})


def _partial(job: _Job, listener: _Listener | None, state: Any, why: str, sentence: str) -> Settlement:
    """What was said before a stop stays in the history, so that "go on" works; before the first word nothing does."""
    text = job.live.text
    facts: dict[str, Any] = {"outcome": "stopped" if why == "user" else why, "sentence": sentence, **_preface(job)}
    if not text:
        return Settlement(state, why, facts=facts)
    if listener and listener.first_text_s is not None:
        facts["first_text_s"] = round(listener.first_text_s, 3)
    heard = ((listener and listener.notices) or {}).get("heard", {}).get("text", "")
    asked = question(job.claim.incoming, job.claim.incoming.text.strip()) or heard
    turns = (Turn("user", (Text(asked),)), Turn("assistant", (Text(text),)))
    return Settlement(state, why, turns=tuple((turn, estimate_tokens(turn.text)) for turn in turns), facts=facts)


def _preface(job: _Job) -> dict[str, str]:
    """What stood above the answer, so that a page which is loaded again shows it again."""
    return {"preface": job.live.preface} if job.live.preface else {}


def _figures(reply: Reply, listener: _Listener) -> dict[str, Any]:
    """What a page shows under an answer."""
    notices = listener.notices or {}
    facts: dict[str, Any] = {
        "outcome": "ok",
        "model": reply.model,
        "provider": reply.provider,
        "cost_usd": reply.usage.cost_usd,
        "output_tokens": reply.usage.output_tokens,
        "from_cache": reply.from_cache,
        # The key is as older answers have it stored.
        **({"asks_leave": True} if reply.asks_approval else {}),
        "attempts": len(reply.attempts),
        "continued": "continued" in notices,
        "fallback": "fallback" in notices,
    }
    if listener.first_text_s is not None:
        facts["first_text_s"] = round(listener.first_text_s, 3)
    if (speed := tokens_per_s(reply)) is not None:
        facts["tokens_per_s"] = round(speed, 1)
    return facts


def tokens_per_s(reply: Reply) -> float | None:
    """How fast the answering model wrote after its first token; None where nobody can tell."""
    last = reply.attempts[-1] if reply.attempts else None
    if last is None or last.first_text_s is None or last.outcome != "ok":
        return None
    writing_s = last.duration_s - last.first_text_s
    return last.usage.output_tokens / writing_s if writing_s > 0.001 and last.usage.output_tokens > 1 else None
