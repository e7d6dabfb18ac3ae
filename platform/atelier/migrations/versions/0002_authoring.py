"""agents: reviews, counted views, drafts."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agents", sa.Column("rating_sum", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("agents", sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column("agents", sa.Column("icon_url", columns.Key(64), nullable=True))
    op.add_column("agents", sa.Column("examples", columns.JsonDoc(), nullable=True))
    op.create_table(
        "agent_drafts",
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("status", columns.Key(16), nullable=False),
        sa.Column("document", columns.JsonDoc(), nullable=False),
        sa.Column("reason", columns.Name(500), nullable=True),
        sa.Column("submitted_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("updated_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("status IN ('draft', 'review', 'rejected')", name=op.f("ck_agent_drafts_status")),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_drafts_agent_id")),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agent_drafts")),
    )
    op.create_index("ix_agent_drafts_queue", "agent_drafts", ["status", "submitted_ms", "agent_id"])
    op.create_table(
        "agent_reviews",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("comment", columns.Name(1000), nullable=True),
        sa.Column("status", columns.Key(16), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("updated_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_agent_reviews_rating")),
        sa.CheckConstraint("status IN ('active', 'hidden')", name=op.f("ck_agent_reviews_status")),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_reviews_agent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_reviews")),
        sa.UniqueConstraint("agent_id", "user_id", name=op.f("uq_agent_reviews_agent_id_user_id")),
    )
    op.create_index("ix_agent_reviews_newest", "agent_reviews", ["agent_id", "status", "created_ms", "id"])
    op.create_table(
        "agent_users",
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("first_ms", columns.Millis, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_users_agent_id")),
        sa.PrimaryKeyConstraint("agent_id", "user_id", name=op.f("pk_agent_users")),
    )
    op.create_table(
        "agent_views",
        sa.Column("key", columns.Key(43), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_agent_views")),
    )
    op.create_index(op.f("ix_agent_views_created_ms"), "agent_views", ["created_ms"])
    op.create_table(
        "counted_until",
        sa.Column("name", columns.Key(32), nullable=False),
        sa.Column("until_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counted_until")),
    )


def downgrade() -> None:
    for table in ("counted_until", "agent_views", "agent_users", "agent_reviews", "agent_drafts"):
        op.drop_table(table)
    for column in ("examples", "icon_url", "revision", "rating_sum"):
        op.drop_column("agents", column)
