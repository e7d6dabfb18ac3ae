"""Agent packages: a manifest in JSON or YAML, alone or in a zip archive with an icon and examples.

Nothing is ever unpacked to a disk, and nothing is read beyond its limit, however small it was packed.

    manifest.json | manifest.yaml | manifest.yml      what POST /api/agents takes
    icon.png | .jpg | .jpeg | .webp | .gif
    examples/<name>.json | .yaml | .yml               one example each, after those of the manifest
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from atelier.catalog import yaml_documents
from atelier.kernel.errors import Invalid

PACKAGE_BYTES_MAX: Final = 5 * 1024 * 1024
MANIFEST_BYTES_MAX: Final = 256 * 1024
EXAMPLE_BYTES_MAX: Final = 32 * 1024
ICON_BYTES_MAX: Final = 2 * 1024 * 1024
MEMBERS_MAX: Final = 64
ZIP_HEAD: Final = b"PK\x03\x04"
PACKED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

_MANIFEST: Final = re.compile(r"manifest\.(json|ya?ml)")
_ICON: Final = re.compile(r"icon\.(png|jpe?g|webp|gif)")
_EXAMPLE: Final = re.compile(r"examples/[^/]{1,100}\.(json|ya?ml)")
# What file managers add by themselves.
_LITTER: Final = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
_ENCRYPTED: Final = 0x1
# What the library raises for damaged archives; IndexError is for a file without a name.
_BROKEN: Final = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error),
    *(NotImplementedError, EOFError, ValueError, IndexError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a package holds. `examples` are by the names of their files; `manifest_name` is that of the manifest."""

    manifest_name: str
    manifest: Mapping[str, Any]
    examples: Mapping[str, Any] = field(default_factory=dict[str, Any])
    icon_name: str | None = None
    icon: bytes = field(default=b"", repr=False)


def read(file: BinaryIO, *, name: str) -> Package:
    """The package in a file that someone called `name`. Raises Invalid, with the name of the member at fault."""
    file.seek(0)
    head = file.read(len(ZIP_HEAD))
    if head == ZIP_HEAD:
        return _archive(file)
    file.seek(0)
    manifest_name = "manifest.json" if head.lstrip()[:1] == b"{" or name.endswith(".json") else "manifest.yaml"
    return Package(manifest_name=manifest_name, manifest=_document(manifest_name, file.read(MANIFEST_BYTES_MAX + 1)))


def _archive(file: BinaryIO) -> Package:
    try:
        with zipfile.ZipFile(file) as archive:
            return _members(archive, dict(_safe(archive)))
    except _BROKEN as error:
        raise _wrong("package", "package_broken", "Not a zip archive that can be read.") from error


def _safe(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The files in the archive by their names, without the one folder that everything may be in."""
    files = [one for one in archive.infolist() if not one.is_dir() and not _LITTER.search(one.filename)]
    if len(files) > MEMBERS_MAX:
        raise _wrong("package", "too_long", "Too many files.", max_length=MEMBERS_MAX)
    for one in files:
        if not _is_safe(one):
            raise _wrong(one.filename[:100], "package_unsafe", "Not a plain file with a plain name.")
    tops = {one.filename.partition("/")[0] for one in files}
    folder = f"{tops.pop()}/" if len(tops) == 1 and all("/" in one.filename for one in files) else ""
    seen: set[str] = set()
    for one in files:
        name = one.filename.removeprefix(folder)
        if name in seen:
            raise _wrong(name[:100], "package_duplicate", "Twice in the package.")
        seen.add(name)
        yield name, one


def _is_safe(one: zipfile.ZipInfo) -> bool:
    """Whether it is a file that stays in its place, packed in a way whose cost is known, and readable by everyone."""
    parts = one.filename.split("/")
    plain = not any(part in {"", ".", ".."} for part in parts) and not re.search(r"[\\:\x00-\x1f]", one.filename)
    mode = one.external_attr >> 16
    is_file = not mode or stat.S_IFMT(mode) in {0, stat.S_IFREG}
    return plain and is_file and one.compress_type in PACKED and not one.flag_bits & _ENCRYPTED


def _members(archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo]) -> Package:
    for name in files:
        if not any(known.fullmatch(name) for known in (_MANIFEST, _ICON, _EXAMPLE)):
            raise _wrong(name[:100], "extra_forbidden", "Not a part of a package.")
    manifest_name = _only(files, _MANIFEST)
    if manifest_name is None:
        raise _wrong("manifest", "missing", "Required.")
    icon_name = _only(files, _ICON)
    examples = sorted(name for name in files if _EXAMPLE.fullmatch(name))

    def unpacked(name: str, limit: int) -> bytes:
        with archive.open(files[name]) as member:
            return member.read(limit + 1)

    return Package(
        manifest_name=manifest_name,
        manifest=_document(manifest_name, unpacked(manifest_name, MANIFEST_BYTES_MAX)),
        examples={name: _document(name, unpacked(name, EXAMPLE_BYTES_MAX), EXAMPLE_BYTES_MAX) for name in examples},
        icon_name=icon_name,
        icon=_bounded(icon_name, unpacked(icon_name, ICON_BYTES_MAX), ICON_BYTES_MAX) if icon_name else b"",
    )


def _only(files: Mapping[str, zipfile.ZipInfo], kind: re.Pattern[str]) -> str | None:
    found = sorted(name for name in files if kind.fullmatch(name))
    if len(found) > 1:
        raise _wrong(found[1], "package_duplicate", "Twice in the package.")
    return found[0] if found else None


def _document(name: str, raw: bytes, limit: int = MANIFEST_BYTES_MAX) -> dict[str, Any]:
    _bounded(name, raw, limit)
    try:
        document: Any = from_json(raw, allow_inf_nan=False) if name.endswith(".json") else yaml_documents.load(raw)
    except ValueError as error:
        code = "json_invalid" if name.endswith(".json") else "yaml_invalid"
        raise _wrong(name, code, "Can't be read.") from error
    if document.__class__ is not dict:  # Both readers make exactly this type.
        raise _wrong(name, "dict_type", "Not an object.")
    found: dict[str, Any] = document
    return found


def _bounded(name: str, raw: bytes, limit: int) -> bytes:
    if len(raw) > limit:
        raise _wrong(name, "json_too_large", "Too large.", bytes_max=limit)
    return raw


def _wrong(name: str, code: str, message: str, **context: Any) -> Invalid:
    return Invalid([{"path": [name], "message": message, "code": code, "context": context}])
