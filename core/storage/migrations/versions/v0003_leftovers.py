"""Questions before an acting tool whose message was deleted: until now they were left behind."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM suspensions WHERE reply_id NOT IN (SELECT reply_id FROM messages)")
