"""files."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("owner_id", columns.Key(36), nullable=False),
        sa.Column("kind", columns.Key(16), nullable=False),
        sa.Column("state", columns.Key(16), nullable=False),
        sa.Column("name", columns.Name(200), nullable=False),
        sa.Column("type", columns.Key(40), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", columns.Key(64), nullable=True),
        sa.Column("key", columns.Key(100), nullable=False),
        sa.Column("refusal", columns.Key(40), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("kind IN ('upload', 'avatar', 'icon')", name=op.f("ck_files_kind")),
        sa.CheckConstraint(
            "state IN ('pending', 'checking', 'ready', 'refused', 'removing')", name=op.f("ck_files_state")
        ),
        sa.CheckConstraint("size >= 0", name=op.f("ck_files_size")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sa.UniqueConstraint("key", name=op.f("uq_files_key")),
    )
    op.create_index("ix_files_owner", "files", ["owner_id", "kind", "state", "id"])
    op.create_index("ix_files_due", "files", ["state", "due_ms"])
    op.create_table(
        "file_usage",
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("files >= 0 AND bytes >= 0", name=op.f("ck_file_usage_counts")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_file_usage")),
    )
    op.create_table(
        "file_sweeps",
        sa.Column("folder", columns.Key(16), nullable=False),
        sa.Column("after", columns.Key(100), nullable=False),
        sa.PrimaryKeyConstraint("folder", name=op.f("pk_file_sweeps")),
    )


def downgrade() -> None:
    op.drop_table("file_sweeps")
    op.drop_table("file_usage")
    op.drop_table("files")
