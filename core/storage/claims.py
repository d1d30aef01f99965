"""Runs changing hands: who may work on what, for how long, and how it ends. Each function is one unit of work.

A lease says how long a claim holds without renewal, the fence says which claim a write belongs to: whoever lost the
run to another process learns it at the next write (StaleFence) and has changed nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.exc import NoResultFound

from core.base.text import well_formed
from core.domain.errors import StaleFence, StorageUnreadable
from core.domain.runs import Claim, Duty, Pending, RunRules, Settlement, StopReason
from core.storage.arrivals import wanting
from core.storage.codec import decode_incoming, encode, turn_columns
from core.storage.encryption import Seals
from core.storage.locks import lock_conversations_of
from core.storage.lookups import capability
from core.storage.prepared import Prepared, columns
from core.storage.removal import erase_messages
from core.storage.schema import is_open, messages, pages, replies, runs, turns, user_of, who
from core.storage.statements import upsert

log: Any = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who claims, and when."""

    name: str
    now: float
    rules: RunRules


_run = runs.c
_is_mine = _run.owner == bindparam("me")
_lease_is_over = or_(
    _run.lease_until < bindparam("now"),
    # No living process leases for so long: it was written before the clock was set back.
    _run.lease_until > bindparam("impossible"),
)
_is_claimable = or_(
    and_(_run.state == "accepted", or_(_run.owner == "", _is_mine, _lease_is_over)),
    and_(
        _run.state == "waiting",
        or_(_run.next_try_at <= bindparam("now"), _run.next_try_at > bindparam("too_late")),  # likewise
    ),
    and_(_run.state == "running", _lease_is_over),
)
_other = runs.alias("other")
_stands_behind = exists().where(
    is_open(_other),
    _other.c.conversation_id == _run.conversation_id,
    _other.c.run_id != _run.run_id,
    # A waiting run lets later ones pass; any other holds its conversation, or stands before this one.
    or_(_other.c.state == "running", and_(_other.c.state == "accepted", _other.c.seq < _run.seq)),
)
_same_pages = exists().where(
    # A former run into the same reply still writes: whoever looked at its pages now would miss what it posts next.
    is_open(_other),
    _other.c.reply_id == _run.reply_id,
    _other.c.run_id != _run.run_id,
    _other.c.state == "running",
)
_is_early = exists().where(
    # An answer ahead of it in its conversation stands nowhere yet: a sign of this one would stand above it for good.
    is_open(_other),
    _other.c.conversation_id == _run.conversation_id,
    _other.c.seq < _run.seq,
    _other.c.state != "waiting",
    ~exists().where(pages.c.reply_id == _other.c.reply_id, pages.c.ref.is_not(None)),
)
_PENDING = select(runs).where(is_open(runs), _is_claimable).order_by(_run.seq).limit(bindparam("limit"))
_CLAIM = (
    update(runs)
    .where(_run.run_id == bindparam("id"), _is_claimable, ~_stands_behind)
    .values(
        # A waiting run keeps the deadline of its first start; one that lay here while we were away gets a new one.
        deadline_at=case((_run.tries > 0, _run.deadline_at), else_=bindparam("deadline")),
        state="running",
        owner=bindparam("me"),
        lease_until=bindparam("until"),
        # What we hold already we only go on with: whoever writes for it keeps the right to.
        fence=_run.fence + case((and_(_run.state == "accepted", _is_mine), 0), else_=1),
        starts=_run.starts + 1,
        next_try_at=null(),
    )
    .returning(runs)
)
_HOLD = (
    update(runs)
    .where(
        _run.run_id == bindparam("id"),
        _run.state == "accepted",
        or_(_run.owner == "", _lease_is_over),
        ~_same_pages,
        ~_is_early,
    )
    .values(owner=bindparam("me"), lease_until=bindparam("until"), fence=_run.fence + 1)
    .returning(runs)
)
_MESSAGE = select(messages).where(messages.c.seq == bindparam("message_seq"))
_is_held = and_(
    _run.run_id == bindparam("id"),
    _run.fence == bindparam("held_fence"),
    _is_mine,
    _run.state.in_([literal_column("'accepted'"), literal_column("'running'")]),
)
still_held = exists().where(_is_held)
"""That a run is still ours; its parameters are made by `held`."""
_HELD = Prepared(select(still_held))
_END = Prepared(
    update(runs)
    .where(_is_held)
    .values(
        state=bindparam("end_state"),
        error=bindparam("end_error"),
        ended_at=bindparam("end_at"),
        next_try_at=bindparam("again_at"),
        tries=_run.tries + bindparam("tried"),
        # A run that was only held, not started, has no start to take back.
        starts=_run.starts - bindparam("orderly") * case((_run.state == "running", 1), else_=0),
        owner="",
        lease_until=null(),
    )
)
_RETRY_NOW = Prepared(
    update(runs)
    .where(_run.state == "waiting", _run.error == "NoModelLeft", _run.next_try_at > bindparam("now"))
    .values(next_try_at=bindparam("now"))
)
_FORMER_TURNS = Prepared(delete(turns).where(turns.c.message_seq == bindparam("message")))
_ADD_TURN = Prepared(
    insert(turns)
    .values(columns("conversation_id", "message_seq", "position", "message_id", "role", "words", "parts"))
    .values(columns("platform", "workspace", "user", "speaker", "at", "tokens"))
)
_SAVE_FACTS = Prepared(
    upsert(replies, ("reply_id",), ("run_id", "at", "facts")).values(
        columns("reply_id", "message_seq", "run_id", "at", "facts")
    )
)


