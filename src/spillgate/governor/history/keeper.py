"""The store behind a history: opened, and opened again when the file is broken, full or gone."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from spillgate.governor.history.files import Claim, UnusableError, check, move_aside
from spillgate.governor.history.memory import Batch
from spillgate.governor.history.model import Notice
from spillgate.governor.history.store import Store, is_corrupt

# With these the connection is as good as before: there is no room, or somebody else writes.
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY}

T = TypeVar("T")


class Keeper:
    """One thread writes, any may read. ``tell`` is called with what it has to tell.

    A file that is broken is given another name, and a new one begun. One that was deleted under our hands is written
    anew, from what its open connection still has; its folder is not made again, for that may be a disk that is away.
    """

    def __init__(self, path: Path | None, now_s: float, tell: Callable[[Notice], None]) -> None:
        """Open; without a path everything stays in memory.

        Raises:
            UnusableError: the file cannot be used.
        """
        self._tell = tell
        self._path = path.resolve() if path else None
        self._claim: Claim | None = None
        self._doubted: BaseException | None = None
        self._rescued: Store | None = None
        try:
            self._store: Store | None = self._open(now_s)
        except (sqlite3.Error, OSError, UnusableError) as error:
            self._release()
            raise UnusableError(reason(error)) from error

    def close(self) -> None:
        """Close the file and give it up; reading finds nothing afterwards."""
        for store in (self._store, self._rescued):
            if store is not None:
                with suppress(sqlite3.Error):
                    store.close()
        self._store = self._rescued = None
        self._release()

    def read(self, question: Callable[[Store], T], nothing: T) -> T:
        """The answer of the store, ``nothing`` where it has none; what is wrong then shows at the next write."""
        store = self._store or self._rescued
        if store is None:
            return nothing
        try:
            return question(store)
        except sqlite3.ProgrammingError:  # it was closed just now
            return nothing
        except sqlite3.Error as error:
            self._doubted = self._doubted or error
            return nothing

    def write(self, batch: Batch, now_s: float) -> None:
        """Write everything, or nothing.

        Raises:
            UnusableError: it could not be written, and may be tried again.
        """
        try:
            store = self._sound_store(now_s)
            store.write(batch, now_s)
        except (sqlite3.Error, OSError, UnusableError) as error:
            self._doubted = error
            raise UnusableError(reason(error)) from error
        self._doubted = None

    def _sound_store(self, now_s: float) -> Store:
        """The store, after it was seen to in case of doubt."""
        store = self._store
        if store is not None and store.gone:
            self._rescue(store)
        elif store is not None and self._doubted is not None and not _passes(self._doubted):
            self._drop(store)
        if self._store is None:
            self._store = self._open(now_s)
            self._doubted = None
        return self._store

    def _rescue(self, store: Store) -> None:
        """The file is gone, its connection still reads it: keep what it has."""
        # A connection that closes deletes what stands beside a file of its name, so it must be closed before another
        # opens a new one there.
        with suppress(sqlite3.Error):
            self._rescued = store.copied()
        self._drop(store)

    def _drop(self, store: Store) -> None:
        self._store = None
        with suppress(sqlite3.Error):
            store.close()

    def _open(self, now_s: float) -> Store:
        if self._path is None:
            return Store(None)
        check(self._path)
        if self._claim is not None and not self._claim.stands:
            self._release()
        self._claim = self._claim or Claim(self._path)
        store = self._undamaged(self._path, now_s)
        if self._rescued is not None:
            rescued, self._rescued = self._rescued, None
            try:
                if store.fresh:
                    store.adopt(rescued)
            except sqlite3.Error:
                self._rescued = rescued
                store.close()
                raise
            rescued.close()
        return store

    def _undamaged(self, path: Path, now_s: float) -> Store:
        """The store at ``path``; a broken one is moved aside."""
        try:
            store = Store(path)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            damage = str(error)
        else:
            try:
                damage = store.damage
            except sqlite3.Error:
                store.close()
                raise
            if damage is None:
                return store
            store.close()
        aside = move_aside(path, now_s)
        message = f"the history {path.name} is broken ({damage}): it is now {aside.name}, and a new one begins"
        self._tell(Notice(grave=True, message=message))
        return Store(path)

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None


def _passes(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _PASSING


def reason(error: BaseException) -> str:
    """Why a file could not be used, without its name."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
