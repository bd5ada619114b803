"""Opening the database, and the one place where its errors become ours.

SQLite runs with a write-ahead log and `synchronous=FULL`: whatever is committed, and therefore
acknowledged, survives a killed process and a power cut. Commits are grouped, so the flush to disk is rare.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from common.errors import Corrupt, MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from coordinator.repository import schema

_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# What SQLite also calls a file of which only the version in its header is damaged.
_BLAMED = frozenset({sqlite3.SQLITE_READONLY})


def connect(url: str) -> Engine:
    """Open the database at `url` and make its tables where there are none.

    Raises Misconfigured (bad URL, missing driver, newer schema), Corrupt, Unavailable.
    """
    engine = _engine(url)
    try:
        prepare(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def prepare(engine: Engine) -> None:
    """Make the tables where there are none. Raises Misconfigured (newer schema), Corrupt, Unavailable."""
    with translated(engine):
        _prepare(engine)


def damaged(engine: Engine, reason: object) -> Corrupt:
    """The error for a database file that cannot be trusted, with what to do."""
    path = engine.url.database
    return Corrupt(
        f"the repository {path} is damaged ({reason})\n  fix: stop the coordinator and move {path}, "
        f"{path}-wal and {path}-shm away; restore a copy, or start empty"
    )


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn the database's errors into Corrupt, Unavailable, or Rejected(INVALID): a value it cannot hold."""
    try:
        yield
    except (DataError, IntegrityError, OverflowError) as error:
        raise Rejected(RejectReason.INVALID, f"the database refuses a value: {error}"[:200]) from error
    except DBAPIError as error:
        raise _translation(engine, error) from error
    except SQLAlchemyError as error:
        raise Unavailable(f"the repository failed: {error}") from error


def _engine(url: str) -> Engine:
    try:
        kind = make_url(url).get_backend_name()
        # First of all: a driver that is missing is no news for a database that we do not know.
        if kind not in ("sqlite", "postgresql"):
            raise Misconfigured(f"repositories on {kind} are not supported", _URL_FIX)
        engine = create_engine(url, pool_pre_ping=kind != "sqlite")
    except ArgumentError as error:
        raise Misconfigured("the repository's URL cannot be read", _URL_FIX) from error
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise Misconfigured(f"the repository's database driver is missing: {error}", _DRIVER_FIX) from error
    if engine.dialect.name == "sqlite":
        database = engine.url.database
        event.listen(engine, "connect", lambda *_: _close_to_others(database))
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


_MODE = 0o600
_URL_FIX = "set [repository] url to sqlite:////absolute/path.db or postgresql+psycopg://user@host/name"
_DRIVER_FIX = "install it: pip install 'psycopg[binary]'"


def _close_to_others(database: str | None) -> None:
    """Take everybody's rights from the file, which SQLite makes as the umask says; its log is born with the
    file's mode. A group that was given rights keeps them."""
    for name in (database, f"{database}-wal", f"{database}-shm") if database else ():
        # Not ours, or not in a file: `mode=memory`.
        with suppress(OSError):
            mode = stat.S_IMODE(os.stat(name).st_mode)
            if mode & stat.S_IRWXO:
                os.chmod(name, _MODE)


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "cache_size=-16384"):
        connection.execute(f"PRAGMA {pragma}").close()


def _prepare(engine: Engine) -> None:
    with engine.begin() as connection:
        made = inspect(connection).has_table(schema.version.name)
        found = connection.execute(select(schema.version.c.version)).scalar() if made else None
        if found is None:
            # Also after being killed half-way: the number comes last.
            schema.metadata.create_all(connection)
            connection.execute(insert(schema.version).values(version=schema.SCHEMA))
            found = schema.SCHEMA
    if found != schema.SCHEMA:
        raise Misconfigured(
            f"the repository has schema {found}, this meshtwin knows {schema.SCHEMA}",
            "update meshtwin, or name another [repository] url",
        )


def _is_writable(engine: Engine) -> bool:
    path = engine.url.database
    return path is not None and os.access(path, os.W_OK) and os.access(os.path.dirname(path) or ".", os.W_OK)


def _translation(engine: Engine, error: DBAPIError) -> MeshtwinError:
    original: Any = error.orig
    code = getattr(original, "sqlite_errorcode", 0)
    if code & 0xFF in _CORRUPT or (code & 0xFF in _BLAMED and _is_writable(engine)):
        return damaged(engine, original)
    return Unavailable(f"the repository cannot be used now: {original}")
