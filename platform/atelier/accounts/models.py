"""Tables of users and of everything that ends a session or proves an address."""

from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base


class User(Base):
    """A person. `email_key` and `username_key` are the folded forms that must be unique."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'creator', 'admin')", name="role"),
        CheckConstraint("status IN ('active', 'disabled')", name="status"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    email: Mapped[str] = mapped_column(Name(254))
    email_key: Mapped[str] = mapped_column(Name(254), unique=True)
    username: Mapped[str] = mapped_column(Key(50))
    username_key: Mapped[str] = mapped_column(Key(50), unique=True)
    password_hash: Mapped[str] = mapped_column(Key(255))
    display_name: Mapped[str] = mapped_column(Name(100))
    avatar_url: Mapped[str | None] = mapped_column(Name(500))
    bio: Mapped[str | None] = mapped_column(Name(500))
    role: Mapped[str] = mapped_column(Key(16), default="user")
    status: Mapped[str] = mapped_column(Key(16), default="active")
    token_version: Mapped[int] = mapped_column(Integer, default=0)
    email_verified_ms: Mapped[int | None] = mapped_column(Millis)
    last_login_ms: Mapped[int | None] = mapped_column(Millis)
    settings: Mapped[dict[str, Any]] = mapped_column(JsonDoc, default=dict)
    created_ms: Mapped[int] = mapped_column(Millis, index=True)
    updated_ms: Mapped[int] = mapped_column(Millis)


class EmailToken(Base):
    """A single-use token that was mailed to `email`. Only its digest is kept; the raw one is derived from the id."""

    __tablename__ = "email_tokens"
    __table_args__ = (CheckConstraint("purpose IN ('verify', 'reset')", name="purpose"),)

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id(), index=True)
    purpose: Mapped[str] = mapped_column(Key(16))
    digest: Mapped[str] = mapped_column(Key(64), unique=True)
    email: Mapped[str] = mapped_column(Name(254))
    expires_ms: Mapped[int] = mapped_column(Millis, index=True)
    used_ms: Mapped[int | None] = mapped_column(Millis)


class RevocationRow(Base):
    """One ended token, or (with `user_id`) a hint that all of a user's older tokens ended. Database time."""

    __tablename__ = "revocations"

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    token_id: Mapped[str | None] = mapped_column(Id(), index=True)
    user_id: Mapped[str | None] = mapped_column(Id())
    created_ms: Mapped[int] = mapped_column(Millis, index=True)
    expires_ms: Mapped[int] = mapped_column(Millis, index=True)


class LoginFailure(Base):
    """One failed login of a subject, which is the digest of an address and an account. Undecided ones have another."""

    __tablename__ = "login_failures"
    __table_args__ = (Index(None, "subject", "at_ms"),)

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    subject: Mapped[str] = mapped_column(Key(64))
    at_ms: Mapped[int] = mapped_column(Millis, index=True)
