"""metered prices: the rule of a version, and the one that a job was accepted with."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

METERED = "pricing IS NULL OR price_type = 'pay_per_use'"


def upgrade() -> None:
    with op.batch_alter_table("agent_versions") as versions:
        versions.add_column(sa.Column("pricing", columns.JsonDoc(), nullable=True))
        versions.create_check_constraint(op.f("ck_agent_versions_pricing"), METERED)
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("pricing", columns.JsonDoc(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("pricing")
    with op.batch_alter_table("agent_versions") as versions:
        versions.drop_constraint(op.f("ck_agent_versions_pricing"), type_="check")
        versions.drop_column("pricing")
