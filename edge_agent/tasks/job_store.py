"""The jobs on disk: one SQLite file with the documents and what came of each task.

A submission and an end survive a power cut once they are told; a task's result survives the agent's death,
and a power cut at worst costs its repetition. Keys of the tables keep results from being there twice. Decides
nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from common.errors import Corrupt, Rejected, Unavailable
from common.taskgraph.wire import TaskResult

ENDED_KEPT: Final = 200
"""Jobs that have ended and are still told of."""

ATTEMPTS_A_LIFE: Final = 1000
"""Attempts of the agent's lives must not get the same numbers; their starts are not written down."""

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, name TEXT NOT NULL, document BLOB NOT NULL,"
    " state TEXT NOT NULL, submitted REAL NOT NULL, deadline REAL, priority INTEGER NOT NULL,"
    " lives INTEGER NOT NULL DEFAULT 0, ended REAL, reason TEXT NOT NULL DEFAULT '',"
    " late INTEGER NOT NULL DEFAULT 0, tasks INTEGER NOT NULL, promised REAL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS results (job TEXT NOT NULL, task TEXT NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (job, task)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS plans (job TEXT PRIMARY KEY, body BLOB NOT NULL)",
)
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA cache_size=-512",
    "PRAGMA cell_size_check=ON",
    "PRAGMA trusted_schema=OFF",
)
_COLUMNS: Final = (
    "id, name, state, submitted, deadline, priority, lives, ended, reason, late, tasks, promised"
)
_TROUBLE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
    }
)


class JobState(StrEnum):
    """How a job stands."""

    LIVE = "live"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job without its document. Times are wall-clock; `lives` counts how often it was taken up."""

    id: str
    name: str
    state: JobState
    submitted: float
    deadline: float | None
    priority: int
    lives: int = 0
    ended: float | None = None
    reason: str = ""
    late: bool = False
    tasks: int = 0
    promised_s: float | None = None
    """The finish that its first plan foretold, in seconds from its submission on."""

    @property
    def first_attempt(self) -> int:
        """The number from which this life's attempts count."""
        return self.lives * ATTEMPTS_A_LIFE + 1


