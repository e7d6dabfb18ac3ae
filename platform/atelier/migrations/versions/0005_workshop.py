"""projects."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("owner_id", columns.Key(36), nullable=False),
        sa.Column("title", columns.Name(200), nullable=False),
        sa.Column("description", columns.Name(2000), nullable=True),
        sa.Column("type", columns.Key(8), nullable=False),
        sa.Column("status", columns.Key(12), nullable=False),
        sa.Column("visibility", columns.Key(8), nullable=False),
        sa.Column("config", columns.JsonDoc(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.Column("current_number", sa.Integer(), nullable=True),
        sa.Column("deleted_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("updated_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("type IN ('text', 'image', 'video', 'audio', 'mixed')", name=op.f("ck_projects_type")),
        sa.CheckConstraint("status IN ('draft', 'active', 'completed', 'archived')", name=op.f("ck_projects_status")),
        sa.CheckConstraint("visibility IN ('private', 'team', 'public')", name=op.f("ck_projects_visibility")),
        sa.CheckConstraint("COALESCE(current_number, 0) <= versions", name=op.f("ck_projects_current")),
        sa.CheckConstraint("versions = 0 OR current_number IS NOT NULL", name=op.f("ck_projects_versions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
    )
    op.create_index("ix_projects_owner", "projects", ["owner_id", "updated_ms", "id"])
    op.create_index("ix_projects_deleted", "projects", ["deleted_ms"])
    op.create_table(
        "project_versions",
        sa.Column("project_id", columns.Key(36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("author_id", columns.Key(36), nullable=False),
        sa.Column("job_id", columns.Key(36), nullable=True),
        sa.Column("kind", columns.Key(16), nullable=True),
        sa.Column("note", columns.Name(500), nullable=True),
        sa.Column("preview", columns.Name(200), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", columns.JsonDoc(), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_project_versions_number")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_versions_project_id")),
        sa.PrimaryKeyConstraint("project_id", "number", name=op.f("pk_project_versions")),
        sa.UniqueConstraint("id", name=op.f("uq_project_versions_id")),
        sa.UniqueConstraint("job_id", name=op.f("uq_project_versions_job_id")),
    )
    op.create_table(
        "project_members",
        sa.Column("project_id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("role", columns.Key(8), nullable=False),
        sa.Column("joined_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'editor')", name=op.f("ck_project_members_role")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_members_project_id")),
        sa.PrimaryKeyConstraint("project_id", "user_id", name=op.f("pk_project_members")),
    )
    op.create_index("ix_project_members_user", "project_members", ["user_id", "project_id"])
    op.create_table(
        "project_invitations",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("project_id", columns.Key(36), nullable=False),
        sa.Column("address", columns.Name(254), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=True),
        sa.Column("role", columns.Key(8), nullable=False),
        sa.Column("state", columns.Key(12), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("expires_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'editor')", name=op.f("ck_project_invitations_role")),
        sa.CheckConstraint("state IN ('open', 'declined', 'withdrawn')", name=op.f("ck_project_invitations_state")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_invitations_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_invitations")),
        sa.UniqueConstraint("project_id", "address", name=op.f("uq_project_invitations_project_id_address")),
        sa.UniqueConstraint("project_id", "user_id", name=op.f("uq_project_invitations_project_id_user_id")),
    )
    op.create_index("ix_project_invitations_expires", "project_invitations", ["expires_ms"])
    op.create_table(
        "project_saves",
        sa.Column("job_id", columns.Key(36), nullable=False),
        sa.Column("project_id", columns.Key(36), nullable=False),
        sa.Column("reason", columns.Key(24), nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_project_saves")),
    )
    op.create_index("ix_project_saves_project", "project_saves", ["project_id"])


def downgrade() -> None:
    for table in ("project_saves", "project_invitations", "project_members", "project_versions", "projects"):
        op.drop_table(table)
