"""API keys, and which of them a job was submitted with."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("name", columns.Name(100), nullable=False),
        sa.Column("digest", columns.Key(64), nullable=False),
        sa.Column("prefix", columns.Key(8), nullable=False),
        sa.Column("last_four", columns.Key(4), nullable=False),
        sa.Column("scopes", columns.JsonDoc(), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("submissions_per_minute", sa.Integer(), nullable=True),
        sa.Column("credit_limit", sa.BigInteger(), nullable=True),
        sa.Column("credits_held", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("credits_used", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("credits_held >= 0 AND credits_used >= 0", name=op.f("ck_api_keys_credits")),
        sa.CheckConstraint(
            "credit_limit IS NULL OR credits_held + credits_used <= credit_limit",
            name=op.f("ck_api_keys_credit_limit"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_index("ix_api_keys_user", "api_keys", ["user_id", "id"])
    op.create_index(op.f("ix_api_keys_expires_ms"), "api_keys", ["expires_ms"])
    op.create_index(op.f("ix_api_keys_revoked_ms"), "api_keys", ["revoked_ms"])
    op.add_column("jobs", sa.Column("key_id", columns.Key(36), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "key_id")
    op.drop_table("api_keys")
