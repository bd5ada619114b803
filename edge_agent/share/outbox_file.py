"""The outbox on disk: one SQLite file with rows, tombstones and the stream's position.

Knows how to write a batch in one transaction, to read a stretch without holes whatever the disk did to it,
and to name a file that cannot be trusted. Decides nothing about sizes, ages or resending: `outbox` does.

Durability: WAL with synchronous=NORMAL, so a commit survives the death of the process, and a power failure
only once a checkpoint followed. `State.reserved` bounds what a power failure can make ambiguous.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from common.errors import Corrupt, Unavailable
from edge_agent.share import outbox_rows as layout
from edge_agent.share.outbox_rows import ROW_OVERHEAD_BYTES, SCHEMA, TELEMETRY, Entry, State, Usage
from edge_agent.share.tombstones import Tombstone

IN_MEMORY: Final = ":memory:"
MAX_SEQUENCE: Final = 2**63 - 1

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA wal_autocheckpoint=0",
    "PRAGMA cache_size=-512",
    "PRAGMA cell_size_check=ON",
    "PRAGMA trusted_schema=OFF",
)
# Without GROUP BY, which would carry every body through a sorter only to measure it.
_USAGE = (
    f"SELECT count(*), total(length(body)), total({TELEMETRY}), total(iif({TELEMETRY}, length(body), 0))"
    " FROM rows WHERE sequence <= ?"
)
_OLDEST = f"SELECT sequence, time, kind, body FROM rows WHERE sequence > ? AND {TELEMETRY}"
_ROWS = "SELECT sequence, time, kind, body, crc FROM rows WHERE sequence > ? ORDER BY sequence LIMIT ?"
_TOMBSTONES = "SELECT first, last, kind, rows, cause, time, crc FROM tombstones WHERE "
# Errors of the machine. Every other one means that the file cannot be trusted.
_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
    }
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction changes. `evicted` rows make room and are covered by `tombstones`."""

    state: State
    rows: Sequence[Entry] = ()
    tombstones: Sequence[Tombstone] = ()
    evicted: Sequence[int] = ()


