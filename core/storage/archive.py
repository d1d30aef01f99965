"""Everything stored about somebody, or about one conversation: handed over, or removed so that no byte is left."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, delete, exists, select, true, update

from core.base.clock import Clock
from core.domain.errors import StorageBusy, StorageUnreadable
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.ports.storage import Archive
from core.storage.blobs import PREFIX, SqlBlobs, disown
from core.storage.cache import forget_answers
from core.storage.codec import decode_facts, decode_incoming, encode, turn_from
from core.storage.encryption import Seals
from core.storage.engine import Database
from core.storage.removal import erase_messages, remove_person
from core.storage.schema import (
    audit,
    blob_owners,
    blobs,
    conversations,
    feedback,
    is_conversation,
    is_who,
    memories,
    messages,
    people,
    preferences,
    replies,
    responses,
    schedules,
    suspensions,
    turns,
    usage,
    usage_days,
    user_of,
)
from core.storage.statements import holds
from core.storage.usage import forget_spending

T = TypeVar("T")

_WIPE_TRIES = 40
_WIPE_PAUSE_S = 0.05
"""Readers hold a snapshot for milliseconds; two seconds are plenty."""

_EXPORT_BLOB_BYTES = 8 * 1024**2
"""Files in an export, together: as much as chat platforms take in one upload. The rest is listed by name."""

_BLOB_REF = re.compile(rb"blob:([0-9a-f]{64})")


class SqlArchive:
    """Implements `Archive`. With a user and a conversation both given: that user's part of that conversation."""

    def __init__(self, database: Database, blobs: SqlBlobs, seals: Seals, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._seals = seals
        self._clock = clock

    async def export(
        self, *, user: UserKey | None = None, conversation: ConversationKey | None = None
    ) -> dict[str, Any]:
        which = _which(user, conversation)
        content = await self._database.read(lambda c: _export(c, which, user, conversation))
        room = _EXPORT_BLOB_BYTES
        for file in content.get("files", ()):
            if file["size_bytes"] <= room:
                room -= file["size_bytes"]
                file["content_base64"] = base64.b64encode(await self._blobs.get(file["ref"])).decode()
        return content

    async def forget(self, *, user: UserKey | None = None, conversation: ConversationKey | None = None) -> int:
        """Raises StorageBusy when something held on to an old snapshot of the database, so that its log could not be
        emptied: the rows are gone then, and asking again finishes the work."""
        which = _which(user, conversation)
        now = self._clock.now()
        gone, orphans = await self._database.write(lambda c: _forget(c, self._seals, which, user, conversation, now))
        self._blobs.remove_files(orphans)
        await self._wipe()
        return gone

    async def _wipe(self) -> None:
        for _ in range(_WIPE_TRIES):
            if await self._database.wipe():
                return
            await self._clock.sleep(_WIPE_PAUSE_S)
        raise StorageBusy("something keeps an old snapshot of the database open")


_archive: type[Archive] = SqlArchive


def _which(user: UserKey | None, conversation: ConversationKey | None) -> ColumnElement[bool]:
    """The messages that are meant."""
    if user is None and conversation is None:
        raise ValueError("whose? name a user, a conversation or both")
    which: ColumnElement[bool] = true()
    if user:
        which = is_who(messages, user, "asker_")
    if conversation:
        ours = select(conversations.c.id).where(is_conversation(conversation)).scalar_subquery()
        which = which & (messages.c.conversation_id == ours)
    return which


# --- handing over ----------------------------------------------------------------------------------------------------


def _export(
    c: Connection, which: ColumnElement[bool], user: UserKey | None, conversation: ConversationKey | None
) -> dict[str, Any]:
    bodies = []
    opinions = select(feedback.c.verdict, feedback.c.at)
    for row in c.execute(select(messages).where(which).order_by(messages.c.seq)):
        facts = c.execute(select(replies.c.facts).where(replies.c.reply_id == row.reply_id)).scalar()
        bodies.append(
            {
                "message": _legible(partial(_message, row), row),
                "turns": _turns(c, row.seq),
                "reply": None if facts is None else _legible(partial(decode_facts, facts), row),
                "feedback": _rows(c, opinions.where(feedback.c.reply_id == row.reply_id)),
                "questions": [
                    {
                        "state": asked.state,
                        "expires_at": asked.expires_at,
                        "about": _legible(partial(decode_facts, asked.body), row),
                    }
                    for asked in c.execute(select(suspensions).where(suspensions.c.reply_id == row.reply_id))
                ],
            }
        )
    content: dict[str, Any] = {"messages": bodies}
    if user and not conversation:
        owned = select(blobs).join(blob_owners, blob_owners.c.hash == blobs.c.hash)
        content |= {
            "preferences": _rows(
                c, select(preferences.c.model, preferences.c.persona).where(is_who(preferences, user))
            ),
            "usage": _rows(c, select(usage).where(is_who(usage, user)).order_by(usage.c.at)),
            "usage_days": _rows(c, select(usage_days).where(is_who(usage_days, user)).order_by(usage_days.c.day)),
            "feedback": _rows(c, select(feedback).where(is_who(feedback, user))),
            "people": _rows(c, select(people).where(is_who(people, user))),
            "memories": _rows(c, select(memories).where(is_who(memories, user)).order_by(memories.c.at)),
            "responses": _rows(c, select(responses).where(is_who(responses, user)).order_by(responses.c.at)),
            "schedules": _rows(c, _scheduled(user)),
            "audit": _rows(c, select(audit).where(is_who(audit, user)).order_by(audit.c.at)),
            "files": [
                {"ref": PREFIX + row.hash, "mime": row.mime, "size_bytes": row.size_bytes}
                for row in c.execute(owned.where(is_who(blob_owners, user)))
            ],
        }
    return content


def _legible(read: Callable[[], T], row: Any) -> T | dict[str, str]:
    """What *read* gives, or the name of the row that cannot be read: an export hides no gap."""
    try:
        return read()
    except StorageUnreadable as error:
        return {"unreadable": str(error), "message_id": row.message_id}


def _scheduled(user: UserKey) -> Select[Any]:
    hidden = ("body",)  # the message that asked for it stands among the messages
    shown = [column for column in schedules.c if column.name not in hidden]
    return select(*shown).where(is_who(schedules, user)).order_by(schedules.c.created_at)


def _turns(c: Connection, message_seq: int) -> list[dict[str, Any]]:
    rows = c.execute(select(turns).where(turns.c.message_seq == message_seq).order_by(turns.c.position))
    return [
        {"role": row.role, "text": row.words, "at": row.at}
        | ({} if row.parts is None else {"parts": _legible(partial(_parts, row), row)})
        for row in rows
    ]


def _message(row: Any) -> Any:
    return msgspec.to_builtins(decode_incoming(row.body))


def _parts(row: Any) -> list[Any]:
    turn = turn_from(row.role, row.words, row.parts)
    return [{"kind": type(part).__name__, **msgspec.to_builtins(part)} for part in turn.parts]


def _rows(c: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in c.execute(query).mappings()]


# --- removing --------------------------------------------------------------------------------------------------------


def _forget(
    c: Connection,
    seals: Seals,
    which: ColumnElement[bool],
    user: UserKey | None,
    conversation: ConversationKey | None,
    now: float,
) -> tuple[int, list[str]]:
    """Returns how many rows and files went, and the files that are to be removed after the commit."""
    askers = {user_of(row, "asker_") for row in c.execute(select(messages).where(which))} if not user else {user}
    refs = _blob_refs(c, which)
    touched = set(c.execute(select(messages.c.conversation_id).where(which).distinct()).scalars())
    if user and not conversation:  # begun by a message that was deleted since
        touched |= set(c.execute(select(conversations.c.id).where(is_who(conversations, user, "starter_"))).scalars())
    gone = erase_messages(c, seals, which, now)
    for person in askers:
        gone += forget_answers(c, person)
    if user and not conversation:
        gone += _forget_person(c, seals, user, now)
        owned, orphans = disown(c, user)
        gone += owned
    else:
        unused = [ref for ref in refs if not _still_used(c, ref)]
        orphans = []
        for person in askers:
            owned, left = disown(c, person, unused)
            gone += owned
            orphans += left
    _tidy_conversations(c, touched)
    return gone, orphans


def _forget_person(c: Connection, seals: Seals, user: UserKey, now: float) -> int:
    return forget_spending(c, user, seals, now) + _forget_quotes(c, user, seals, now) + remove_person(c, user)


def _forget_quotes(c: Connection, user: UserKey, seals: Seals, now: float) -> int:
    """Take the person's words out of what other people's messages quoted."""
    changed = 0
    mentions = holds(messages.c.body, b'"speaker_id":' + encode(user.user))
    for row in c.execute(select(messages).where(messages.c.platform == user.platform, mentions)).all():
        try:
            incoming = decode_incoming(row.body)
        except StorageUnreadable:
            # Their words may stand in it, and nobody can take out only those. It is of no use to anybody any more.
            changed += erase_messages(c, seals, messages.c.seq == row.seq, now)
            continue
        without = _without_quotes(incoming, user)
        if without != incoming:
            c.execute(update(messages).where(messages.c.seq == row.seq).values(body=encode(without)))
            changed += 1
    return changed


def _without_quotes(incoming: Incoming, user: UserKey) -> Incoming:
    kept = tuple(quote for quote in incoming.quotes if quote.speaker_id != user.user)
    return replace(incoming, quotes=kept)


def _blob_refs(c: Connection, which: ColumnElement[bool]) -> set[str]:
    refs: set[str] = set()
    for body in c.execute(select(messages.c.body).where(which)).scalars():
        refs.update(name.decode() for name in _BLOB_REF.findall(body))
    return refs


def _still_used(c: Connection, name: str) -> bool:
    return bool(c.execute(select(exists().where(holds(messages.c.body, name.encode())))).scalar())


def _tidy_conversations(c: Connection, ids: Iterable[int]) -> None:
    """Drop conversations without a message; one whose starter left belongs to the asker of what is now its first."""
    for conversation_id in ids:
        first = c.execute(
            select(messages).where(messages.c.conversation_id == conversation_id).order_by(messages.c.seq).limit(1)
        ).one_or_none()
        this = conversations.c.id == conversation_id
        if first is None:
            c.execute(delete(conversations).where(this))
        else:
            c.execute(
                update(conversations)
                .where(this)
                .values(
                    starter_platform=first.asker_platform,
                    starter_workspace=first.asker_workspace,
                    starter_user=first.asker_user,
                )
            )
