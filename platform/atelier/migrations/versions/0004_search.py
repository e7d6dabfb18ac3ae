"""the index of the search."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "search_documents",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("name", columns.Name(200), nullable=False),
        sa.Column("tags", columns.Name(1000), nullable=False),
        sa.Column("description", columns.Name(2000), nullable=False),
        sa.Column("category_id", columns.Key(36), nullable=False),
        sa.Column("price_type", columns.Key(16), nullable=False),
        sa.Column("creator_id", columns.Key(36), nullable=False),
        sa.Column("list_price", sa.Integer(), nullable=False),
        sa.Column("rating_avg", sa.Integer(), nullable=False),
        sa.Column("downloads_count", sa.Integer(), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_search_documents_agent_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_search_documents")),
        sa.UniqueConstraint("agent_id", name=op.f("uq_search_documents_agent_id")),
    )
    op.create_table(
        "search_postings",
        sa.Column("key", columns.Name(64), nullable=False),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bits", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", "block", name=op.f("pk_search_postings")),
    )
    state = op.create_table(
        "search_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("writes", columns.Millis, nullable=False),
        sa.Column("layout", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_state")),
    )
    # Layout 0 says that what is published already has yet to be indexed.
    op.bulk_insert(state, [{"id": 1, "writes": 0, "layout": 0}])
    op.drop_table("agent_search")


def downgrade() -> None:
    op.create_table(
        "agent_search",
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("name", columns.Name(200), nullable=False),
        sa.Column("tags", columns.Name(1000), nullable=False),
        sa.Column("description", columns.Name(2000), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_search_agent_id")),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agent_search")),
    )
    op.create_index(op.f("ix_agent_search_name"), "agent_search", ["name"], unique=False)
    op.drop_table("search_state")
    op.drop_table("search_postings")
    op.drop_table("search_documents")