def pending(c: Connection, owner: Owner, limit: int) -> list[Pending]:
    """Runs that could be worked on now, oldest first: queued, due again, or left behind by a dead process."""
    rows = c.execute(_PENDING, {**_when(owner), "me": owner.name, "limit": limit})
    return [Pending(row.run_id, row.seq, row.conversation_id, user_of(row, "asker_"), row.starts) for row in rows]


def claim(c: Connection, seals: Seals, run_ids: Sequence[str], owner: Owner) -> list[Claim]:
    """Take those of *run_ids* that nobody else took and that are first in their conversation. The start is counted
    and on disk before any work begins."""
    lock_conversations_of(c, run_ids)
    deadline = {"deadline": owner.now + owner.rules.reply_deadline_s}
    rows = [c.execute(_CLAIM, _taking(run_id, owner) | deadline).one_or_none() for run_id in run_ids]
    return [claimed for row in rows if row is not None and (claimed := _readable(c, seals, row, owner))]


def hold(c: Connection, seals: Seals, run_ids: Sequence[str], owner: Owner) -> list[Claim]:
    """Take the right to show something for queued runs (their place) before they start. `claim` goes on from there."""
    lock_conversations_of(c, run_ids)
    rows = [c.execute(_HOLD, _taking(run_id, owner)).one_or_none() for run_id in run_ids]
    return [claimed for row in rows if row is not None and (claimed := _readable(c, seals, row, owner))]


def _taking(run_id: str, owner: Owner) -> dict[str, Any]:
    return {**_when(owner), "id": run_id, "me": owner.name, "until": owner.now + owner.rules.lease_s}


def _when(owner: Owner) -> dict[str, float]:
    """The moments that `_is_claimable` compares with."""
    rules = owner.rules
    return {
        "now": owner.now,
        "impossible": owner.now + 2 * rules.lease_s,
        "too_late": owner.now + 2 * rules.reply_deadline_s,
    }


def _readable(c: Connection, seals: Seals, row: Any, owner: Owner) -> Claim | None:
    """The claim, or None where its message cannot be read or is gone: one such row must not keep all others waiting."""
    try:
        return _claim_of(c, seals, row, owner)
    except (StorageUnreadable, NoResultFound) as error:
        log.error("a stored message cannot be read; it is left alone", run_id=row.run_id, error=type(error).__name__)
        ended = {"state": "quarantined", "error": "unreadable", "ended_at": owner.now, "owner": "", "lease_until": None}
        c.execute(update(runs).where(_run.run_id == row.run_id).values(**ended))
        return None


def _claim_of(c: Connection, seals: Seals, row: Any, owner: Owner) -> Claim:
    message = c.execute(_MESSAGE, {"message_seq": row.message_seq}).one()
    claimed = Claim(
        run_id=row.run_id,
        seq=row.seq,
        conversation_id=row.conversation_id,
        message_seq=row.message_seq,
        reply_id=row.reply_id,
        incoming=wanting(decode_incoming(message.body), row.action),
        duty=duty_of(row, owner),
        fence=row.fence,
        accepted_at=row.accepted_at,
        deadline_at=row.deadline_at,
        starts=row.starts,
        tries=row.tries,
        revision=row.revision,
        capability=capability(c, seals, row.reply_id),
    )
    if claimed.duty != "apologise" or row.state != "running":
        return claimed
    others = c.execute(
        update(runs)
        .where(
            is_open(runs),
            _run.conversation_id == row.conversation_id,
            _run.state == "accepted",
            _run.starts == 0,
            _run.asked_at < owner.now - owner.rules.backlog_age_s,
        )
        .values(state="failed", error="backlog", ended_at=owner.now)
    ).rowcount
    return replace(claimed, missed=1 + others)


