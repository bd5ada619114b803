"""Whether an SQLite database is still the file that was opened.

A file that is removed or replaced stays open: everything would go on being committed and acknowledged, into a
file that no name leads to any more. So its name is looked at around every transaction.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Pool, event

from common.errors import Unavailable
from common.logs import get_logger
from coordinator.repository.database import damaged, prepare

_MAGIC: Final = b"SQLite format 3\0"
_READ_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.02

log = get_logger(__name__)


class Whereabouts:
    """Of the file below an engine; other databases are always where they were.

    Keeps a descriptor of the file of its own, and never closes it before the engine's connections: a process
    that closes any descriptor of a file loses all its locks on it (fcntl(2)), those of SQLite too.

    The write-ahead log belongs to whatever has its name: a connection that opened what came in the file's
    place would play the old file's log into it. SQLite leaves the log of a file that was moved away. So new
    connections fail until every old one is closed and its log is gone.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        name = engine.url.database if engine.dialect.name == "sqlite" else None
        self._path = Path(name) if name and name != ":memory:" else None
        self._left: list[Pool] = []
        self._connections = 0
        self._logs: dict[Path, os.stat_result] = {}
        self._turning = threading.Lock()
        self._preparing: int | None = None
        self._descriptor = self._open()
        if self._path is not None:
            engine.dispose()
            event.listen(engine, "do_connect", self._connect)
            event.listen(engine, "close", self._note_closed)

    def settle(self) -> bool:
        """Before a transaction: turn to whatever has come in the file's place; true when something has.

        Raises as `database.connect` does, and Unavailable while somebody still reads the old file.
        """
        if self._is_there():
            return False
        if self._descriptor is not None:
            log.error("repository-replaced", path=self._path)
        self.close()
        self._wait_for_readers()
        self._put_logs_aside()
        self._prepare()
        return True

    def confirm(self) -> None:
        """After a transaction, before anybody relies on it: it is in the file that the next start will find.

        Raises Unavailable when it is not: it has to be done again. Corrupt when the file was overwritten.
        """
        if not self._is_there():
            raise Unavailable(f"the repository {self._path} was removed or replaced while in use")
        if self._path is not None and not self._logs:
            self._logs = dict(_files(self._path))

    def close(self) -> None:
        """Release the database's connections, and then the file. Safe to call twice."""
        self._left.append(self._engine.pool)
        self._engine.dispose()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _wait_for_readers(self) -> None:
        """Close the connections that were in use as soon as they come back."""
        deadline = time.monotonic() + _READ_WITHIN_S
        while self._connections > 0:
            if time.monotonic() > deadline:
                raise Unavailable(f"the repository {self._path} was replaced, and is still being read")
            time.sleep(_LOOK_EVERY_S)
            for pool in self._left:
                pool.dispose()
        self._left.clear()

    def _put_logs_aside(self) -> None:
        """Those that the old file had, for whoever has it; not what came together with the new one."""
        assert self._path is not None
        for path, found in _files(self._path):
            if path in self._logs and os.path.samestat(found, self._logs[path]):
                path.replace(path.with_name(f"{path.name}.replaced"))
        self._logs = {}

    def _prepare(self) -> None:
        """Take what is there now for the database. Others connect once it is prepared."""
        self._preparing = threading.get_ident()
        try:
            prepare(self._engine)
            self._descriptor = self._open()
        finally:
            self._preparing = None

    def _connect(self, dialect: Any, _: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        with self._turning:
            ours = self._preparing == threading.get_ident()
            if not ours and not self._is_named():
                raise sqlite3.OperationalError("the file was removed or replaced while in use")
            connection = dialect.connect(*arguments, **options)
            self._connections += 1
            return connection

    def _note_closed(self, *_: Any) -> None:
        with self._turning:
            self._connections -= 1

    def _open(self) -> int | None:
        if self._path is None:
            return None
        try:
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"the repository {self._path} cannot be opened: {error.strerror}") from error

    def _is_there(self) -> bool:
        """Whether the path leads to the open file, and that to a database. Raises Corrupt."""
        if self._path is None:
            return True
        if self._descriptor is None or not self._is_named():
            return False
        # Empty: nothing was moved from the log to the file yet.
        if os.pread(self._descriptor, len(_MAGIC), 0) not in (_MAGIC, b""):
            raise damaged(self._engine, "file is not a database")
        return True

    def _is_named(self) -> bool:
        """Whether there is an open file, and the path leads to it."""
        if self._path is None or self._descriptor is None:
            return False
        try:
            named, opened = os.stat(self._path), os.fstat(self._descriptor)
        except OSError:
            return False
        return stat.S_ISREG(named.st_mode) and os.path.samestat(named, opened)


def _files(database: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The log and its index, where they are."""
    for tail in ("-wal", "-shm"):
        path = database.with_name(database.name + tail)
        with suppress(OSError):
            yield path, path.stat()
