"""Questions about what is stored; each function reads one snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, exists, func, select

from core.domain.errors import StorageError
from core.domain.incoming import ConversationKey, UserKey
from core.domain.runs import KnownReply, ReplyCapability, StopReason
from core.ports.storage import PostedPage
from core.storage.codec import decode_incoming
from core.storage.encryption import Seals
from core.storage.prepared import Prepared
from core.storage.schema import (
    capabilities,
    conversation_of,
    conversations,
    is_conversation,
    is_open,
    is_who,
    messages,
    pages,
    runs,
    tombstones,
    user_of,
)

_CAPABILITY = Prepared(
    select(capabilities.c.sealed, capabilities.c.expires_at).where(capabilities.c.reply_id == bindparam("reply"))
)


def stops(c: Connection, run_ids: Sequence[str]) -> dict[str, StopReason]:
    """Run id -> reason, of those that were asked to stop."""
    asked = select(runs.c.run_id, runs.c.stop_reason).where(runs.c.run_id.in_(run_ids), runs.c.stop_reason != "")
    rows = c.execute(asked)
    return {row.run_id: row.stop_reason for row in rows}


def open_count(c: Connection) -> int:
    """How many runs nobody has started yet."""
    return c.execute(
        select(func.count()).select_from(runs).where(is_open(runs), runs.c.state == "accepted")
    ).scalar_one()


def open_runs(
    c: Connection,
    *,
    user: UserKey | None = None,
    conversation: ConversationKey | None = None,
    channel: str = "",
) -> list[tuple[str, UserKey]]:
    """Unsettled runs with their askers: of one person, in one conversation, in a channel of that person's platform."""
    query = select(runs.c.run_id, runs.c.asker_platform, runs.c.asker_workspace, runs.c.asker_user).where(is_open(runs))
    if user:
        query = query.where(is_who(runs, user, "asker_"))
    if conversation:
        ours = select(conversations.c.id).where(is_conversation(conversation)).scalar_subquery()
        query = query.where(runs.c.conversation_id == ours)
    if user and channel:
        at = conversations.c
        there = select(at.id).where(at.platform == user.platform, at.channel == channel)
        query = query.where(runs.c.conversation_id.in_(there))
    return [(row.run_id, user_of(row, "asker_")) for row in c.execute(query.order_by(runs.c.seq))]


def reply(c: Connection, reply_id: str) -> KnownReply | None:
    row = c.execute(
        select(messages, conversations.c.root, runs.c.run_id, runs.c.state)
        .join(conversations, conversations.c.id == messages.c.conversation_id)
        .join(runs, runs.c.message_seq == messages.c.seq)
        .where(messages.c.reply_id == reply_id)
        .order_by(runs.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return KnownReply(user_of(row, "asker_"), conversation_of(row), row.run_id, row.state, _is_private(row.body))


def _is_private(body: bytes) -> bool:
    """Also where nobody can tell any more."""
    try:
        incoming = decode_incoming(body)
    except StorageError:
        return True
    return incoming.direct or incoming.visibility == "private"


def capability(c: Connection, seals: Seals, reply_id: str) -> ReplyCapability | None:
    """The newest right to answer, expired or not; None when there never was one."""
    row = _CAPABILITY.row(c, {"reply": reply_id})
    if row is None:
        return None
    sealed, expires_at = row
    secret = seals.open(sealed)
    return ReplyCapability(secret or "", expires_at if secret else 0.0)


def posted_pages(c: Connection, reply_id: str) -> list[PostedPage]:
    rows = c.execute(select(pages).where(pages.c.reply_id == reply_id).order_by(pages.c.page))
    return [PostedPage(row.page, row.nonce, row.ref) for row in rows]


def where_is(c: Connection, platform: str, channel: str, ref: str) -> ConversationKey | None:
    """The conversation of a question to us, or of a page of ours."""
    question = (
        select(messages.c.conversation_id)
        .where(messages.c.platform == platform, messages.c.channel == channel, messages.c.message_id == ref)
        .limit(1)
    )
    page = (
        select(messages.c.conversation_id)
        .join(pages, pages.c.reply_id == messages.c.reply_id)
        .where(pages.c.platform == platform, pages.c.channel == channel, pages.c.ref == ref)
        .limit(1)
    )
    for query in (question, page):
        row = c.execute(select(conversations).where(conversations.c.id == query.scalar_subquery())).one_or_none()
        if row is not None:
            return conversation_of(row)
    return None


def pages_of(c: Connection, platform: str, channel: str, message_id: str) -> list[str]:
    """Ids of the pages that answer a message, in order."""
    rows = c.execute(
        select(pages.c.ref)
        .join(messages, messages.c.reply_id == pages.c.reply_id)
        .where(messages.c.platform == platform, messages.c.channel == channel, messages.c.message_id == message_id)
        .order_by(pages.c.page)
    )
    return [row.ref for row in rows if row.ref is not None]


def starter(c: Connection, key: ConversationKey) -> UserKey | None:
    row = c.execute(select(conversations).where(is_conversation(key))).one_or_none()
    return None if row is None else user_of(row, "starter_")


def active(c: Connection, platform: str, since: float) -> list[tuple[ConversationKey, str]]:
    newest = (
        select(messages.c.message_id)
        .where(messages.c.conversation_id == conversations.c.id)
        .order_by(messages.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = c.execute(
        select(conversations, newest.label("message_id"))
        .where(conversations.c.platform == platform, conversations.c.updated_at >= since)
        .order_by(conversations.c.updated_at)
    )
    return [(conversation_of(row), row.message_id) for row in rows if row.message_id is not None]


def seen(c: Connection, seals: Seals, key: dict[str, str]) -> bool:
    known = exists().where(
        messages.c.platform == key["platform"],
        messages.c.channel == key["channel"],
        messages.c.message_id == key["message_id"],
        messages.c.workspace == key["workspace"],
    )
    forgotten = exists().where(tombstones.c.mark == seals.message_mark(**key))
    return bool(c.execute(select(known | forgotten)).scalar())
