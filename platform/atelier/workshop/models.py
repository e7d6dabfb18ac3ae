"""Tables of projects: what they are, their versions, who works on them with the owner, and what jobs are to add."""

from typing import Any, cast

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, Table, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from atelier.kernel.columns import Id, JsonDoc, Key, Millis, Name
from atelier.kernel.database import Base

TITLE_MAX = 200
DESCRIPTION_MAX = 2_000
NOTE_MAX = 500
PREVIEW_MAX = 200

_ROLE = "role IN ('viewer', 'editor')"


class ProjectRow(Base):
    """Something that is being made.

    revision        grows with every change of what its makers say of it: who changes it says which one they saw
    versions        how many versions there are, and the number of the newest: they are numbered without gaps
    current_number  which of them counts; NULL only while there is none
    deleted_ms      since when it is in the bin, by the process clock
    """

    __tablename__ = "projects"
    __table_args__ = (
        CheckConstraint("type IN ('text', 'image', 'video', 'audio', 'mixed')", name="type"),
        CheckConstraint("status IN ('draft', 'active', 'completed', 'archived')", name="status"),
        CheckConstraint("visibility IN ('private', 'team', 'public')", name="visibility"),
        CheckConstraint("COALESCE(current_number, 0) <= versions", name="current"),
        CheckConstraint("versions = 0 OR current_number IS NOT NULL", name="versions"),
        Index("ix_projects_owner", "owner_id", "updated_ms", "id"),
        Index("ix_projects_deleted", "deleted_ms"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Id())
    title: Mapped[str] = mapped_column(Name(TITLE_MAX))
    description: Mapped[str | None] = mapped_column(Name(DESCRIPTION_MAX))
    type: Mapped[str] = mapped_column(Key(8))
    status: Mapped[str] = mapped_column(Key(12))
    visibility: Mapped[str] = mapped_column(Key(8))
    config: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    revision: Mapped[int] = mapped_column(Integer)
    versions: Mapped[int] = mapped_column(Integer)
    current_number: Mapped[int | None] = mapped_column(Integer)
    deleted_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)
    updated_ms: Mapped[int] = mapped_column(Millis)


class ProjectVersionRow(Base):
    """One version. Rows are never changed. `job_id` and `kind` are there when a job made it, which it does once.

    The id is made by whoever adds it, so that a transaction which runs twice adds one; a job's version has the job's.
    """

    __tablename__ = "project_versions"
    __table_args__ = (CheckConstraint("number >= 1", name="number"),)

    project_id: Mapped[str] = mapped_column(Id(), ForeignKey("projects.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(Id(), unique=True)
    author_id: Mapped[str] = mapped_column(Id())
    job_id: Mapped[str | None] = mapped_column(Id(), unique=True)
    kind: Mapped[str | None] = mapped_column(Key(16))
    note: Mapped[str | None] = mapped_column(Name(NOTE_MAX))
    preview: Mapped[str | None] = mapped_column(Name(PREVIEW_MAX))
    size: Mapped[int] = mapped_column(Integer)
    content: Mapped[dict[str, Any]] = mapped_column(JsonDoc)
    created_ms: Mapped[int] = mapped_column(Millis)


class VersionResultRow(Base):
    """A version that somebody added speaks of what this job makes, which is kept as long as the version is.

    What a job adds itself names the job in its own row. There is no foreign key, as with jobs everywhere.
    """

    __tablename__ = "version_results"
    __table_args__ = (Index("ix_version_results_job", "job_id"),)

    project_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    job_id: Mapped[str] = mapped_column(Id(), primary_key=True)


class ProjectMemberRow(Base):
    """Someone who works on another's project. While the project is private, this says nothing."""

    __tablename__ = "project_members"
    __table_args__ = (CheckConstraint(_ROLE, name="role"), Index("ix_project_members_user", "user_id", "project_id"))

    project_id: Mapped[str] = mapped_column(Id(), ForeignKey("projects.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    role: Mapped[str] = mapped_column(Key(8))
    joined_ms: Mapped[int] = mapped_column(Millis)


class ProjectInvitationRow(Base):
    """An invitation, kept until it expires whatever becomes of it, so that nobody is told of it twice.

    address    as its owner wrote it, folded: an e-mail address, or @username
    user_id    who may answer it; NULL when nobody has that address, or has been invited by another already
    """

    __tablename__ = "project_invitations"
    __table_args__ = (
        CheckConstraint(_ROLE, name="role"),
        CheckConstraint("state IN ('open', 'declined', 'withdrawn')", name="state"),
        UniqueConstraint("project_id", "address"),
        UniqueConstraint("project_id", "user_id"),
        Index("ix_project_invitations_expires", "expires_ms"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    project_id: Mapped[str] = mapped_column(Id(), ForeignKey("projects.id"))
    address: Mapped[str] = mapped_column(Name(254))
    user_id: Mapped[str | None] = mapped_column(Id())
    role: Mapped[str] = mapped_column(Key(8))
    state: Mapped[str] = mapped_column(Key(12))
    created_ms: Mapped[int] = mapped_column(Millis)
    expires_ms: Mapped[int] = mapped_column(Millis)


class ProjectSaveRow(Base):
    """A job whose result is to become a version. `reason` is why it did not, once the job has completed without one.

    It has no foreign key: submitting would lock the project, after accounts, where settling locks it before them.
    """

    __tablename__ = "project_saves"
    __table_args__ = (Index("ix_project_saves_project", "project_id"),)

    job_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    project_id: Mapped[str] = mapped_column(Id())
    reason: Mapped[str | None] = mapped_column(Key(24))
    created_ms: Mapped[int] = mapped_column(Millis)


PROJECTS = cast("Table", ProjectRow.__table__)
VERSIONS = cast("Table", ProjectVersionRow.__table__)
VERSION_RESULTS = cast("Table", VersionResultRow.__table__)
MEMBERS = cast("Table", ProjectMemberRow.__table__)
INVITATIONS = cast("Table", ProjectInvitationRow.__table__)
SAVES = cast("Table", ProjectSaveRow.__table__)
