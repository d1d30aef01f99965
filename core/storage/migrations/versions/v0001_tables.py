"""The first tables."""

import sqlalchemy as sa
from alembic import op

from core.storage.sqlite import dialect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_open = sa.text("state IN ('accepted', 'running', 'waiting')")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _number, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_user", "audit", ["platform", "user"])
    op.create_table(
        "blob_owners",
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("hash", "platform", "workspace", "user"),
    )
    op.create_index("blob_owners_user", "blob_owners", ["platform", "user"])
    op.create_table(
        "blobs",
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("mime", sa.Text, nullable=False),
        sa.Column("size_bytes", _number, nullable=False),
        sa.Column("used_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index("blobs_used", "blobs", ["used_at"])
    op.create_table(
        "cache",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("cache_expires", "cache", ["expires_at"])
    op.create_table(
        "cache_contributors",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", "platform", "workspace", "user"),
    )
    op.create_index("cache_contributors_user", "cache_contributors", ["platform", "user"])
    op.create_table(
        "capabilities",
        sa.Column("reply_id", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("reply_id"),
    )
    op.create_table(
        "conversations",
        sa.Column("id", _number, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("starter_platform", sa.Text, nullable=False),
        sa.Column("starter_workspace", sa.Text, nullable=False),
        sa.Column("starter_user", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("platform", "workspace", "channel", "root", name="conversations_key"),
    )
    op.create_index("conversations_starter", "conversations", ["starter_platform", "starter_user"])
    op.create_table(
        "feedback",
        sa.Column("reply_id", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("reply_id", "platform", "workspace", "user"),
    )
    op.create_table(
        "messages",
        sa.Column("seq", _number, nullable=False),
        sa.Column("conversation_id", _number, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("asker_platform", sa.Text, nullable=False),
        sa.Column("asker_workspace", sa.Text, nullable=False),
        sa.Column("asker_user", sa.Text, nullable=False),
        sa.Column("reply_id", sa.Text, nullable=False),
        sa.Column("revision", _number, nullable=False),
        sa.Column("accepted_at", sa.Float, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("platform", "channel", "message_id", "workspace", name="messages_key"),
        sa.UniqueConstraint("reply_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_asker", "messages", ["asker_platform", "asker_user"])
    op.create_index("messages_conversation", "messages", ["conversation_id", "seq"])
    op.create_table(
        "notes",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "pages",
        sa.Column("reply_id", sa.Text, nullable=False),
        sa.Column("page", _number, autoincrement=False, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("nonce", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("reply_id", "page"),
    )
    op.create_index("pages_ref", "pages", ["platform", "channel", "ref"])
    op.create_table(
        "preferences",
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("persona", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("platform", "workspace", "user"),
    )
    op.create_table(
        "replies",
        sa.Column("reply_id", sa.Text, nullable=False),
        sa.Column("message_seq", _number, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("facts", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("reply_id"),
    )
    op.create_index("replies_message", "replies", ["message_seq"])
    op.create_table(
        "runs",
        sa.Column("seq", _number, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("message_seq", _number, nullable=False),
        sa.Column("conversation_id", _number, nullable=False),
        sa.Column("asker_platform", sa.Text, nullable=False),
        sa.Column("asker_workspace", sa.Text, nullable=False),
        sa.Column("asker_user", sa.Text, nullable=False),
        sa.Column("reply_id", sa.Text, nullable=False),
        sa.Column("revision", _number, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("starts", _number, nullable=False),
        sa.Column("tries", _number, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("lease_until", sa.Float, nullable=True),
        sa.Column("fence", _number, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.Column("accepted_at", sa.Float, nullable=False),
        sa.Column("next_try_at", sa.Float, nullable=True),
        sa.Column("deadline_at", sa.Float, nullable=True),
        sa.Column("ended_at", sa.Float, nullable=True),
        sa.Column("stop_reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("run_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_message", "runs", ["message_seq"])
    op.create_index(
        "runs_open", "runs", ["conversation_id", "seq", "state"], sqlite_where=_open, postgresql_where=_open
    )
    op.create_table(
        "tombstones",
        sa.Column("mark", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("mark"),
    )
    op.create_table(
        "turns",
        sa.Column("id", _number, nullable=False),
        sa.Column("conversation_id", _number, nullable=False),
        sa.Column("message_seq", _number, nullable=False),
        sa.Column("position", _number, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=True),
        sa.Column("workspace", sa.Text, nullable=True),
        sa.Column("user", sa.Text, nullable=True),
        sa.Column("speaker", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("tokens", _number, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("parts", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("turns_message", "turns", ["message_seq"])
    op.create_index("turns_recent", "turns", ["conversation_id", "message_seq", "position"])
    op.create_table(
        "usage",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("prompt_tokens", _number, nullable=False),
        sa.Column("cached_tokens", _number, nullable=False),
        sa.Column("output_tokens", _number, nullable=False),
        sa.Column("reasoning_tokens", _number, nullable=False),
        sa.Column("audio_s", sa.Float, nullable=False),
        sa.Column("cost_usd", sa.Float, nullable=False),
        sa.Column("estimated", _number, nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index("usage_at", "usage", ["at"])
    op.create_index("usage_user", "usage", ["platform", "user", "at"])
    op.create_table(
        "usage_days",
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("requests", _number, nullable=False),
        sa.Column("tokens", _number, nullable=False),
        sa.Column("cost_usd", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("day", "platform", "workspace", "user", "model"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in dialect.SEARCH_DDL:
            op.execute(statement)
