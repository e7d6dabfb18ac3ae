"""jobs that were submitted together, and jobs that are steps of another."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", columns.Id(), nullable=False),
        sa.Column("user_id", columns.Id(), nullable=False),
        sa.Column("items", columns.JsonDoc(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_index(op.f("ix_batches_created_ms"), "batches", ["created_ms"])
    op.add_column("jobs", sa.Column("batch_id", columns.Id(), nullable=True))
    op.add_column("jobs", sa.Column("parent_id", columns.Id(), nullable=True))
    op.add_column("jobs", sa.Column("step", columns.Key(32), nullable=True))
    op.create_index("ix_jobs_batch", "jobs", ["batch_id", "id"])
    op.create_index("ix_jobs_parent", "jobs", ["parent_id", "step"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_jobs_parent", table_name="jobs")
    op.drop_index("ix_jobs_batch", table_name="jobs")
    for column in ("step", "parent_id", "batch_id"):
        op.drop_column("jobs", column)
    op.drop_index(op.f("ix_batches_created_ms"), table_name="batches")
    op.drop_table("batches")
