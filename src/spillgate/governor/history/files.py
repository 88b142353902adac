"""The file of a history, apart from what is in it: whose it is, who has it, and where it goes when broken."""

import fcntl
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

APPLICATION_ID = 0x53504C47  # "SPLG": what file(1) and SQLite know the format by
FORMAT = 1

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_FORMAT_AT, _APPLICATION_AT = slice(60, 64), slice(68, 72)
# SQLite keeps these beside a database that is open, or was when its process was killed.
_COMPANIONS = ("", "-wal", "-shm")
_MOST_CORRUPT = 3


class UnusableError(Exception):
    """A file that cannot be used; the message says why and what to do."""


def check(path: Path) -> None:
    """Look at a file without changing it: whether a history may be opened, or made, there.

    Raises:
        UnusableError: it is not a history, or of a newer version.
        OSError: it cannot be read.
    """
    if not path.parent.is_dir():
        raise UnusableError(f"the folder {path.parent} does not exist: make it, or choose another file")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise UnusableError("it is not a plain file: choose another name")
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        return
    application = int.from_bytes(header[_APPLICATION_AT])
    if not header.startswith(_MAGIC) or application != APPLICATION_ID:
        raise UnusableError("it is not a history of Spillgate, and is left as it is: choose another file")
    if (written := int.from_bytes(header[_FORMAT_AT])) > FORMAT:
        raise UnusableError(
            f"a newer version of Spillgate wrote it (format {written}, this one knows {FORMAT}), and it is left as it "
            "is: use that version, or choose another file"
        )


def create(path: Path) -> bool:
    """Make an empty file that only its owner may read, unless there is one; whether there was none.

    Raises:
        OSError: it cannot be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return path.stat().st_size == 0
    return True


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another of the same name, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def companions(path: Path) -> dict[Path, tuple[int, int] | None]:
    """What SQLite keeps beside an open database, to be told from that of another."""
    return {one: identity(one) for companion in _COMPANIONS[1:] for one in (Path(f"{path}{companion}"),)}


def delete(found: Mapping[Path, tuple[int, int] | None]) -> None:
    """Delete these files, but none that has taken the place of one."""
    for path, known in found.items():
        if known is not None and identity(path) == known:
            path.unlink(missing_ok=True)


def move_aside(path: Path, now_s: float) -> Path:
    """Give a broken file another name, and keep the newest few of such; no connection to it may be open.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = _free_name(path, f"{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}")
    for companion in _COMPANIONS:
        source = Path(f"{path}{companion}")
        if source.exists():
            source.rename(f"{aside}{companion}")
    broken = sorted(
        one for one in path.parent.iterdir() if one.name.startswith(f"{path.name}.corrupt-") and one.name[-1] != "l"
    )
    for old in broken[:-_MOST_CORRUPT]:
        for companion in _COMPANIONS:
            Path(f"{old}{companion}").unlink(missing_ok=True)
    return aside


def _free_name(path: Path, when: str) -> Path:
    names = (path.with_name(f"{path.name}.corrupt-{when}{more}") for more in ("", *(f".{n}" for n in range(2, 1000))))
    return next(name for name in names if not name.exists())


class Claim:
    """One process's right to a history: a lock on a file beside it, which the system drops when the process ends."""

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            UnusableError: another process has it.
            OSError: the lock cannot be made.
        """
        self._path = path.with_name(f"{path.name}.lock")
        while True:
            self._fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
                os.close(self._fd)
                who = f"process {holder}" if holder else "another process"
                raise UnusableError(f"{who} is writing to it: give each governor a file of its own") from None
            if self.stands:
                break
            os.close(self._fd)  # who had it has just deleted it
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    @property
    def stands(self) -> bool:
        """Whether the lock is still the one that others would find."""
        mine = os.fstat(self._fd)
        return identity(self._path) == (mine.st_dev, mine.st_ino)

    def release(self) -> None:
        """Give it up."""
        if self.stands:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)
