"""What comes in at the door: messages, corrections, deletions, presses. Each function is one unit of work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, select, update

from core.domain.errors import StorageUnreadable
from core.domain.incoming import Incoming
from core.domain.runs import Claim, Pending, ReplyCapability, RunAction, RunRules, StopReason, Taken
from core.storage.codec import decode_incoming, storable
from core.storage.encryption import Seals
from core.storage.locks import lock_conversations
from core.storage.prepared import Prepared, columns
from core.storage.removal import erase_messages
from core.storage.schema import (
    capabilities,
    conversations,
    is_open,
    messages,
    pages,
    runs,
    tombstones,
    turns,
    who,
)
from core.storage.statements import insert_or_ignore, upsert


@dataclass(frozen=True, slots=True)
class Arrival:
    """Everything about an arrival that is not the message itself."""

    now: float
    owner: str
    run_id: str
    reply_id: str
    rules: RunRules
    claim: bool = False
    """Start it in the same transaction if nothing in its conversation stands before it."""


_message = messages.c
_is_message = (
    (_message.platform == bindparam("platform"))
    & (_message.channel == bindparam("channel"))
    & (_message.message_id == bindparam("message_id"))
    & (_message.workspace == bindparam("workspace"))
)
_KNOWN = Prepared(
    select(
        exists().where(_is_message).label("known"),
        exists().where(tombstones.c.mark == bindparam("mark")).label("forgotten"),
    )
)
_CONVERSATION = Prepared(
    upsert(conversations, ("platform", "workspace", "channel", "root"), ("updated_at",))
    .values(columns("platform", "workspace", "channel", "root", "updated_at"))
    .values(columns("starter_platform", "starter_workspace", "starter_user"))
    .returning(conversations.c.id)
)
_ADD_MESSAGE = Prepared(
    insert_or_ignore(messages)
    .values(columns("conversation_id", "platform", "workspace", "channel", "message_id"))
    .values(columns("asker_platform", "asker_workspace", "asker_user"))
    .values(columns("reply_id", "accepted_at", "body"))
    .values(revision=0)
    .returning(messages.c.seq)
)
_ADD_RUN = Prepared(
    insert(runs)
    .values(columns("run_id", "message_seq", "conversation_id", "reply_id", "revision", "action", "state", "starts"))
    .values(columns("asker_platform", "asker_workspace", "asker_user"))
    .values(columns("owner", "lease_until", "fence", "asked_at", "accepted_at", "deadline_at"))
    .values(tries=0, stop_reason="", error="")
    .returning(runs.c.seq)
)
_BUSY = Prepared(
    select(
        exists().where(is_open(runs), runs.c.state != "waiting", runs.c.conversation_id == bindparam("conversation_id"))
    )
)
_BEFORE = Prepared(select(func.count()).select_from(runs).where(is_open(runs), runs.c.state == "accepted"))

_MESSAGE = select(messages).where(_is_message)
_NEWEST_RUN = (
    select(runs.c.run_id, runs.c.state)
    .where(runs.c.reply_id == bindparam("reply_id"), runs.c.message_seq == bindparam("message_seq"))
    .order_by(runs.c.seq.desc())
    .limit(1)
)
_SAVE_CAPABILITY = upsert(capabilities, ("reply_id",), ("sealed", "expires_at"))


def accept(
    c: Connection, seals: Seals, incoming: Incoming, capability: ReplyCapability | None, arrival: Arrival
) -> Taken:
    """Take a message in, once."""
    incoming, body = storable(incoming)
    at = incoming.conversation
    key = _key(incoming)
    known, forgotten = _KNOWN.row(c, {**key, "mark": seals.message_mark(**key)}) or (False, False)
    if known:
        return _duplicate(c, key)
    if forgotten:
        return Taken("duplicate")
    conversation_id = _CONVERSATION.value(
        c,
        {
            "platform": at.platform,
            "workspace": at.workspace,
            "channel": at.channel,
            "root": at.root,
            "updated_at": arrival.now,
            **who(incoming.user, "starter_"),
        },
    )
    added = _ADD_MESSAGE.row(
        c,
        {
            "conversation_id": conversation_id,
            **key,
            **who(incoming.user, "asker_"),
            "reply_id": arrival.reply_id,
            "accepted_at": arrival.now,
            "body": body,
        },
    )
    if added is None:  # another process took it in since we looked
        return _duplicate(c, key)
    (message_seq,) = added
    save_capability(c, seals, arrival.reply_id, capability)
    return _add_run(
        c,
        arrival,
        incoming,
        conversation_id=conversation_id,
        message_seq=message_seq,
        revision=0,
        action=incoming.action,
        asked_at=min(incoming.received_at, arrival.now),
        capability=capability,
    )


def revise(c: Connection, seals: Seals, incoming: Incoming, arrival: Arrival) -> Taken:
    """An edited question: its runs end, a new one answers the new text into the same reply.

    An edit that changes nothing (an unfurled link) is a duplicate.
    """
    incoming, body = storable(incoming)
    row = _locked(c, _key(incoming))
    if row is None:
        return accept(c, seals, incoming, None, arrival)
    former = _readable(row)
    if former and (former.text, former.attachments) == (incoming.text, incoming.attachments):
        return _duplicate(c, _key(incoming))
    revision = row.revision + 1
    c.execute(update(messages).where(messages.c.seq == row.seq).values(body=body, revision=revision))
    running = _end_runs(c, row.seq, "superseded", arrival.now)
    taken = _add_run(
        c,
        replace(arrival, reply_id=row.reply_id),
        incoming,
        conversation_id=row.conversation_id,
        message_seq=row.seq,
        revision=revision,
        action=incoming.action,
        asked_at=arrival.now,
    )
    return replace(taken, stop=running)


def withdraw(c: Connection, seals: Seals, key: dict[str, str], arrival: Arrival, *, may_come: bool) -> Taken:
    """A deleted question: its turns go at once, its pages by a run of their own, then the message itself.

    A message that left nothing on the platform, or cannot be read, goes at once; one that never came but may still
    leaves a tombstone.
    """
    row = _locked(c, key)
    if row is None:
        if may_come:
            c.execute(insert_or_ignore(tombstones), {"mark": seals.message_mark(**key), "at": arrival.now})
        return Taken("unknown")
    c.execute(delete(turns).where(turns.c.message_seq == row.seq))
    running = _end_runs(c, row.seq, "deleted", arrival.now)
    withdrawn = _readable(row)
    shown = running or c.execute(select(exists().where(pages.c.reply_id == row.reply_id))).scalar()
    if withdrawn is None or not shown:
        erase_messages(c, seals, messages.c.seq == row.seq, arrival.now)
        return Taken("accepted", reply_id=row.reply_id)
    taken = _add_run(
        c,
        replace(arrival, reply_id=row.reply_id),
        withdrawn,
        conversation_id=row.conversation_id,
        message_seq=row.seq,
        revision=row.revision + 1,
        action="withdraw",
        asked_at=arrival.now,
    )
    return replace(taken, stop=running)


def repeat(
    c: Connection,
    seals: Seals,
    reply_id: str,
    action: RunAction,
    capability: ReplyCapability | None,
    arrival: Arrival,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Taken:
    """Another run of the same message, with *options* laid over its own. "busy" while one is open; a waiting one is
    hurried up."""
    lock_conversations(c, messages.c.reply_id == reply_id)
    row = c.execute(select(messages).where(messages.c.reply_id == reply_id)).one_or_none()
    if row is None:
        return Taken("unknown")
    incoming = _readable(row)
    if incoming is None:
        return Taken("unknown")
    newest = c.execute(_NEWEST_RUN, {"reply_id": reply_id, "message_seq": row.seq}).one()
    if newest.state == "quarantined":
        return Taken("quarantined", newest.run_id, reply_id)
    save_capability(c, seals, reply_id, capability)
    if newest.state == "waiting":
        c.execute(update(runs).where(runs.c.run_id == newest.run_id).values(next_try_at=arrival.now))
    if newest.state in ("accepted", "running", "waiting"):
        return Taken("busy", newest.run_id, reply_id)
    if options:
        incoming, body = storable(replace(incoming, options={**incoming.options, **options}))
        c.execute(update(messages).where(messages.c.seq == row.seq).values(body=body))
    return _add_run(
        c,
        replace(arrival, reply_id=reply_id),
        incoming,
        conversation_id=row.conversation_id,
        message_seq=row.seq,
        revision=row.revision,
        action=action,
        asked_at=arrival.now,
    )


def request_stop(c: Connection, run_id: str, reason: StopReason, now: float) -> bool:
    """Ask an open run to end. Whoever holds it is told at its next look; one that nobody holds but that has shown
    something is woken, so that its pages say so; one that has shown nothing ends here. False when it was settled."""
    row = c.execute(select(runs.c.owner, runs.c.reply_id).where(is_open(runs), runs.c.run_id == run_id)).one_or_none()
    if row is None:
        return False
    change: dict[str, Any] = {"stop_reason": reason}
    if not row.owner:
        shown = c.execute(select(exists().where(pages.c.reply_id == row.reply_id))).scalar()
        change |= {"state": "accepted"} if shown else {"state": "stopped", "error": reason, "ended_at": now}
    c.execute(update(runs).where(runs.c.run_id == run_id).values(change))
    return True


def save_capability(c: Connection, seals: Seals, reply_id: str, capability: ReplyCapability | None) -> None:
    if capability:
        c.execute(
            _SAVE_CAPABILITY,
            {"reply_id": reply_id, "sealed": seals.seal(capability.secret), "expires_at": capability.expires_at},
        )


def _locked(c: Connection, key: dict[str, str]) -> Any | None:
    """A message's row, its conversation locked; None where it is not known."""
    lock_conversations(c, and_(*(messages.c[name] == value for name, value in key.items())))
    return c.execute(_MESSAGE, key).one_or_none()


