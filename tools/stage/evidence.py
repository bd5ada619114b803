"""What was sent and what was stored, read from files behind the back of those who sent and stored it.

An outbox forgets what was acknowledged. `swear_in` puts a witness into its file, a trigger and a table, which
writes every envelope down in the very transaction that commits it. Nothing here judges: `delivery` does.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from common.clock import SystemClock
from common.errors import Corrupt
from common.messages import MEASUREMENTS
from coordinator.repository.schema import unsigned
from edge_agent.share.outbox import Outbox
from edge_agent.share.outbox_rows import state_of

OUTBOX: Final = "outbox.db"
REPOSITORY: Final = "repository.db"

Key: TypeAlias = tuple[int, int]
"""Epoch and sequence."""

# Its own numbering, not the stream's: a sequence that is given out twice must be seen, not refused.
_WITNESS: Final = (
    "CREATE TABLE witness (number INTEGER PRIMARY KEY, sequence INTEGER, time REAL, kind TEXT, body BLOB)",
    "CREATE TRIGGER witnessed AFTER INSERT ON rows BEGIN INSERT INTO witness (sequence, time, kind, body)"
    " VALUES (new.sequence, new.time, new.kind, new.body); END",
)
_STORED: Final = "SELECT gateway, epoch, sequence, kind, t0, body FROM messages ORDER BY received, rowid"
# Kinds with a table of their own, which has one row for each message of that kind.
_DERIVED: Final = {"action": "actions", "configuration": "configurations"}
_KEYS: Final = "SELECT gateway, epoch, sequence FROM"


@dataclass(frozen=True, slots=True)
class Row:
    """One envelope, in an outbox or in the repository. `time` is Unix time."""

    epoch: int
    sequence: int
    time: float
    kind: str
    body: bytes

    @property
    def key(self) -> Key:
        """Its place in the gateway's streams."""
        return self.epoch, self.sequence

    @property
    def content(self) -> tuple[str, bytes, float | None]:
        """What it says. The repository keeps a measurement's own times instead of its envelope's."""
        return self.kind, self.body, None if self.kind in MEASUREMENTS else self.time


@dataclass(frozen=True, slots=True)
class Deposition:
    """An outbox file as its agent left it: `sent` since the file was made, `held` for want of an
    acknowledgement, both in order of commitment."""

    epoch: int
    acked: int
    head: int
    sent: tuple[Row, ...]
    held: frozenset[Key]


def swear_in(state: Path) -> None:
    """Make the outbox file in an agent's state folder, with a witness in it. Before the agent's first run."""
    Outbox(state / OUTBOX, SystemClock()).close()
    with closing(sqlite3.connect(state / OUTBOX)) as database:
        for statement in _WITNESS:
            database.execute(statement)
        database.commit()


def deposition(state: Path) -> Deposition:
    """What the outbox file of a dead agent says. Works on a copy, so that the agent finds it as it was.

    Raises Corrupt.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / OUTBOX
        for tail in ("", "-wal"):
            original = state / f"{OUTBOX}{tail}"
            if original.exists():
                shutil.copyfile(original, copy.with_name(original.name))
        with closing(sqlite3.connect(copy)) as database:
            return _deposition(database)


def _deposition(database: sqlite3.Connection) -> Deposition:
    found = database.execute("SELECT packed, crc FROM state").fetchone()
    state = state_of(*found) if found else None
    if state is None:
        raise Corrupt("the stream's position in an outbox file fails its check")
    sent = database.execute("SELECT sequence, time, kind, body FROM witness ORDER BY number")
    return Deposition(
        epoch=state.epoch,
        acked=state.acked,
        head=state.head,
        sent=tuple(Row(state.epoch, *row) for row in sent),
        held=frozenset((state.epoch, n) for (n,) in database.execute("SELECT sequence FROM rows")),
    )


def stored_rows(repository: Path) -> dict[str, list[Row]]:
    """Every envelope in a SQLite repository, by gateway, in order of storage.

    Raises Corrupt when a table that is derived from the envelopes has another number of rows.
    """
    rows: dict[str, list[Row]] = {}
    with closing(sqlite3.connect(repository)) as database:
        for kind, table in _DERIVED.items():
            _check_derived(database, kind, table)
        for gateway, epoch, sequence, kind, t0, body in database.execute(_STORED):
            rows.setdefault(gateway, []).append(Row(unsigned(epoch), sequence, t0, kind, body))
    return rows


def _check_derived(database: sqlite3.Connection, kind: str, table: str) -> None:
    told = database.execute(f"{_KEYS} messages WHERE kind = ?", (kind,)).fetchall()
    derived = database.execute(f"{_KEYS} {table}").fetchall()
    if sorted(told) != sorted(derived):
        raise Corrupt(f"{len(told)} messages of kind {kind}, {len(derived)} rows in {table}")
