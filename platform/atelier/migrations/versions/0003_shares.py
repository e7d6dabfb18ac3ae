"""purchases and shares of what was spent."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CHECKS = {
    "account": "account_id IS NOT NULL OR kind = 'share'",
    "version": "(account_id IS NULL) = (account_version IS NULL)",
    "balance": "(account_id IS NULL) = (balance_after IS NULL)",
}
OF_AN_ACCOUNT = (("account_id", columns.Key(36)), ("account_version", columns.Millis()), ("balance_after", columns.Millis()))


def upgrade() -> None:
    with op.batch_alter_table("transfers") as transfers:
        for name, kind in OF_AN_ACCOUNT:
            transfers.alter_column(name, existing_type=kind, nullable=True)
        for name, condition in CHECKS.items():
            transfers.create_check_constraint(op.f(f"ck_transfers_{name}"), condition)
    op.create_table(
        "earnings",
        sa.Column("ref_id", columns.Key(36), nullable=False),
        sa.Column("ref_type", columns.Key(24), nullable=False),
        sa.Column("creator_id", columns.Key(36), nullable=False),
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("gross", columns.Millis, nullable=False),
        sa.Column("amount", columns.Millis, nullable=False),
        sa.Column("note", columns.Name(200), nullable=True),
        sa.Column("due_ms", columns.Millis, nullable=True),
        sa.Column("paid_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("amount BETWEEN 0 AND gross", name=op.f("ck_earnings_amount")),
        sa.CheckConstraint("(due_ms IS NULL) = (paid_ms IS NOT NULL)", name=op.f("ck_earnings_paid")),
        sa.PrimaryKeyConstraint("ref_id", name=op.f("pk_earnings")),
    )
    op.create_index("ix_earnings_due", "earnings", ["due_ms", "ref_id"])
    op.create_index("ix_earnings_creator", "earnings", ["creator_id", "paid_ms", "ref_id"])
    op.create_table(
        "earning_days",
        sa.Column("creator_id", columns.Key(36), nullable=False),
        sa.Column("day_ms", columns.Millis, autoincrement=False, nullable=False),
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("gross", columns.Millis, nullable=False),
        sa.Column("amount", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("creator_id", "day_ms", "agent_id", name=op.f("pk_earning_days")),
    )
    op.add_column("agent_purchases", sa.Column("price", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("agent_purchases", sa.Column("due_ms", columns.Millis, nullable=True))
    op.add_column("agent_purchases", sa.Column("ended_ms", columns.Millis, nullable=True))
    op.create_index(op.f("ix_agent_purchases_user_id_id"), "agent_purchases", ["user_id", "id"])
    op.create_index(op.f("ix_agent_purchases_due_ms"), "agent_purchases", ["due_ms"])
    op.drop_index(op.f("ix_agent_purchases_active_slot_expires_ms"), "agent_purchases")
    _follow()


def _follow() -> None:
    """Nobody but the house had agents before, so everything that was captured is the platform's."""
    names = (
        *("id", "key", "kind", "debit_id", "credit_id", "amount", "account_id", "account_version", "balance_after"),
        *("ref_type", "ref_id", "note", "created_ms"),
    )
    transfers = sa.table("transfers", *(sa.column(name, sa.String()) for name in names))
    t = transfers.alias("t").c
    # The digit that says which kind of UUID it is has no such value in any that was ever made.
    fresh = sa.func.substr(t.id, 1, 19) + sa.literal("c") + sa.func.substr(t.id, 21)
    key = sa.literal("share") + sa.func.substr(t.key, len("capture:")) + sa.literal(":platform")
    clearing, platform = sa.literal("system:clearing"), sa.literal("system:platform")
    none = (sa.null(), sa.null(), sa.null())
    shares = sa.select(
        fresh, key, sa.literal("share"), clearing, platform, t.amount, *none, t.ref_type, t.ref_id, t.note, t.created_ms
    )
    op.execute(transfers.insert().from_select(list(names), shares.where(t.kind == "capture", t.amount > sa.literal_column("0"))))
    purchases = sa.table("agent_purchases", *(sa.column(name) for name in ("active_slot", "expires_ms", "due_ms")))
    op.execute(purchases.update().where(purchases.c.active_slot == 1).values(due_ms=purchases.c.expires_ms))


def downgrade() -> None:
    op.create_index(
        op.f("ix_agent_purchases_active_slot_expires_ms"), "agent_purchases", ["active_slot", "expires_ms"]
    )
    op.drop_index(op.f("ix_agent_purchases_due_ms"), "agent_purchases")
    op.drop_index(op.f("ix_agent_purchases_user_id_id"), "agent_purchases")
    for column in ("ended_ms", "due_ms", "price"):
        op.drop_column("agent_purchases", column)
    op.drop_table("earning_days")
    op.drop_table("earnings")
    transfers = sa.table("transfers", sa.column("account_id"))
    op.execute(transfers.delete().where(transfers.c.account_id.is_(None)))
    with op.batch_alter_table("transfers") as changed:
        for name in CHECKS:
            changed.drop_constraint(op.f(f"ck_transfers_{name}"), type_="check")
        for name, kind in OF_AN_ACCOUNT:
            changed.alter_column(name, existing_type=kind, nullable=False)
