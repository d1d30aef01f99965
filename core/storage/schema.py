"""The tables, once. What only SQLite understands is in sqlite/dialect.py; how the tables came to be is in migrations/.

Dates are seconds since the epoch (`_at`), UTC days are ISO dates. A person is always the three columns platform,
workspace, user of `UserKey`; where a conversation's columns stand beside them they carry a prefix.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
    literal_column,
    text,
)

from core.domain.incoming import ConversationKey, UserKey

HEAD = "0008"
"""The newest migration; a database that names a later one was written by a newer Tern."""

_OPEN = "state IN ('accepted', 'running', 'waiting')"

metadata = MetaData()

Number = BigInteger().with_variant(Integer, "sqlite")
"""A whole number; SQLite numbers rows by itself only where the column says INTEGER, which holds as much there."""


def _person(prefix: str = "", *, nullable: bool = False, primary_key: bool = False) -> list[Column[Any]]:
    return [
        Column(f"{prefix}{name}", Text, nullable=nullable, primary_key=primary_key)
        for name in ("platform", "workspace", "user")
    ]


conversations = Table(
    "conversations",
    metadata,
    Column("id", Number, primary_key=True),
    Column("platform", Text, nullable=False),
    Column("workspace", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("root", Text, nullable=False),
    *_person("starter_"),
    Column("updated_at", Float, nullable=False),
    UniqueConstraint("platform", "workspace", "channel", "root", name="conversations_key"),
    Index("conversations_starter", "starter_platform", "starter_user"),
)

messages = Table(
    "messages",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("conversation_id", Number, nullable=False),
    Column("platform", Text, nullable=False),
    Column("workspace", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    *_person("asker_"),
    Column("reply_id", Text, nullable=False, unique=True),
    Column("revision", Number, nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("platform", "channel", "message_id", "workspace", name="messages_key"),
    Index("messages_conversation", "conversation_id", "seq"),
    Index("messages_asker", "asker_platform", "asker_user"),
    sqlite_autoincrement=True,  # a number is never used twice, so that order survives forget
)

runs = Table(
    "runs",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("run_id", Text, nullable=False, unique=True),
    Column("message_seq", Number, nullable=False),
    Column("conversation_id", Number, nullable=False),
    *_person("asker_"),
    Column("reply_id", Text, nullable=False),
    Column("revision", Number, nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("starts", Number, nullable=False),
    Column("tries", Number, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", Float),
    Column("fence", Number, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("next_try_at", Float),
    Column("deadline_at", Float),
    Column("ended_at", Float),
    Column("stop_reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    # Settled runs are by far the most and never looked for by state, so they stay out of this index; a query uses it
    # when it says `is_open` in the index's own words.
    Index("runs_open", "conversation_id", "seq", "state", sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
    Index("runs_message", "message_seq"),
    sqlite_autoincrement=True,
)

replies = Table(
    "replies",
    metadata,
    Column("reply_id", Text, primary_key=True),
    Column("message_seq", Number, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Index("replies_message", "message_seq"),
)

pages = Table(
    "pages",
    metadata,
    Column("reply_id", Text, primary_key=True),
    Column("page", Number, primary_key=True, autoincrement=False),
    Column("platform", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("ref", Text),
    Index("pages_ref", "platform", "channel", "ref"),
)

turns = Table(
    "turns",
    metadata,
    Column("id", Number, primary_key=True),
    Column("conversation_id", Number, nullable=False),
    Column("message_seq", Number, nullable=False),
    Column("position", Number, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    *_person(nullable=True),
    Column("speaker", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("tokens", Number, nullable=False),
    Column("words", Text, nullable=False),
    Column("parts", LargeBinary),
    # NULL where the turn is its words and nothing else, which most are.
    Index("turns_recent", "conversation_id", "message_seq", "position"),
    Index("turns_message", "message_seq"),
)

capabilities = Table(
    "capabilities",
    metadata,
    Column("reply_id", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Float, nullable=False),
)

feedback = Table(
    "feedback",
    metadata,
    Column("reply_id", Text, primary_key=True),
    *_person(primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("at", Float, nullable=False),
)

preferences = Table(
    "preferences",
    metadata,
    *_person(primary_key=True),
    Column("model", Text, nullable=False),
    Column("persona", Text, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("request_id", Text, primary_key=True),
    *_person(),
    Column("place", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("prompt_tokens", Number, nullable=False),
    Column("cached_tokens", Number, nullable=False),
    Column("output_tokens", Number, nullable=False),
    Column("reasoning_tokens", Number, nullable=False),
    Column("audio_s", Float, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("estimated", Number, nullable=False),
    Index("usage_at", "at"),
    Index("usage_user", "platform", "user", "at"),
)

usage_days = Table(
    "usage_days",
    metadata,
    Column("day", Text, primary_key=True),
    *_person(primary_key=True),
    Column("model", Text, primary_key=True),
    Column("requests", Number, nullable=False),
    Column("tokens", Number, nullable=False),
    Column("cost_usd", Float, nullable=False),
)

cache = Table(
    "cache",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("cache_expires", "expires_at"),
)

cache_contributors = Table(
    "cache_contributors",
    metadata,
    Column("key", Text, primary_key=True),
    *_person(primary_key=True),
    Index("cache_contributors_user", "platform", "user"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("mime", Text, nullable=False),
    Column("size_bytes", Number, nullable=False),
    Column("used_at", Float, nullable=False),
    Index("blobs_used", "used_at"),
)

blob_owners = Table(
    "blob_owners",
    metadata,
    Column("hash", Text, primary_key=True),
    *_person(primary_key=True),
    Index("blob_owners_user", "platform", "user"),
)

suspensions = Table(
    "suspensions",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("reply_id", Text, nullable=False),
    *_person(),
    Column("state", Text, nullable=False),
    # open, then confirm, decline or expired; void when another question took its place.
    Column("expires_at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("suspensions_reply", "reply_id"),
    Index("suspensions_state", "state", "expires_at"),
)

memories = Table(
    "memories",
    metadata,
    Column("id", Text, primary_key=True),
    *_person(),
    Column("whose", Text, nullable=False),
    # "person" or "channel"
    Column("reach", Text, nullable=False),
    Column("at_workspace", Text, nullable=False),
    Column("at_channel", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("used_at", Float),
    Index("memories_user", "platform", "user"),
    Index("memories_channel", "platform", "at_channel"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),
    *_person(),
    Column("at_workspace", Text, nullable=False),
    Column("at_channel", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("next_at", Float),
    Column("created_at", Float, nullable=False),
    Column("last_at", Float),
    Column("body", LargeBinary, nullable=False),
    Index("schedules_due", "state", "next_at"),
    Index("schedules_user", "platform", "user"),
)

notes = Table(
    "notes",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("mark", LargeBinary, primary_key=True),
    Column("at", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Number, primary_key=True),
    Column("at", Float, nullable=False),
    *_person(),
    Column("run_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_user", "platform", "user"),
)

installations = Table(
    "installations",
    metadata,
    Column("enterprise", Text, primary_key=True),
    Column("team", Text, primary_key=True),
    # "" where it is for a whole organisation. Tokens are sealed.
    Column("token", LargeBinary, nullable=False),
    Column("refresh_token", LargeBinary),
    Column("expires_at", Float),
    Column("renewing_until", Float),
    Column("app", Text, nullable=False),
    Column("bot_user", Text, nullable=False),
    Column("bot", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("installed_by", Text, nullable=False),
    Column("installed_at", Float, nullable=False),
    Column("name", Text, nullable=False),
)

oauth_states = Table(
    "oauth_states",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("expires_at", Float, nullable=False),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("workspace", Text, primary_key=True),
    Column("settings", Text, nullable=False),
)

people = Table(
    "people",
    metadata,
    *_person(primary_key=True),
    Column("at", Float, nullable=False),
    Column("what", Text, nullable=False),
)

responses = Table(
    "responses",
    metadata,
    Column("id", Text, primary_key=True),
    *_person(),
    Column("at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("responses_user", "platform", "user"),
    Index("responses_at", "at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("requests_per_minute", Number),
    Column("tokens_per_minute", Number),
    Column("tokens_per_day", Number),
    Column("cost_per_day_usd", Float),
)

OF_MESSAGE = (runs, turns, replies)
OF_REPLY = (pages, capabilities, suspensions, feedback)
"""What hangs on a message, and on its reply: it goes when the message goes."""

OF_PERSON = (preferences, feedback, suspensions, audit, memories, people, responses, schedules)
"""What is about a person beside their messages and is simply removed with them. Spending, cached answers and files have
ways of their own (`forget_spending`, `forget_answers`, `disown`)."""


def is_open(table: FromClause) -> ColumnElement[bool]:
    """Not settled yet. In literals: SQLite uses a partial index only where the condition visibly implies it."""
    return table.c.state.in_([literal_column(f"'{state}'") for state in ("accepted", "running", "waiting")])


def who(user: UserKey, prefix: str = "") -> dict[str, str]:
    """A person as column values."""
    return {f"{prefix}platform": user.platform, f"{prefix}workspace": user.workspace, f"{prefix}user": user.user}


def is_who(table: FromClause, user: UserKey, prefix: str = "") -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in who(user, prefix).items()))


def user_of(row: Any, prefix: str = "") -> UserKey:
    """The person in a row's columns."""
    return UserKey(*(getattr(row, f"{prefix}{name}") for name in ("platform", "workspace", "user")))


def is_conversation(key: ConversationKey) -> ColumnElement[bool]:
    at = conversations.c
    return and_(
        at.platform == key.platform, at.workspace == key.workspace, at.channel == key.channel, at.root == key.root
    )


def conversation_of(row: Any) -> ConversationKey:
    return ConversationKey(row.platform, row.workspace, row.channel, row.root)
