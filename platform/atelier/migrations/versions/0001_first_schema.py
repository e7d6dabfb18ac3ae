"""first schema."""

import sqlalchemy as sa
from alembic import op
from atelier.kernel import columns

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("kind", columns.Key(8), nullable=False),
        sa.Column("credits_posted", columns.Millis, nullable=False),
        sa.Column("debits_posted", columns.Millis, nullable=False),
        sa.Column("debits_pending", columns.Millis, nullable=False),
        sa.Column("version", columns.Millis, nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("kind <> 'user' OR credits_posted - debits_posted - debits_pending >= 0", name=op.f("ck_accounts_available")),
        sa.CheckConstraint("debits_pending >= 0", name=op.f("ck_accounts_pending")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", columns.Key(36), nullable=False),
        sa.Column("fence", columns.Millis, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provider", columns.Key(32), nullable=False),
        sa.Column("provider_key", columns.Key(64), nullable=False),
        sa.Column("outcome", columns.Key(40), nullable=True),
        sa.Column("started_ms", columns.Millis, nullable=False),
        sa.Column("finished_ms", columns.Millis, nullable=True),
        sa.PrimaryKeyConstraint("job_id", "fence", name=op.f("pk_attempts")),
    )
    op.create_table(
        "categories",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("slug", columns.Key(64), nullable=False),
        sa.Column("name_zh", columns.Name(100), nullable=False),
        sa.Column("name_en", columns.Name(100), nullable=False),
        sa.Column("color", columns.Key(7), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_categories")),
        sa.UniqueConstraint("slug", name=op.f("uq_categories_slug")),
    )
    op.create_table(
        "email_tokens",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("purpose", columns.Key(16), nullable=False),
        sa.Column("digest", columns.Key(64), nullable=False),
        sa.Column("email", columns.Name(254), nullable=False),
        sa.Column("expires_ms", columns.Millis, nullable=False),
        sa.Column("used_ms", columns.Millis, nullable=True),
        sa.CheckConstraint("purpose IN ('verify', 'reset')", name=op.f("ck_email_tokens_purpose")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_email_tokens_digest")),
    )
    op.create_index(op.f("ix_email_tokens_expires_ms"), "email_tokens", ["expires_ms"], unique=False)
    op.create_index(op.f("ix_email_tokens_user_id"), "email_tokens", ["user_id"], unique=False)

    op.create_table(
        "emails",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("template", columns.Key(32), nullable=False),
        sa.Column("ref", columns.Key(64), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("recipient", columns.Name(254), nullable=False),
        sa.Column("locale", columns.Key(8), nullable=False),
        sa.Column("context", columns.JsonDoc(), nullable=False),
        sa.Column("state", columns.Key(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message_id", columns.Key(120), nullable=True),
        sa.Column("due_ms", columns.Millis, nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("sent_ms", columns.Millis, nullable=True),
        sa.Column("error", columns.Name(200), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'sending', 'sent', 'failed')", name=op.f("ck_emails_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
        sa.UniqueConstraint("template", "ref", name=op.f("uq_emails_template_ref")),
    )
    op.create_index(op.f("ix_emails_created_ms"), "emails", ["created_ms"], unique=False)
    op.create_index(op.f("ix_emails_state_due_ms"), "emails", ["state", "due_ms"], unique=False)
    op.create_index(op.f("ix_emails_user_id"), "emails", ["user_id"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("key", columns.Key(64), nullable=False),
        sa.Column("fingerprint", columns.Key(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", columns.JsonDoc(), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["created_ms"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("agent_version", sa.Integer(), nullable=False),
        sa.Column("project_id", columns.Key(36), nullable=True),
        sa.Column("kind", columns.Key(16), nullable=False),
        sa.Column("queue", columns.Key(32), nullable=False),
        sa.Column("provider", columns.Key(32), nullable=False),
        sa.Column("state", columns.Key(10), server_default="pending", nullable=False),
        sa.Column("fence", columns.Millis, server_default=sa.text("0"), nullable=False),
        sa.Column("seq", columns.Millis, server_default=sa.text("1"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts_max", sa.Integer(), nullable=False),
        sa.Column("owner", columns.Key(80), nullable=True),
        sa.Column("run_after_ms", columns.Millis, server_default=sa.text("0"), nullable=False),
        sa.Column("lease_ms", columns.Millis, nullable=True),
        sa.Column("sweep_ms", columns.Millis, nullable=True),
        sa.Column("publishes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_requested", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("deadline_ms", columns.Millis, nullable=False),
        sa.Column("held", columns.Millis, nullable=False),
        sa.Column("used", columns.Millis, server_default=sa.text("0"), nullable=False),
        sa.Column("input", columns.JsonDoc(), nullable=False),
        sa.Column("config", columns.JsonDoc(), nullable=False),
        sa.Column("result", columns.JsonDoc(), nullable=True),
        sa.Column("error_code", columns.Key(40), nullable=True),
        sa.Column("error_message", columns.Name(300), nullable=True),
        sa.Column("retry_of", columns.Key(36), nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("started_ms", columns.Millis, nullable=True),
        sa.Column("finished_ms", columns.Millis, nullable=True),
        sa.CheckConstraint("state IN ('pending', 'running', 'completed', 'failed', 'canceled')", name=op.f("ck_jobs_state")),
        sa.CheckConstraint("attempts <= attempts_max AND fence >= attempts", name=op.f("ck_jobs_attempts")),
        sa.CheckConstraint("used <= held", name=op.f("ck_jobs_used")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_queue_state", "jobs", ["queue", "state", "id"], unique=False)
    op.create_index("ix_jobs_sweep", "jobs", ["queue", "state", "sweep_ms"], unique=False)
    op.create_index("ix_jobs_user", "jobs", ["user_id", "id"], unique=False)
    op.create_index("ix_jobs_user_state", "jobs", ["user_id", "state", "id"], unique=False)

    op.create_table(
        "login_failures",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("subject", columns.Key(64), nullable=False),
        sa.Column("at_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_failures")),
    )
    op.create_index(op.f("ix_login_failures_at_ms"), "login_failures", ["at_ms"], unique=False)
    op.create_index(op.f("ix_login_failures_subject_at_ms"), "login_failures", ["subject", "at_ms"], unique=False)

    op.create_table(
        "operations",
        sa.Column("id", columns.Serial, autoincrement=True, nullable=False),
        sa.Column("action", columns.Key(40), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=True),
        sa.Column("resource_type", columns.Key(40), nullable=True),
        sa.Column("resource_id", columns.Key(36), nullable=True),
        sa.Column("details", columns.JsonDoc(), nullable=False),
        sa.Column("address", columns.Key(45), nullable=True),
        sa.Column("user_agent", columns.Name(300), nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index("ix_operations_created", "operations", ["created_ms"], unique=False)
    op.create_index("ix_operations_user", "operations", ["user_id", "id"], unique=False)

    op.create_table(
        "outbox",
        sa.Column("id", columns.Serial, autoincrement=True, nullable=False),
        sa.Column("contract", columns.Key(64), nullable=False),
        sa.Column("message", sa.String(length=1000), nullable=False),
        sa.Column("available_ms", columns.Millis, server_default=sa.text("0"), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("claimed_by", columns.Key(80), nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_available", "outbox", ["available_ms", "id"], unique=False)

    op.create_table(
        "results",
        sa.Column("job_id", columns.Key(36), nullable=False),
        sa.Column("document", columns.JsonDoc(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_results")),
    )
    op.create_table(
        "revocations",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("token_id", columns.Key(36), nullable=True),
        sa.Column("user_id", columns.Key(36), nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("expires_ms", columns.Millis, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocations")),
    )
    op.create_index(op.f("ix_revocations_created_ms"), "revocations", ["created_ms"], unique=False)
    op.create_index(op.f("ix_revocations_expires_ms"), "revocations", ["expires_ms"], unique=False)
    op.create_index(op.f("ix_revocations_token_id"), "revocations", ["token_id"], unique=False)

    op.create_table(
        "tags",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("name", columns.Name(50), nullable=False),
        sa.Column("folded", columns.Name(50), nullable=False),
        sa.Column("color", columns.Key(7), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("folded", name=op.f("uq_tags_folded")),
    )
    op.create_table(
        "transfers",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("key", columns.Key(96), nullable=False),
        sa.Column("kind", columns.Key(16), nullable=False),
        sa.Column("debit_id", columns.Key(36), nullable=False),
        sa.Column("credit_id", columns.Key(36), nullable=False),
        sa.Column("amount", columns.Millis, nullable=False),
        sa.Column("pending_id", columns.Key(36), nullable=True),
        sa.Column("account_id", columns.Key(36), nullable=False),
        sa.Column("account_version", columns.Millis, nullable=False),
        sa.Column("balance_after", columns.Millis, nullable=False),
        sa.Column("ref_type", columns.Key(24), nullable=True),
        sa.Column("ref_id", columns.Key(36), nullable=True),
        sa.Column("note", columns.Name(200), nullable=True),
        sa.Column("actor", columns.Key(36), nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("(kind IN ('capture', 'release')) = (pending_id IS NOT NULL)", name=op.f("ck_transfers_resolves")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_transfers_amount")),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_transfers_sides")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("account_id", "account_version", name=op.f("uq_transfers_account_id_account_version")),
        sa.UniqueConstraint("key", name=op.f("uq_transfers_key")),
        sa.UniqueConstraint("pending_id", name=op.f("uq_transfers_pending_id")),
    )
    op.create_index("ix_transfers_ref", "transfers", ["ref_id"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("email", columns.Name(254), nullable=False),
        sa.Column("email_key", columns.Name(254), nullable=False),
        sa.Column("username", columns.Key(50), nullable=False),
        sa.Column("username_key", columns.Key(50), nullable=False),
        sa.Column("password_hash", columns.Key(255), nullable=False),
        sa.Column("display_name", columns.Name(100), nullable=False),
        sa.Column("avatar_url", columns.Name(500), nullable=True),
        sa.Column("bio", columns.Name(500), nullable=True),
        sa.Column("role", columns.Key(16), nullable=False),
        sa.Column("status", columns.Key(16), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("email_verified_ms", columns.Millis, nullable=True),
        sa.Column("last_login_ms", columns.Millis, nullable=True),
        sa.Column("settings", columns.JsonDoc(), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("updated_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("role IN ('user', 'creator', 'admin')", name=op.f("ck_users_role")),
        sa.CheckConstraint("status IN ('active', 'disabled')", name=op.f("ck_users_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
        sa.UniqueConstraint("username_key", name=op.f("uq_users_username_key")),
    )
    op.create_index(op.f("ix_users_created_ms"), "users", ["created_ms"], unique=False)

    op.create_table(
        "verdicts",
        sa.Column("id", columns.Serial, autoincrement=True, nullable=False),
        sa.Column("checked_ms", columns.Millis, nullable=False),
        sa.Column("violations", sa.Integer(), nullable=False),
        sa.Column("warnings", sa.Integer(), nullable=False),
        sa.Column("findings", columns.JsonDoc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
    )
    op.create_index(op.f("ix_verdicts_checked_ms"), "verdicts", ["checked_ms"], unique=False)

    op.create_table(
        "agents",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("slug", columns.Key(80), nullable=False),
        sa.Column("creator_id", columns.Key(36), nullable=False),
        sa.Column("category_id", columns.Key(36), nullable=False),
        sa.Column("name", columns.Name(200), nullable=False),
        sa.Column("description", columns.Name(2000), nullable=False),
        sa.Column("detailed_description", columns.LongText(), nullable=True),
        sa.Column("price_type", columns.Key(16), nullable=False),
        sa.Column("base_price", sa.Integer(), nullable=True),
        sa.Column("credits_per_use", sa.Integer(), nullable=True),
        sa.Column("list_price", sa.Integer(), nullable=False),
        sa.Column("capabilities", columns.JsonDoc(), nullable=False),
        sa.Column("supported_languages", columns.JsonDoc(), nullable=False),
        sa.Column("input_types", columns.JsonDoc(), nullable=False),
        sa.Column("output_types", columns.JsonDoc(), nullable=False),
        sa.Column("status", columns.Key(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rating_avg", sa.Integer(), nullable=False),
        sa.Column("reviews_count", sa.Integer(), nullable=False),
        sa.Column("downloads_count", sa.Integer(), nullable=False),
        sa.Column("view_count", sa.Integer(), nullable=False),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.Column("updated_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("price_type <> 'pay_per_use' OR COALESCE(credits_per_use, 0) >= 1", name=op.f("ck_agents_credits_per_use")),
        sa.CheckConstraint("price_type IN ('free', 'one_time', 'subscription', 'pay_per_use')", name=op.f("ck_agents_price_type")),
        sa.CheckConstraint(
            "price_type NOT IN ('one_time', 'subscription') OR COALESCE(base_price, 0) >= 1", name=op.f("ck_agents_base_price")
        ),
        sa.CheckConstraint("status <> 'published' OR version >= 1", name=op.f("ck_agents_version")),
        sa.CheckConstraint("status IN ('draft', 'review', 'published', 'archived')", name=op.f("ck_agents_status")),
        sa.CheckConstraint("rating_avg BETWEEN 0 AND 500", name=op.f("ck_agents_rating_avg")),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name=op.f("fk_agents_category_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("slug", name=op.f("uq_agents_slug")),
    )
    op.create_index("ix_agents_category", "agents", ["category_id", "status", "created_ms", "id"], unique=False)
    op.create_index("ix_agents_created", "agents", ["status", "created_ms", "id"], unique=False)
    op.create_index("ix_agents_creator", "agents", ["creator_id", "status", "created_ms", "id"], unique=False)
    op.create_index("ix_agents_downloads", "agents", ["status", "downloads_count", "id"], unique=False)
    op.create_index("ix_agents_price", "agents", ["status", "list_price", "id"], unique=False)
    op.create_index("ix_agents_price_type", "agents", ["price_type", "status", "created_ms", "id"], unique=False)
    op.create_index("ix_agents_rating", "agents", ["status", "rating_avg", "id"], unique=False)

    op.create_table(
        "agent_purchases",
        sa.Column("id", columns.Key(36), nullable=False),
        sa.Column("user_id", columns.Key(36), nullable=False),
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("active_slot", sa.Integer(), nullable=True),
        sa.Column("purchase_type", columns.Key(16), nullable=False),
        sa.Column("expires_ms", columns.Millis, nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("purchase_type IN ('one_time', 'subscription')", name=op.f("ck_agent_purchases_purchase_type")),
        sa.CheckConstraint("active_slot = 1", name=op.f("ck_agent_purchases_active_slot")),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_purchases_agent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_purchases")),
        sa.UniqueConstraint("user_id", "agent_id", "active_slot", name=op.f("uq_agent_purchases_user_id_agent_id_active_slot")),
    )
    op.create_index(op.f("ix_agent_purchases_active_slot_expires_ms"), "agent_purchases", ["active_slot", "expires_ms"], unique=False)
    op.create_index(op.f("ix_agent_purchases_agent_id_created_ms"), "agent_purchases", ["agent_id", "created_ms"], unique=False)

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

    op.create_table(
        "agent_tags",
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("tag_id", columns.Key(36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_tags_agent_id")),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=op.f("fk_agent_tags_tag_id")),
        sa.PrimaryKeyConstraint("agent_id", "tag_id", name=op.f("pk_agent_tags")),
    )
    op.create_index(op.f("ix_agent_tags_tag_id_agent_id"), "agent_tags", ["tag_id", "agent_id"], unique=False)

    op.create_table(
        "agent_versions",
        sa.Column("agent_id", columns.Key(36), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", columns.Key(16), nullable=False),
        sa.Column("input_schema", columns.JsonDoc(), nullable=False),
        sa.Column("config_schema", columns.JsonDoc(), nullable=False),
        sa.Column("default_config", columns.JsonDoc(), nullable=False),
        sa.Column("runtime", columns.JsonDoc(), nullable=False),
        sa.Column("price_type", columns.Key(16), nullable=False),
        sa.Column("credits_per_use", sa.Integer(), nullable=True),
        sa.Column("created_ms", columns.Millis, nullable=False),
        sa.CheckConstraint("kind IN ('text', 'image', 'audio', 'video')", name=op.f("ck_agent_versions_kind")),
        sa.CheckConstraint(
            "price_type <> 'pay_per_use' OR COALESCE(credits_per_use, 0) >= 1", name=op.f("ck_agent_versions_credits_per_use")
        ),
        sa.CheckConstraint("price_type IN ('free', 'one_time', 'subscription', 'pay_per_use')", name=op.f("ck_agent_versions_price_type")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_agent_versions_version")),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_versions_agent_id")),
        sa.PrimaryKeyConstraint("agent_id", "version", name=op.f("pk_agent_versions")),
    )

    # The system accounts: they have no counters, their balances are sums over transfers.
    counters = ("credits_posted", "debits_posted", "debits_pending", "version", "created_ms")
    accounts = sa.table("accounts", *(sa.column(name) for name in ("id", "kind", *counters)))
    names = ("clearing", "platform", "bonus", "topup", "adjust")
    op.bulk_insert(accounts, [{"id": f"system:{name}", "kind": "system", **dict.fromkeys(counters, 0)} for name in names])


def downgrade() -> None:
    for table in (
        "agent_versions",
        "agent_tags",
        "agent_search",
        "agent_purchases",
        "agents",
        "verdicts",
        "users",
        "transfers",
        "tags",
        "revocations",
        "results",
        "outbox",
        "operations",
        "login_failures",
        "jobs",
        "idempotency_keys",
        "emails",
        "email_tokens",
        "categories",
        "attempts",
        "accounts",
    ):
        op.drop_table(table)
