"""tests of providers, and messages that nobody could handle."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_probes",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("provider", columns.Key(32), nullable=False),
        sa.Column("outcome", columns.Key(40), nullable=True),
        sa.Column("took_ms", columns.Millis, nullable=True),
        sa.Column("asked_by", columns.Key(36), nullable=False),
        sa.Column("due_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("finished_ms", columns.Millis, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_probes")),
    )
    op.create_index("ix_provider_probes_provider", "provider_probes", ["provider", "id"])
    op.create_index(op.f("ix_provider_probes_due_ms"), "provider_probes", ["due_ms"])
    op.create_index(op.f("ix_provider_probes_created_ms"), "provider_probes", ["created_ms"])
    op.create_table(
        "dead_messages",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("digest", columns.Key(64), nullable=False),
        sa.Column("contract", columns.Name(64), nullable=False),
        sa.Column("message", columns.Name(1000), nullable=False),
        sa.Column("reason", columns.Key(20), nullable=False),
        sa.Column("error", columns.Name(80), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_ms", columns.Millis, nullable=False),
        sa.Column("last_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_messages")),
        sa.UniqueConstraint("digest", name=op.f("uq_dead_messages_digest")),
    )
    op.create_index("ix_dead_messages_last", "dead_messages", ["last_ms"])


def downgrade() -> None:
    op.drop_table("dead_messages")
    op.drop_table("provider_probes")
