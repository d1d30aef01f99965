"""Schedules as people ask for them: said in words, shown as a sentence with its next times, kept once confirmed.

A model reads the words into a strict schema; the time is checked and shown absolutely before anything is kept, because
no parser of dates and no model is to be trusted alone (facts/ops-2.md 7). What is confirmed is the stored row itself.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from core.base.clock import Clock
from core.chat.service import Answered, Context
from core.domain.errors import BadRequest
from core.domain.events import Send, Started, TextDelta
from core.domain.incoming import Incoming
from core.domain.requests import ExtractRequest, Reply, Text, Turn, Usage
from core.domain.schedules import Rule, Schedule
from core.ports.storage import ScheduleStore, Suspended, SuspensionStore
from core.schedules.recurrence import checked, next_time, next_times, zone_of

NAME: Final = "schedule"
"""What a suspended run waits for, when it waits for a schedule's approval."""
MAX_EACH: Final = 20
"""Schedules of one person that are not over."""
MAX_WORDS: Final = 2_000

Understand = Callable[[ExtractRequest], Awaitable[Mapping[str, Any]]]
"""Words to an object of the request's schema; raises as `Extraction.extract`."""

_ASKED = re.compile(
    r"(?:please )?(?:remind (?:me|us)\b|schedule[: ]|every (?=[^\n]{2,60}?(?:\d|morning|noon|evening))|"
    r"erinnere (?:mich|uns)\b|rappelle[- ](?:moi|nous)\b|recu[eé]rda(?:me|nos)\b|lembre[- ](?:me|nos)\b)",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"(?:(?P<verb>pause|resume|run|delete) schedule (?P<number>\d{1,4})(?: now)?|(?:my )?schedules)[.!]?", re.IGNORECASE
)

_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "kind": {
            "type": "string",
            "enum": ["reminder", "question", "none"],
            "description": "reminder: say something at that time. question: do or answer something then. none: neither",
        },
        "words": {"type": "string", "description": "what to remind of, or the question, without the time"},
        "at": {"type": "string", "description": "once: local time as YYYY-MM-DDTHH:MM, else empty"},
        "cron": {"type": "string", "description": "again and again: five cron fields, local time, else empty"},
        "zone": {"type": "string", "description": "IANA time zone if one was named, else empty"},
    },
    "required": ["kind", "words", "at", "cron", "zone"],
    "additionalProperties": False,
}


def asks_for(text: str) -> bool:
    """Whether *text* asks for a schedule, or gives an order about those there are."""
    text = text.strip()
    return len(text) <= MAX_WORDS and (_ASKED.match(text) is not None or _ORDER.fullmatch(text) is not None)


