"""the index by which a user's waiting jobs are counted says which queue each is in, so that no row is read for it.

Until the last process of the version before has ended, an administrator's list of one user's jobs in one state, which
names the index that goes, is refused there; nothing else asks for it by name.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_user_queues", "jobs", ["user_id", "state", "id", "queue"])
    op.drop_index("ix_jobs_user_state", table_name="jobs")


def downgrade() -> None:
    op.create_index("ix_jobs_user_state", "jobs", ["user_id", "state", "id"])
    op.drop_index("ix_jobs_user_queues", table_name="jobs")