def duty_of(row: Any, owner: Owner) -> Duty:
    """What a run (a row of `runs`, as claimed) calls for."""
    rules = owner.rules
    if row.starts > rules.max_starts + rules.max_sentences:
        return "bury"
    if row.action == "withdraw":
        return "withdraw"
    if row.starts > rules.max_starts:
        return "give_up"
    if row.stop_reason:
        return "drop" if row.stop_reason in ("superseded", "deleted") else "stop"
    if row.starts <= 1 and row.tries == 0 and owner.now - row.asked_at > rules.backlog_age_s:
        return "apologise"
    return "answer"


def renew(c: Connection, run_ids: Sequence[str], owner: Owner) -> dict[str, tuple[int, StopReason | None]]:
    """Prolong our leases. Returns run id -> (fence, requested stop) of those that are still ours."""
    rows = c.execute(
        update(runs)
        .where(_run.run_id.in_(run_ids), _run.owner == owner.name, is_open(runs))
        .values(lease_until=owner.now + owner.rules.lease_s)
        .returning(_run.run_id, _run.fence, _run.stop_reason)
    )
    return {row.run_id: (row.fence, row.stop_reason or None) for row in rows}


def check_held(c: Connection, claimed: Claim, owner: str) -> None:
    """Raises StaleFence when the run is no longer ours."""
    if not _HELD.value(c, held(claimed, owner)):
        raise _stale(claimed)


def retry_now(c: Connection, now: float) -> int:
    """Make every run that waits for a model due; returns how many."""
    return _RETRY_NOW.count(c, {"now": now})


def settle(c: Connection, seals: Seals, claimed: Claim, settlement: Settlement, owner: str, now: float) -> None:
    """End or pause a run: its state, its turns and its figures at once. Raises StaleFence."""
    waiting = settlement.state == "waiting"
    ended = _END.count(
        c,
        {
            **held(claimed, owner),
            "end_state": settlement.state,
            "end_error": settlement.error,
            "end_at": None if waiting else now,
            "again_at": settlement.next_try_at,
            "tried": int(waiting),
            "orderly": claimed.starts if waiting else 0,
        },
    )
    if not ended:
        raise _stale(claimed)
    if settlement.erase:
        erase_messages(c, seals, messages.c.seq == claimed.message_seq, now)
        return
    if settlement.turns is not None:
        _replace_turns(c, claimed, settlement, now)
    if settlement.facts:
        _SAVE_FACTS.count(
            c,
            {
                "reply_id": claimed.reply_id,
                "message_seq": claimed.message_seq,
                "run_id": claimed.run_id,
                "at": now,
                "facts": encode(settlement.facts),
            },
        )


def release(c: Connection, claimed: Claim, owner: str) -> None:
    """Give an unfinished run back for whoever starts next; this start does not count. Raises StaleFence."""
    given = _END.count(
        c,
        {
            **held(claimed, owner),
            "end_state": "accepted",
            "end_error": "",
            "end_at": None,
            "again_at": None,
            "tried": 0,
            "orderly": 1,
        },
    )
    if not given:
        raise _stale(claimed)


def _replace_turns(c: Connection, claimed: Claim, settlement: Settlement, now: float) -> None:
    incoming = claimed.incoming
    if not claimed.fresh:
        _FORMER_TURNS.count(c, {"message": claimed.message_seq})
    nobody = dict.fromkeys(("platform", "workspace", "user"))
    for position, (turn, tokens) in enumerate(settlement.turns or ()):
        asked = turn.role == "user"
        _ADD_TURN.count(
            c,
            {
                "conversation_id": claimed.conversation_id,
                "message_seq": claimed.message_seq,
                "position": position,
                "message_id": incoming.message_id,
                **turn_columns(turn),
                **(who(incoming.user) if asked else nobody),
                "speaker": well_formed(incoming.speaker) if asked else "",
                "at": incoming.received_at if asked else now,
                "tokens": tokens,
            },
        )


def held(claimed: Claim, owner: str) -> dict[str, Any]:
    """The parameters of `still_held`."""
    return {"id": claimed.run_id, "held_fence": claimed.fence, "me": owner}


def _stale(claimed: Claim) -> StaleFence:
    return StaleFence(f"run {claimed.run_id} belongs to another process or is gone")