class Scheduling:
    """Implements `Chat` for the action "schedule", and carries out what was confirmed."""

    def __init__(
        self,
        understand: Understand,
        store: ScheduleStore,
        suspensions: SuspensionStore,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        approval_s: float = 1_800.0,
    ) -> None:
        self._understand = understand
        self._store = store
        self._suspensions = suspensions
        self._clock = clock
        self._new_id = new_id
        self._approval_s = approval_s

    async def answer(
        self,
        run_id: str,
        incoming: Incoming,
        *,
        context: Context,
        send: Send,
        deadline_at: float,
        editable: bool = True,
        allow_local: bool = True,
    ) -> Answered:
        """Raises BadRequest for a time that cannot be kept, NoModelLeft and StorageError."""
        if incoming.action == "confirm":
            reply = Reply(await self._confirmed(incoming), "", "", Usage())
        elif order := _ORDER.fullmatch(incoming.text.strip()):
            reply = Reply(await self._ordered(incoming, order["verb"], int(order["number"] or 0)), "", "", Usage())
        else:
            reply = await self._propose(run_id, incoming, deadline_at)
        await send(Started("", ""))
        await send(TextDelta(reply.text))
        turns = (Turn("user", (Text(incoming.text),)), Turn("assistant", (Text(reply.text),)))
        return Answered(reply, tuple((turn, len(turn.text) // 4) for turn in turns))

    async def _propose(self, run_id: str, incoming: Incoming, deadline_at: float) -> Reply:
        now = self._clock.now()
        mine = await self._store.of_person(incoming.user)
        if len(mine) >= MAX_EACH:
            return Reply(f"You have {MAX_EACH} schedules already: `schedules` lists them.", "", "", Usage())
        zone = incoming.tz or "UTC"
        said = await self._understand(
            ExtractRequest(
                f"{run_id}.when",
                incoming.user,
                (Turn("user", (Text(_task(incoming.text.strip(), zone, now)),)),),
                _SCHEMA,
                requested_model="speed",
                deadline_at=deadline_at,
            )
        )
        if said["kind"] == "none" or not said["words"].strip():
            raise BadRequest('I could not tell what to do when: try "remind me on Tuesday at 9 to call Ann"')
        named = str(said["zone"])
        rule = checked(_rule(said, named or zone), now)
        schedule = Schedule(
            self._new_id(),
            replace(incoming, attachments=(), quotes=()),
            "reminder" if said["kind"] == "reminder" else "question",
            said["words"].strip()[:MAX_WORDS],
            rule,
            "proposed",
            next_time(rule, now),
            now,
        )
        await self._store.put(schedule)
        await self._suspensions.suspend(
            Suspended(run_id, incoming.user, (NAME,), (), (), "", 0, now + self._approval_s)
        )
        unsure = "" if named or incoming.tz else " I do not know your time zone; name one if this is not yours."
        text = f"{sentence(schedule)}\nNext: {when(rule, now)}.{unsure}\nShall I? Confirm or decline below."
        return Reply(text, "", "", Usage(), asks_approval=True)

    async def _confirmed(self, incoming: Incoming) -> str:
        found = await self._store.proposed(incoming)
        now = self._clock.now()
        if found is None:
            return "That schedule is gone; ask for it again."
        following = next_time(found.rule, now)
        if following is None:
            await self._store.put(replace(found, state="ended", next_at=None))
            return "Its time has passed meanwhile, so nothing was kept."
        await self._store.put(replace(found, state="active", next_at=following))
        return f"Done. {sentence(found)} Next: {when(found.rule, now)}. `schedules` lists what there is."

    async def _ordered(self, incoming: Incoming, verb: str | None, number: int) -> str:
        mine = await self._store.of_person(incoming.user)
        now = self._clock.now()
        if verb is None:
            return _listing(mine, now)
        if not 1 <= number <= len(mine):
            return f"There is no schedule {number}; `schedules` lists them."
        chosen = mine[number - 1]
        match verb.lower():
            case "pause":
                await self._store.put(replace(chosen, state="paused", next_at=None))
                return f"Paused. `resume schedule {number}` goes on."
            case "resume":
                following = next_time(chosen.rule, now)
                if following is None:
                    return "Its time has passed; delete it, or ask for another."
                await self._store.put(replace(chosen, state="active", next_at=following))
                return f"It goes on. Next: {when(chosen.rule, now)}."
            case "run":
                await self._store.put(replace(chosen, state="active", next_at=now))
                return "It runs now."
            case _:
                await self._store.remove(chosen.id)
                return "Deleted."


def _task(text: str, zone: str, now: float) -> str:
    local = datetime.fromtimestamp(now, zone_of(zone))
    return f"Now it is {local:%A, %Y-%m-%d %H:%M} in {zone}. When should what be done?\n\n{text}"


def _rule(said: Mapping[str, Any], zone: str) -> Rule:
    at, cron = str(said["at"]).strip(), str(said["cron"]).strip()
    if bool(at) == bool(cron):
        raise BadRequest('I could not tell when: name a time, as in "tomorrow at 9" or "every weekday at 8:30"')
    return Rule(zone, at=at, cron=cron)


def sentence(schedule: Schedule) -> str:
    """What will happen, in one line; the person's own words stand in quotation marks."""
    often = "once" if schedule.rule.at else "again and again"
    words = " ".join(schedule.words.split())
    what = f"remind you: “{words}”" if schedule.kind == "reminder" else f"answer here: “{words}”"
    return f"I will {what} ({often})."


def when(rule: Rule, now: float) -> str:
    """The next three times, absolutely, with their zone."""
    zone = zone_of(rule.zone)
    times = [f"{datetime.fromtimestamp(at, zone):%a %d %b %Y, %H:%M}" for at in next_times(rule, now)]
    return f"{'; '.join(times) or 'never'} ({rule.zone})"


def _listing(mine: Sequence[Schedule], now: float) -> str:
    if not mine:
        return 'Nothing is scheduled. "Remind me on Tuesday at 9 to ..." and "every weekday at 8:30 ..." begin one.'
    lines = [
        f"{number}. {' '.join(schedule.words.split())[:100]} — {_standing(schedule, now)}"
        for number, schedule in enumerate(mine, start=1)
    ]
    orders = "`pause schedule 1`, `resume schedule 1`, `run schedule 1 now`, `delete schedule 1`"
    return "\n".join((*lines, "", orders))


def _standing(schedule: Schedule, now: float) -> str:
    last = f", last {datetime.fromtimestamp(schedule.last_at, UTC):%Y-%m-%d %H:%M} UTC" if schedule.last_at else ""
    return ("paused" if schedule.state == "paused" else f"next {when(schedule.rule, now)}") + last
