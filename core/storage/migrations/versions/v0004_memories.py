"""What people asked to be remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memories",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("whose", sa.Text, nullable=False),
        sa.Column("reach", sa.Text, nullable=False),
        sa.Column("at_workspace", sa.Text, nullable=False),
        sa.Column("at_channel", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("used_at", sa.Float),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("memories_user", "memories", ["platform", "user"])
    op.create_index("memories_channel", "memories", ["platform", "at_channel"])
