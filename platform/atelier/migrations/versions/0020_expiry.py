"""the time that results are kept, and what versions refer to.

What was made before this is kept without end: nobody was told that it would go.
"""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("agent_versions") as versions:
        versions.add_column(sa.Column("result_days", sa.Integer(), nullable=True))
        versions.create_check_constraint(op.f("ck_agent_versions_result_days"), "result_days BETWEEN 1 AND 365")
    with op.batch_alter_table("results") as results:
        results.add_column(sa.Column("expires_ms", columns.Millis, nullable=True))
        results.add_column(sa.Column("gone_ms", columns.Millis, nullable=True))
    op.create_index("ix_results_expires", "results", ["expires_ms"])
    op.create_table(
        "version_results",
        sa.Column("project_id", columns.Key(36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", columns.Key(36), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "number", "job_id", name=op.f("pk_version_results")),
    )
    op.create_index("ix_version_results_job", "version_results", ["job_id"])


def downgrade() -> None:
    op.drop_table("version_results")
    op.drop_index("ix_results_expires", "results")
    with op.batch_alter_table("results") as results:
        results.drop_column("gone_ms")
        results.drop_column("expires_ms")
    with op.batch_alter_table("agent_versions") as versions:
        versions.drop_constraint(op.f("ck_agent_versions_result_days"), type_="check")
        versions.drop_column("result_days")
