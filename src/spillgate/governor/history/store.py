"""A history in SQLite: its tables, one transaction for everything that is new, and what is read from it."""

import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from spillgate.governor.history import files
from spillgate.governor.history.memory import Batch
from spillgate.governor.history.model import KEPT_S, USAGES_KEPT_S, Delivery, Point, Usages, Wanted
from spillgate.governor.journal import Entry, Event

# How many entries of the journal, and how much text; ordinary ones have a few hundred bytes.
_MOST_ENTRIES, _MOST_ENTRIES_BYTES = 20_000, 16 << 20
_MOST_IN_MEMORY, _MOST_BYTES_IN_MEMORY = 5000, 4 << 20
_MOST_DELIVERIES = 1000

_MOST_ERROR_CHARS = 1000
_MOST_INTEGER = 2**63 - 1  # SQLite has no larger ones; a server's limit may be
_BUSY_S = 2.0
_PRUNE_EVERY_S = 60.0
_PRUNE_ENTRIES_EVERY = 500
_WAL_BYTES = 4 << 20
# This many free pages may wait to be used again before some are given back.
_FREE_PAGES = 256
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# Everything that makes a file ours comes in one transaction: a file that is begun is ours, or empty.
_SCHEMA = f"""
BEGIN;
PRAGMA application_id = {files.APPLICATION_ID};
PRAGMA user_version = {files.FORMAT};
CREATE TABLE points (
    resolution_s INTEGER NOT NULL, at_s INTEGER NOT NULL, used_bytes INTEGER, high_bytes INTEGER, level INTEGER,
    limit_bytes INTEGER, keys INTEGER, evicted_keys INTEGER, refused_writes INTEGER, PRIMARY KEY (resolution_s, at_s)
) WITHOUT ROWID;
CREATE TABLE usages (
    resolution_s INTEGER NOT NULL, at_s INTEGER NOT NULL, namespaces TEXT NOT NULL, PRIMARY KEY (resolution_s, at_s)
);
CREATE TABLE journal (
    number INTEGER PRIMARY KEY, at_s REAL NOT NULL, event TEXT NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY, at_s REAL NOT NULL, receiver TEXT NOT NULL, notice TEXT NOT NULL, kind TEXT NOT NULL,
    status TEXT NOT NULL, attempts INTEGER NOT NULL, error TEXT
);
COMMIT;
"""
# As `Point.updated_by` has it: writing a point twice changes nothing.
_PUT_POINT = """
INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (resolution_s, at_s) DO UPDATE SET
    used_bytes = coalesce(excluded.used_bytes, used_bytes),
    high_bytes = max(coalesce(excluded.high_bytes, high_bytes), coalesce(high_bytes, excluded.high_bytes)),
    level = max(coalesce(excluded.level, level), coalesce(level, excluded.level)),
    limit_bytes = coalesce(excluded.limit_bytes, limit_bytes),
    keys = coalesce(excluded.keys, keys),
    evicted_keys = max(coalesce(excluded.evicted_keys, evicted_keys), coalesce(evicted_keys, excluded.evicted_keys)),
    refused_writes =
        max(coalesce(excluded.refused_writes, refused_writes), coalesce(refused_writes, excluded.refused_writes))
"""
_GET_POINTS = """
SELECT at_s, used_bytes, high_bytes, level, limit_bytes, keys, evicted_keys, refused_writes FROM points
WHERE resolution_s = ? AND at_s BETWEEN ? AND ? ORDER BY at_s
"""
# The last number that has too many entries, or too much text, after it.
_PRUNE_JOURNAL = """
DELETE FROM journal WHERE number <= (
    SELECT coalesce(max(number), 0) FROM (
        SELECT number, row_number() OVER newer AS position, sum(length(message) + length(details)) OVER newer AS size
        FROM journal WINDOW newer AS (ORDER BY number DESC)
    ) WHERE position > ? OR size > ?
)
"""
_Namespaces = dict[str, tuple[int, int | None]]


