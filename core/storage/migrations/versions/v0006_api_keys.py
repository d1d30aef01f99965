"""API keys that have a name."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("requests_per_minute", sa.BigInteger().with_variant(sa.Integer, "sqlite")),
        sa.Column("tokens_per_minute", sa.BigInteger().with_variant(sa.Integer, "sqlite")),
        sa.Column("tokens_per_day", sa.BigInteger().with_variant(sa.Integer, "sqlite")),
        sa.Column("cost_per_day_usd", sa.Float),
        sa.PrimaryKeyConstraint("name"),
    )
