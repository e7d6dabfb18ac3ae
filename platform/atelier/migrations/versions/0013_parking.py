"""jobs that wait for a provider without a worker."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("poll_ms", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_jobs_poll"), "jobs", ["provider", "poll_ms"])
    op.add_column("attempts", sa.Column("submit_state", columns.Key(10), nullable=True))
    op.add_column("attempts", sa.Column("upstream_id", columns.Key(128), nullable=True))
    op.add_column("attempts", sa.Column("submitted_ms", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("misses", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    for column in ("misses", "submitted_ms", "upstream_id", "submit_state"):
        op.drop_column("attempts", column)
    op.drop_index(op.f("ix_jobs_poll"), "jobs")
    op.drop_column("jobs", "poll_ms")
