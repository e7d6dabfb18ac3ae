"""dead letters: what has failed, until somebody has dealt with it."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# What failed before is written down as it was classified when this was written.
BACKFILL = """
INSERT INTO dead_letters (job_id, user_id, agent_id, provider, queue, kind, error_code, reason, failed_ms)
SELECT id, user_id, agent_id, provider, queue, kind, error_code,
    CASE
        WHEN error_code IN ('PROVIDER_UNAVAILABLE', 'PROVIDER_TIMEOUT', 'PROVIDER_INTERRUPTED', 'PROVIDER_THROTTLED',
            'PROVIDER_BAD_ANSWER') THEN 'provider_unavailable'
        WHEN error_code IN ('PROVIDER_REJECTED', 'PROVIDER_PARAMETER_INVALID') THEN 'provider_rejected'
        WHEN error_code = 'PROVIDER_CONTENT_REFUSED' THEN 'content_refused'
        WHEN error_code = 'DEADLINE_EXCEEDED' THEN 'deadline'
        WHEN error_code = 'WORKER_LOST' THEN 'worker_lost'
        WHEN error_code IN ('UNAVAILABLE', 'STORAGE_UNAVAILABLE', 'BROKER_UNAVAILABLE') THEN 'platform_unavailable'
        WHEN error_code IN ('PROVIDER_UNKNOWN', 'PROVIDER_MISCONFIGURED', 'PROVIDER_QUOTA_EXHAUSTED',
            'PROVIDER_MODEL_MISSING', 'PROVIDER_SPEECH_MISSING', 'PROVIDER_WEIGHTS_UNAVAILABLE') THEN 'misconfigured'
        ELSE 'bug'
    END,
    finished_ms
FROM jobs WHERE state = 'failed'
"""


def upgrade() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("job_id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("provider", columns.Key(32), nullable=False),
        sa.Column("queue", columns.Key(32), nullable=False),
        sa.Column("kind", columns.Key(16), nullable=False),
        sa.Column("error_code", columns.Key(40), nullable=True),
        sa.Column("reason", columns.Key(32), nullable=True),
        sa.Column("state", columns.Key(10), server_default="open", nullable=False),
        sa.Column("failed_ms", columns.Millis, nullable=False),
        sa.Column("resolved_ms", columns.Millis, nullable=True),
        sa.Column("resolved_by", columns.Key(36), nullable=True),
        sa.Column("note", columns.Name(200), nullable=True),
        sa.Column("new_job_id", columns.Key(36), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'replayed', 'retried', 'dismissed')", name=op.f("ck_dead_letters_state")
        ),
        sa.CheckConstraint("(state = 'open') = (resolved_ms IS NULL)", name=op.f("ck_dead_letters_resolved")),
        sa.CheckConstraint(
            "(state IN ('replayed', 'retried')) = (new_job_id IS NOT NULL)", name=op.f("ck_dead_letters_new_job")
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("new_job_id", name=op.f("uq_dead_letters_new_job_id")),
    )
    op.create_index("ix_dead_letters_state", "dead_letters", ["state", "job_id"])
    op.create_index("ix_dead_letters_reason", "dead_letters", ["state", "reason", "job_id"])
    op.create_index("ix_dead_letters_provider", "dead_letters", ["state", "provider", "job_id"])
    op.create_index("ix_dead_letters_agent", "dead_letters", ["state", "agent_id", "job_id"])
    op.create_index("ix_dead_letters_user", "dead_letters", ["state", "user_id", "job_id"])
    op.create_index("ix_dead_letters_failed", "dead_letters", ["failed_ms"])
    op.execute(BACKFILL)


def downgrade() -> None:
    op.drop_table("dead_letters")