class JobStore:
    """An open file of jobs. One thread at a time.

    Raises Corrupt when the file cannot be trusted: it was set aside then, and the next try starts clean.
    Raises Unavailable when the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: dict[str, int] = {}
        """Of jobs that are over: counting thousands again and again takes its time."""
        try:
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise Unavailable(f"{path} cannot be created: {error.strerror}") from error
        with _translated():
            self._database = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        self._database.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            with _translated():
                self._prepare()
        except Corrupt:
            self.close()
            _set_aside(path)
            raise
        except BaseException:
            self.close()
            raise

    def add(self, row: JobRow, document: bytes) -> bool:
        """Keep a new job; False when it is here already. Raises Unavailable or Corrupt."""
        with _translated(), self._durably():
            done = self._database.execute(
                "INSERT OR IGNORE INTO jobs (id, name, document, state, submitted, deadline, priority, tasks)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    row.id,
                    row.name,
                    document,
                    row.state.value,
                    row.submitted,
                    row.deadline,
                    row.priority,
                    row.tasks,
                ),
            )
            return done.rowcount == 1

    def record(self, result: TaskResult) -> bool:
        """Keep what a task gave; False when some is there, which stays. Raises Unavailable, Corrupt."""
        with _translated():
            done = self._database.execute(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?)", (result.job, result.task, result.pack())
            )
            return done.rowcount == 1

    def forget(self, job: str, task: str) -> None:
        """A task's outputs are lost: it has to run again."""
        with _translated():
            self._database.execute("DELETE FROM results WHERE job = ? AND task = ?", (job, task))

    def end(
        self, job: str, state: JobState, ended: float, reason: str = "", promised: float | None = None
    ) -> bool:
        """The job is over; False when it was already: its first end counts. Raises Unavailable, Corrupt."""
        with _translated(), self._durably():
            done = self._database.execute(
                "UPDATE jobs SET state = ?, ended = ?, reason = ?, promised = ?"
                " WHERE id = ? AND state = 'live'",
                (state.value, ended, reason[:2000], promised, job),
            )
            self._prune()
            return done.rowcount == 1

    def remove(self, job: str) -> None:
        """Forget a job altogether. Raises Unavailable, Corrupt."""
        with _translated(), self._durably():
            self._delete(job)

    def keep_plans(self, job: str, packed: bytes) -> None:
        """Replace what is known of a job's plans. Raises Unavailable, Corrupt."""
        with _translated():
            self._database.execute("INSERT OR REPLACE INTO plans VALUES (?, ?)", (job, packed))

    def plans(self, job: str) -> bytes | None:
        """What `keep_plans` was given last."""
        with _translated():
            found = self._database.execute("SELECT body FROM plans WHERE job = ?", (job,)).fetchone()
        return bytes(found[0]) if found is not None and isinstance(found[0], bytes) else None

    def mark_late(self, job: str) -> None:
        """Its deadline has passed."""
        with _translated():
            self._database.execute("UPDATE jobs SET late = 1 WHERE id = ?", (job,))

    def take_up(self, job: str) -> JobRow:
        """Note a new life of a job, before anything of it is started. Raises Unavailable, Corrupt."""
        with _translated(), self._durably():
            self._database.execute("UPDATE jobs SET lives = lives + 1 WHERE id = ?", (job,))
        row = self.row(job)
        assert row is not None
        return row

    def rows(self, live: bool = False) -> list[JobRow]:
        """Jobs, the newest first. Raises Unavailable, Corrupt."""
        where = "WHERE state = 'live' " if live else ""
        with _translated():
            found = self._database.execute(f"SELECT {_COLUMNS} FROM jobs {where}ORDER BY submitted DESC, id")
            return [_row(values) for values in found]

    def row(self, job: str) -> JobRow | None:
        """One job; None where it is not known."""
        with _translated():
            found = self._database.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job,)).fetchone()
        return None if found is None else _row(found)

    def document(self, job: str) -> bytes:
        """The job's graph, as it was stored. Raises Unavailable where there is no such job."""
        with _translated():
            found = self._database.execute("SELECT document FROM jobs WHERE id = ?", (job,)).fetchone()
        if found is None:
            raise Unavailable(f"there is no job {job}")
        return bytes(found[0])

    def results(self, job: str) -> dict[str, TaskResult]:
        """What is there of it, by task. A row that is none is left out, and its task repeated."""
        with _translated():
            found = self._database.execute("SELECT task, body FROM results WHERE job = ?", (job,)).fetchall()
        results: dict[str, TaskResult] = {}
        for task, body in found:
            with suppress(Rejected):
                results[task] = TaskResult.unpack(body)
        return results

    def done(self, row: JobRow) -> int:
        """How many tasks of a job have a result. Raises Unavailable, Corrupt."""
        if (known := self._done.get(row.id)) is not None:
            return known
        with _translated():
            found = self._database.execute("SELECT COUNT(*) FROM results WHERE job = ?", (row.id,)).fetchone()
        if row.state is not JobState.LIVE:
            self._done[row.id] = int(found[0])
        return int(found[0])

    def close(self) -> None:
        """Release the file; safe to call twice."""
        with suppress(sqlite3.Error):
            self._database.close()

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._database.execute(pragma).fetchall()
        if self._database.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise Corrupt("the file of jobs fails its integrity check")
        for statement in _SCHEMA:
            self._database.execute(statement)
        self._database.execute(f"SELECT {_COLUMNS}, document FROM jobs LIMIT 1").fetchall()
        self._database.execute("SELECT job, task, body FROM results LIMIT 1").fetchall()
        self._database.execute("SELECT job, body FROM plans LIMIT 1").fetchall()
        # A row that is none is found here, where the file can still be set aside.
        self.rows()

    def _prune(self) -> None:
        ended = "SELECT id FROM jobs WHERE state != 'live' ORDER BY ended DESC LIMIT -1 OFFSET ?"
        for (job,) in self._database.execute(ended, (ENDED_KEPT,)).fetchall():
            self._delete(job)

    def _delete(self, job: str) -> None:
        self._done.pop(job, None)
        for table, key in (("results", "job"), ("plans", "job"), ("jobs", "id")):
            self._database.execute(f"DELETE FROM {table} WHERE {key} = ?", (job,))

    @contextmanager
    def _durably(self) -> Iterator[None]:
        """One transaction that a power cut leaves whole once it is over."""
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        finally:
            self._database.execute("PRAGMA synchronous=NORMAL")


def open_store(path: Path) -> tuple[JobStore, bool]:
    """The store, and whether a damaged one was set aside for it. Raises Unavailable."""
    try:
        return JobStore(path), False
    except Corrupt:
        try:
            return JobStore(path), True
        except Corrupt as error:
            raise Unavailable(f"{path} cannot be replaced") from error


def _row(values: Sequence[Any]) -> JobRow:
    try:
        state = JobState(values[2])
    except ValueError as error:
        raise Corrupt(f"a job in state {values[2]!r}") from error
    job, name, _, submitted, deadline, priority, lives, ended, reason, late, tasks, promised = values
    return JobRow(
        job,
        name,
        state,
        submitted,
        deadline,
        priority,
        lives,
        ended,
        reason,
        late=bool(late),
        tasks=tasks,
        promised_s=promised,
    )


def _set_aside(path: Path) -> None:
    for tail in ("-wal", "-shm"):
        path.with_name(path.name + tail).unlink(missing_ok=True)
    with suppress(OSError):
        path.replace(path.with_name(path.name + ".corrupt"))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        raise (Unavailable if code in _TROUBLE else Corrupt)(f"jobs: {error}") from error