def _readable(row: Any) -> Incoming | None:
    """The message in a row of `messages`; None where damage left something else there."""
    try:
        return decode_incoming(row.body)
    except StorageUnreadable:
        return None


def _key(incoming: Incoming) -> dict[str, str]:
    at = incoming.conversation
    return {
        "platform": at.platform,
        "workspace": at.workspace,
        "channel": at.channel,
        "message_id": incoming.message_id,
    }


def _duplicate(c: Connection, key: dict[str, str]) -> Taken:
    row = c.execute(_MESSAGE, key).one()
    newest = c.execute(_NEWEST_RUN, {"reply_id": row.reply_id, "message_seq": row.seq}).first()
    return Taken("duplicate", newest.run_id if newest else "", row.reply_id)


def _end_runs(c: Connection, message_seq: int, reason: StopReason, now: float) -> tuple[str, ...]:
    """Settle a message's open runs that nobody holds; ask the others to stop. Returns those others."""
    mine = is_open(runs) & (runs.c.message_seq == message_seq)
    held = c.execute(select(runs.c.run_id).where(mine, runs.c.owner != "")).scalars().all()
    c.execute(update(runs).where(mine, runs.c.owner != "").values(stop_reason=reason))
    c.execute(
        update(runs)
        .where(mine, runs.c.owner == "")
        .values(state="stopped", stop_reason=reason, error=reason, ended_at=now)
    )
    return tuple(held)


