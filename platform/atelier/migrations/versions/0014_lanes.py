"""fair queueing: lanes, controls, and the rank of a job in its lane."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

WAITING = """
    INSERT INTO lanes (queue, user_id, provider)
    SELECT DISTINCT queue, user_id, provider FROM jobs WHERE state = 'pending'
"""


def upgrade() -> None:
    op.create_table(
        "lanes",
        sa.Column("queue", columns.Key(32), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("provider", columns.Key(32), nullable=False),
        sa.Column("turn_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("open", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("owed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("queue", "user_id", "provider", name=op.f("pk_lanes")),
    )
    op.create_index("ix_lanes_turn", "lanes", ["queue", "open", "provider", "turn_ms", "user_id"])
    op.create_table(
        "controls",
        sa.Column("kind", columns.Key(8), nullable=False),
        sa.Column("name", columns.Key(32), nullable=False),
        sa.Column("state", columns.Key(10), server_default=sa.text("'open'"), nullable=False),
        sa.Column("reason", columns.Name(300), nullable=True),
        sa.Column("changed_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("in_flight_max", sa.Integer(), nullable=True),
        sa.Column("per_minute", sa.Integer(), nullable=True),
        sa.Column("burst", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("paced_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed_code", columns.Key(40), nullable=True),
        sa.Column("owed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("invited_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("state IN ('open', 'paused', 'draining')", name=op.f("ck_controls_state")),
        sa.CheckConstraint("in_flight_max > 0 AND per_minute > 0 AND burst > 0", name=op.f("ck_controls_limits")),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_controls")),
    )
    op.add_column("jobs", sa.Column("rank_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_index("ix_jobs_lane", "jobs", ["provider", "state", "queue", "user_id", "rank_ms"])
    op.execute("UPDATE jobs SET rank_ms = created_ms WHERE state = 'pending'")
    op.execute(WAITING)


def downgrade() -> None:
    op.drop_index("ix_jobs_lane", table_name="jobs")
    op.drop_column("jobs", "rank_ms")
    op.drop_table("controls")
    op.drop_index("ix_lanes_turn", table_name="lanes")
    op.drop_table("lanes")
