"""roll-ups."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollups",
        sa.Column("metric", columns.Key(24), nullable=False),
        sa.Column("slot_ms", columns.Millis, nullable=False),
        sa.Column("dimension", columns.Key(64), nullable=False),
        sa.Column("value", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("metric", "slot_ms", "dimension", name=op.f("pk_rollups")),
    )
    op.create_table(
        "rolled_slots",
        sa.Column("slot_ms", columns.Millis, autoincrement=False, nullable=False),
        sa.Column("checksum", columns.Key(64), nullable=False),
        sa.Column("rolled_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("slot_ms", name=op.f("pk_rolled_slots")),
    )
    op.create_table(
        "active_users",
        sa.Column("day_ms", columns.Millis, nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.PrimaryKeyConstraint("day_ms", "user_id", name=op.f("pk_active_users")),
    )
    op.create_index("ix_jobs_created", "jobs", ["created_ms"])
    op.create_index("ix_jobs_finished", "jobs", ["finished_ms"])
    op.create_index("ix_transfers_created", "transfers", ["created_ms"])


def downgrade() -> None:
    op.drop_index("ix_transfers_created", "transfers")
    op.drop_index("ix_jobs_finished", "jobs")
    op.drop_index("ix_jobs_created", "jobs")
    for table in ("active_users", "rolled_slots", "rollups"):
        op.drop_table(table)
