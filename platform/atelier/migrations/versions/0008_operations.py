"""what administrators and clients record."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "client_logs",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("action", columns.Key(64), nullable=False),
        sa.Column("details", columns.JsonDoc(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("claimed_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_logs")),
    )
    op.create_index("ix_client_logs_user", "client_logs", ["user_id", "id"])
    op.create_index("ix_client_logs_created", "client_logs", ["created_ms"])
    op.create_index("ix_operations_resource", "operations", ["resource_id", "id"])
    op.create_index("ix_operations_action", "operations", ["action", "id"])


def downgrade() -> None:
    op.drop_index("ix_operations_action", "operations")
    op.drop_index("ix_operations_resource", "operations")
    op.drop_table("client_logs")
