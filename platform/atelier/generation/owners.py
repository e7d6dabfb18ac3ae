"""Who holds a claimed job: the process, for those who look for it, and a number that no other claim has."""

from atelier.kernel.ids import new_id

OWNER_CHARS = 80  # as wide as the column, which MariaDB writes nothing longer into
MARK = "~"


def owner(process: str) -> str:
    """A new owner that fits its column, whatever the process is called.

    A host's name may have 64 characters in any script. Of one that is too long the middle goes: what tells a pod from
    its siblings stands at the end, and so does the number of the process.
    """
    claim = new_id()
    return f"{_shortened(process, OWNER_CHARS - len(claim) - 1)}:{claim}"


def _shortened(name: str, chars_max: int) -> str:
    plain = name.encode("ascii", "replace").decode("ascii")
    if len(plain) <= chars_max:
        return plain
    kept = chars_max - len(MARK)
    return f"{plain[: kept // 2]}{MARK}{plain[kept // 2 - kept :]}"