class OutboxFile:
    """An open outbox file. One thread at a time; `checkpoint` may be called from another."""

    def __init__(self, path: Path | str, fresh: State) -> None:
        """Open or create the file; `fresh` is the state of a new one.

        Raises Corrupt when it cannot be trusted, Unavailable when the disk refuses.
        """
        self.path = path
        self._closing = threading.Lock()
        existed = path != IN_MEMORY and Path(path).exists()
        if path != IN_MEMORY and not existed:
            _create_private(Path(path))
        self._database = _connect(path)
        try:
            with _translated():
                self.state = self._prepare(fresh, existed)
        except Unavailable as error:
            self._give_up(existed)
            raise _blame_header(error, path) from error
        except BaseException:
            self._give_up(existed)
            raise

    def _give_up(self, existed: bool) -> None:
        if self.path != IN_MEMORY and not existed:
            # Half made, it would be taken for a damaged one.
            self.discard()
        else:
            self._database.close()

    def write(self, batch: Batch) -> None:
        """Change everything in `batch` or nothing. Raises Unavailable or Corrupt."""
        with _translated(), self._transaction():
            if batch.evicted:
                self._many("DELETE FROM rows WHERE sequence = ?", [(s,) for s in batch.evicted])
            if batch.rows:
                self._many("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", list(map(layout.row_of, batch.rows)))
            for tombstone in batch.tombstones:
                self._bury(tombstone)
            if batch.state.acked > self.state.acked:
                self._forget(batch.state.acked)
            self._save(batch.state)
        self.state = batch.state

    def read(self, after: int, limit: int) -> list[Entry]:
        """The next `limit` entries after sequence `after`, without holes up to the head.

        What is missing or fails its check is told as a tombstone. Raises Unavailable or Corrupt.
        """
        with _translated():
            rows = {row[0]: row for row in self._run(_ROWS, after, limit)}
            stones = self._tombstones("last > ? ORDER BY first LIMIT ?", after, limit)
        entries: list[Entry] = []
        for number in range(after + 1, min(after + limit, self.state.head) + 1):
            near = entries[-1].time if entries else 0.0
            entries.append(layout.told(number, rows.get(number), stones) or layout.lost(number, near))
        return entries

    def held(self, after: int) -> tuple[list[Entry], list[Tombstone]]:
        """Every intact row after sequence `after`, and the tombstones. Raises Unavailable or Corrupt."""
        with _translated():
            entries = [layout.entry_of(row) for row in self._run(_ROWS, after, MAX_SEQUENCE)]
            return [entry for entry in entries if entry is not None], self._tombstones("last > ?", after)

    def oldest_telemetry(self, after: int, limit: int) -> list[Entry]:
        """Raw telemetry with the lowest sequences after `after`, unchecked. Raises Unavailable or Corrupt."""
        with _translated():
            return [Entry(*row) for row in self._run(f"{_OLDEST} ORDER BY sequence LIMIT ?", after, limit)]

    def usage(self, until: int = MAX_SEQUENCE) -> Usage:
        """Bytes held by rows up to sequence `until`. Raises Unavailable or Corrupt."""
        with _translated():
            ((count, size, raw_count, raw_size),) = self._run(_USAGE, until)
        telemetry = int(raw_size + raw_count * ROW_OVERHEAD_BYTES)
        return Usage(telemetry, int(size + count * ROW_OVERHEAD_BYTES) - telemetry)

    def checkpoint(self) -> None:
        """Make every commit so far survive a power failure. Safe from another thread; may take long.

        Raises Unavailable or Corrupt.
        """
        if self.path == IN_MEMORY:
            return
        with self._closing, _translated():
            database = _connect(self.path)
            try:
                database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.OperationalError as error:
                # The log is synced before the database file grows: durable even on a full disk.
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
            finally:
                database.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        with self._closing, suppress(sqlite3.Error):
            self._database.close()

    def discard(self) -> None:
        """Close the file and remove it."""
        self.close()
        with suppress(OSError):
            Path(self.path).unlink(missing_ok=True)

    def _prepare(self, fresh: State, existed: bool) -> State:
        for pragma in _PRAGMAS:
            self._run(pragma)
        if (verdict := self._run("PRAGMA quick_check(1)")) != [("ok",)]:
            raise Corrupt(f"integrity check: {verdict[0][0] if verdict else 'no verdict'}")
        if existed and not self._run("SELECT name FROM sqlite_master WHERE name = 'state'"):
            raise Corrupt("the file holds no outbox")
        state = self._load() if existed else fresh
        try:
            with self._transaction():
                for statement in SCHEMA:
                    self._run(statement)
                # Also proves that the file can be written, before anybody relies on it.
                self._save(state)
        except sqlite3.OperationalError as error:
            # On a full disk, what an existing file holds can still be read and sent.
            if not existed or error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
        return state

    def _load(self) -> State:
        found = self._run("SELECT packed, crc FROM state WHERE one = 1")
        state = layout.state_of(*found[0]) if found else None
        if state is None:
            raise Corrupt("the stream's position fails its check")
        return state

    def _save(self, state: State) -> None:
        self._run("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", *state.packed())

    def _bury(self, tombstone: Tombstone) -> None:
        before = self._tombstones("first < ? ORDER BY first DESC LIMIT 1", tombstone.first)
        if before and before[0].joins(tombstone):
            tombstone = before[0].joined(tombstone)
        self._carve(tombstone)

    def _forget(self, acked: int) -> None:
        self._run("DELETE FROM rows WHERE sequence <= ?", acked)
        cut = self._tombstones("first <= ? AND last > ?", acked, acked)
        self._run("DELETE FROM tombstones WHERE first <= ?", acked)
        for rest in filter(None, (tombstone.after(acked) for tombstone in cut)):
            self._carve(rest)

    def _carve(self, tombstone: Tombstone) -> None:
        values = layout.carved(tombstone)
        self._run("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?, ?, ?, ?, ?)", *values)

    def _tombstones(self, condition: str, *values: int) -> list[Tombstone]:
        found = map(layout.tombstone_of, self._run(_TOMBSTONES + condition, *values))
        return [tombstone for tombstone in found if tombstone is not None]

    def _run(self, statement: str, *values: object) -> list[Any]:
        return self._database.execute(statement, values).fetchall()

    def _many(self, statement: str, values: Sequence[tuple[object, ...]]) -> None:
        self._database.executemany(statement, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            # A full disk may have rolled back by itself.
            if self._database.in_transaction:
                self._run("ROLLBACK")
            raise


def _create_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        # A log without its database belongs to a file that is gone; SQLite must not replay it.
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"{path} cannot be created: {error.strerror}") from error


def _connect(path: Path | str) -> sqlite3.Connection:
    with _translated():
        database = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    # A flipped byte in a text column must reach the CRC instead of failing as bad UTF-8.
    database.text_factory = _text
    return database


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        raise (Unavailable if code in _TROUBLE else Corrupt)(f"outbox: {error}") from error


def _blame_header(error: Unavailable, path: Path | str) -> Unavailable | Corrupt:
    """SQLite calls a file with a damaged version byte read-only, or not to be opened."""
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) and os.access(path, os.R_OK | os.W_OK):
        return Corrupt(str(error))
    return error