def is_corrupt(error: BaseException) -> bool:
    """Whether an error says that the file is broken, which trying again will not mend."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _CORRUPT


class Store:
    """One open database, in a file or in memory. One thread writes, any may read.

    Methods raise sqlite3.Error.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file, or make it; it has been checked to be ours.

        Raises:
            OSError: it cannot be made.
        """
        self._path = path
        in_memory = (_MOST_IN_MEMORY, _MOST_BYTES_IN_MEMORY)
        self._most = in_memory if path is None else (_MOST_ENTRIES, _MOST_ENTRIES_BYTES)
        self.fresh = path is None or files.create(path)
        self._identity = files.identity(path) if path else None
        self._pruned_at_s: float | None = None
        self._entries = _PRUNE_ENTRIES_EVERY  # written since the journal was last counted
        self._writer = self._connect()
        try:
            self._prepare()
            self._reader = self._writer if path is None else self._connect()
            self._companions = files.companions(path) if path else {}
        except BaseException:
            self._writer.close()
            raise
        # In memory there is one connection, which one thread may use at a time.
        self._writing = threading.Lock()
        self._reading = self._writing if path is None else threading.Lock()

    def _connect(self) -> sqlite3.Connection:
        where = ":memory:" if self._path is None else str(self._path)
        return sqlite3.connect(where, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        if not self._writer.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._writer.executescript(_SCHEMA)
        self._writer.execute("PRAGMA journal_mode = WAL")
        # Safe against everything but a loss of power, which costs the last commits and breaks nothing.
        self._writer.execute("PRAGMA synchronous = NORMAL")
        self._writer.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")

    def close(self) -> None:
        """Close it; with the last connection SQLite tidies up beside the file."""
        gone = self.gone
        with self._reading:
            self._reader.close()
        with self._writing:
            self._writer.close()
        if gone:  # then SQLite does not, and what is left would be taken for another file's
            files.delete(self._companions)

    @property
    def gone(self) -> bool:
        """Whether the file is no longer where it was: what is written to it would be lost."""
        return self._path is not None and files.identity(self._path) != self._identity

    @property
    def damage(self) -> str | None:
        """What is wrong with the file, None where nothing is."""
        try:
            with self._reader_rows("PRAGMA quick_check(1)") as rows:
                found = str(next(rows)[0])
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            return str(error)
        return None if found == "ok" else found

    def copied(self) -> "Store":
        """All of it in memory."""
        copy = Store(None)
        copy.adopt(self)
        return copy

    def adopt(self, other: "Store") -> None:
        """Become what another store is, whatever is here."""
        with self._writing:
            other.pour(self._writer)
            self._writer.execute("PRAGMA journal_mode = WAL")

    def pour(self, into: sqlite3.Connection) -> None:
        """Make another database a copy of this one."""
        with self._reading:
            self._reader.backup(into)

    # Writing

    def write(self, batch: Batch, now_s: float) -> None:
        """All of it, or nothing; now and then let go of what is old, too."""
        entries = self._entries + len(batch.entries)
        due = self._pruned_at_s is None or not 0 <= now_s - self._pruned_at_s < _PRUNE_EVERY_S
        with self._writing, self._transaction() as db:
            _put(db, batch)
            if due:
                _prune(db, now_s)
            # Counting the journal takes some milliseconds.
            if entries >= _PRUNE_ENTRIES_EVERY:
                db.execute(_PRUNE_JOURNAL, self._most)
                entries = 0
        self._entries = entries
        if due:
            self._pruned_at_s = now_s
            self._give_back_pages()

    def _give_back_pages(self) -> None:
        with self._writing:
            [free] = self._writer.execute("PRAGMA freelist_count").fetchone()
            if free > _FREE_PAGES:
                self._writer.execute(f"PRAGMA incremental_vacuum({_FREE_PAGES})").fetchall()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    # Reading

    @contextmanager
    def _reader_rows(self, sql: str, values: Iterable[object] = ()) -> Generator[sqlite3.Cursor]:
        with self._reading, closing(self._reader.execute(sql, tuple(values))) as rows:
            yield rows

    def points(self, resolution_s: int, from_s: float, until_s: float) -> list[Point]:
        """The points that begin between the two, oldest first."""
        with self._reader_rows(_GET_POINTS, (resolution_s, from_s, until_s)) as rows:
            return [Point(*row) for row in rows]

    def last_point(self, resolution_s: int, until_s: float) -> Point | None:
        """The newest that begins no later than that."""
        sql = _GET_POINTS.replace("ORDER BY at_s", "ORDER BY at_s DESC LIMIT 1")
        with self._reader_rows(sql, (resolution_s, 0, until_s)) as rows:
            row = rows.fetchone()
        return Point(*row) if row else None

    def usages(self, resolution_s: int, from_s: float, until_s: float) -> list[Usages]:
        """What namespaces held, oldest first."""
        sql = "SELECT at_s, namespaces FROM usages WHERE resolution_s = ? AND at_s BETWEEN ? AND ? ORDER BY at_s"
        with self._reader_rows(sql, (resolution_s, from_s, until_s)) as rows:
            return [Usages(at_s, msgspec.json.decode(text, type=_Namespaces)) for at_s, text in rows]

    def entries(self, wanted: Wanted) -> list[Entry]:
        """Entries of the journal, newest first."""
        sql = "SELECT number, at_s, event, level, message, details FROM journal WHERE number > ? AND number < ?"
        before = wanted.before if wanted.before is not None else 1 << 62
        found: list[Entry] = []
        with self._reader_rows(sql + " ORDER BY number DESC", (wanted.after, before)) as rows:
            for number, at_s, event, level, message, details in rows:
                if len(found) >= wanted.limit:
                    break
                if wanted.has(number, event, level, message):
                    decoded = msgspec.json.decode(details, type=dict[str, object])
                    found.append(Entry(number, at_s, Event(event), level, message, decoded))
        return found

    def deliveries(self, limit: int) -> list[tuple[int, Delivery]]:
        """The newest, with their numbers, newest first."""
        with self._reader_rows("SELECT * FROM deliveries ORDER BY number DESC LIMIT ?", (limit,)) as rows:
            return [(number, Delivery(*rest)) for number, *rest in rows]

    def last_number(self, table: str) -> int:
        """The highest number in the table ``journal`` or ``deliveries``."""
        with self._reader_rows(f"SELECT coalesce(max(number), 0) FROM {table}") as rows:  # noqa: S608 - a name of ours
            return int(rows.fetchone()[0])


def _put(db: sqlite3.Connection, batch: Batch) -> None:
    db.executemany(_PUT_POINT, _point_rows(batch.points))
    db.executemany(
        "INSERT OR REPLACE INTO usages VALUES (?, ?, ?)",
        [
            (step_s, at_s, msgspec.json.encode(held).decode())
            for step_s, by_time in batch.usages.items()
            for at_s, held in by_time.items()
        ],
    )
    db.executemany(
        "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?, ?, ?)",
        [
            (one.number, one.at_unix_s, one.event.value, one.level, one.message, _json(one.details))
            for one in batch.entries.values()
        ],
    )
    db.executemany(
        "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (number, one.at_unix_s, one.receiver, one.key, one.kind, one.status, one.attempts, _clipped(one.error))
            for number, one in batch.deliveries.items()
        ],
    )
    if batch.deliveries:
        newest = max(batch.deliveries)
        db.execute("DELETE FROM deliveries WHERE number <= ?", (newest - _MOST_DELIVERIES,))


def _point_rows(points: Mapping[int, Mapping[int, Point]]) -> Iterator[tuple[int | float | None, ...]]:
    for step_s, by_time in points.items():
        for one in by_time.values():
            yield (
                step_s,
                one.at_s,
                _fitting(one.used_bytes),
                _fitting(one.high_bytes),
                one.level,
                _fitting(one.limit_bytes),
                _fitting(one.keys),
                _fitting(one.evicted_keys),
                _fitting(one.refused_writes),
            )


def _fitting(number: int | None) -> int | None:
    return None if number is None else max(-_MOST_INTEGER, min(_MOST_INTEGER, number))


def _json(details: Mapping[str, object]) -> str:
    return msgspec.json.encode(details, enc_hook=str).decode()


def _clipped(error: str | None) -> str | None:
    return error[:_MOST_ERROR_CHARS] if error else None


def _prune(db: sqlite3.Connection, now_s: float) -> None:
    # Only what is too much goes, what lies furthest from now first. A clock that is wrong once, ahead or behind, so
    # costs no more rows than were written by it.
    for table, kept in (("points", KEPT_S), ("usages", USAGES_KEPT_S)):
        for step_s, kept_s in kept.items():
            [rows] = db.execute(f"SELECT count(*) FROM {table} WHERE resolution_s = ?", (step_s,)).fetchone()  # noqa: S608 - names of ours
            if rows > (most := kept_s // step_s):
                db.execute(
                    f"DELETE FROM {table} WHERE resolution_s = ? AND at_s IN (SELECT at_s FROM {table} "  # noqa: S608 - as above
                    "WHERE resolution_s = ? ORDER BY abs(at_s - ?) DESC LIMIT ?)",
                    (step_s, step_s, now_s, rows - most),
                )
