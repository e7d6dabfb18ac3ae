"""renewals of subscriptions by themselves."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

RENEWED = "renew_price IS NULL OR (active_slot IS NOT NULL AND purchase_type = 'subscription')"


def upgrade() -> None:
    with op.batch_alter_table("agent_purchases") as purchases:
        purchases.add_column(sa.Column("renew_price", sa.Integer(), nullable=True))
        purchases.add_column(sa.Column("renewal_told", sa.Integer(), server_default=sa.text("0"), nullable=False))
        purchases.add_column(sa.Column("follows_id", columns.Key(36), nullable=True))
        purchases.create_check_constraint(op.f("ck_agent_purchases_renew_price"), RENEWED)
        purchases.create_unique_constraint(op.f("uq_agent_purchases_follows_id"), ["follows_id"])
        purchases.create_index(op.f("ix_agent_purchases_expires_ms_id"), ["expires_ms", "id"])


def downgrade() -> None:
    with op.batch_alter_table("agent_purchases") as purchases:
        purchases.drop_index(op.f("ix_agent_purchases_expires_ms_id"))
        purchases.drop_constraint(op.f("uq_agent_purchases_follows_id"), type_="unique")
        purchases.drop_constraint(op.f("ck_agent_purchases_renew_price"), type_="check")
        for column in ("follows_id", "renewal_told", "renew_price"):
            purchases.drop_column(column)