def _add_run(
    c: Connection,
    arrival: Arrival,
    incoming: Incoming,
    *,
    conversation_id: int,
    message_seq: int,
    revision: int,
    action: RunAction,
    asked_at: float,
    capability: ReplyCapability | None = None,
) -> Taken:
    """Queue a run; claim it on the spot where that is wished and nothing in its conversation stands before it."""
    late = arrival.now - asked_at > arrival.rules.backlog_age_s
    start = arrival.claim and not late and not _BUSY.value(c, {"conversation_id": conversation_id})
    place = 0 if start else _BEFORE.value(c, {}) + 1
    deadline_at = arrival.now + arrival.rules.reply_deadline_s
    seq = _ADD_RUN.value(
        c,
        {
            "run_id": arrival.run_id,
            "message_seq": message_seq,
            "conversation_id": conversation_id,
            **who(incoming.user, "asker_"),
            "reply_id": arrival.reply_id,
            "revision": revision,
            "action": action,
            "state": "running" if start else "accepted",
            "starts": int(start),
            "owner": arrival.owner if start else "",
            "lease_until": arrival.now + arrival.rules.lease_s if start else None,
            "fence": int(start),
            "asked_at": asked_at,
            "accepted_at": arrival.now,
            "deadline_at": deadline_at,
        },
    )
    claim = None
    if start:
        claim = Claim(
            run_id=arrival.run_id,
            seq=seq,
            conversation_id=conversation_id,
            message_seq=message_seq,
            reply_id=arrival.reply_id,
            incoming=wanting(incoming, action),
            duty="withdraw" if action == "withdraw" else "answer",
            fence=1,
            accepted_at=arrival.now,
            deadline_at=deadline_at,
            revision=revision,
            capability=capability,
            fresh=True,  # only `accept` claims at the door
        )
    waits = None if claim else Pending(arrival.run_id, seq, conversation_id, incoming.user)
    return Taken("accepted", arrival.run_id, arrival.reply_id, place, claim, waits)


def wanting(incoming: Incoming, action: RunAction) -> Incoming:
    """The message as a run wants it answered."""
    if action == "withdraw" or action == incoming.action:
        return incoming
    return replace(incoming, action=action, meant=incoming.action)
