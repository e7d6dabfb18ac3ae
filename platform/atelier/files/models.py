"""Tables of files. The bytes are in the storage; a row is written after them and deleted after them."""

from typing import cast

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, Table
from sqlalchemy.orm import Mapped, mapped_column

from atelier.files.names import NAME_MAX
from atelier.kernel.columns import Id, Key, Millis, Name
from atelier.kernel.database import Base

KEY_MAX = 100

UPLOAD = "upload"
AVATAR = "avatar"
ICON = "icon"
PUBLIC = frozenset({AVATAR, ICON})

PENDING = "pending"
CHECKING = "checking"
READY = "ready"
REFUSED = "refused"
REMOVING = "removing"


class FileRow(Base):
    """One file of a user. `key` is where its bytes are, or are expected; nobody else is told.

    pending    a direct upload that was announced; it may be sent until `due_ms`
    checking   it has arrived, and a worker looks at it; another may from `due_ms` on
    ready      it may be read
    refused    it was not what it should be: `refusal` says why
    removing   it is deleted for everyone; its bytes are still to be
    """

    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint("kind IN ('upload', 'avatar', 'icon')", name="kind"),
        CheckConstraint("state IN ('pending', 'checking', 'ready', 'refused', 'removing')", name="state"),
        CheckConstraint("size >= 0", name="size"),
        Index("ix_files_owner", "owner_id", "kind", "state", "id"),
        Index("ix_files_due", "state", "due_ms"),
    )

    id: Mapped[str] = mapped_column(Id(), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Id())
    kind: Mapped[str] = mapped_column(Key(16))
    state: Mapped[str] = mapped_column(Key(16))
    name: Mapped[str] = mapped_column(Name(NAME_MAX))
    type: Mapped[str] = mapped_column(Key(40))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(Key(64))
    key: Mapped[str] = mapped_column(Key(KEY_MAX), unique=True)
    refusal: Mapped[str | None] = mapped_column(Key(40))
    tries: Mapped[int] = mapped_column(Integer, default=0)
    due_ms: Mapped[int | None] = mapped_column(Millis)
    created_ms: Mapped[int] = mapped_column(Millis)


class FileUsage(Base):
    """How much a user keeps, what is announced included. Counted in the transactions that change it."""

    __tablename__ = "file_usage"
    __table_args__ = (CheckConstraint("files >= 0 AND bytes >= 0", name="counts"),)

    user_id: Mapped[str] = mapped_column(Id(), primary_key=True)
    files: Mapped[int] = mapped_column(Integer)
    bytes: Mapped[int] = mapped_column(BigInteger)


class FileSweep(Base):
    """Up to where a folder of the storage was searched for what belongs to nobody."""

    __tablename__ = "file_sweeps"

    folder: Mapped[str] = mapped_column(Key(16), primary_key=True)
    after: Mapped[str] = mapped_column(Key(KEY_MAX))


FILES = cast("Table", FileRow.__table__)
USAGE = cast("Table", FileUsage.__table__)
SWEEPS = cast("Table", FileSweep.__table__)
