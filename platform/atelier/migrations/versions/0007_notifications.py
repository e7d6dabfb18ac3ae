"""notifications."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("kind", columns.Key(32), nullable=False),
        sa.Column("data", columns.JsonDoc(), nullable=False),
        sa.Column("ref_type", columns.Key(32), nullable=True),
        sa.Column("ref_id", columns.Key(36), nullable=True),
        sa.Column("seq", columns.Millis, nullable=True),
        sa.Column("due_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("read_ms", columns.Millis, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("user_id", "seq", name=op.f("uq_notifications_user_id_seq")),
    )
    op.create_index(op.f("ix_notifications_user_id_id"), "notifications", ["user_id", "id"])
    op.create_index(op.f("ix_notifications_due_ms"), "notifications", ["due_ms"])
    op.create_index(op.f("ix_notifications_created_ms"), "notifications", ["created_ms"])
    op.create_index(op.f("ix_notifications_read_ms"), "notifications", ["read_ms"])


def downgrade() -> None:
    op.drop_table("notifications")
