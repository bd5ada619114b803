"""Whether an SQLite database is still the file that was opened.

A file that is removed or replaced stays open: everything would go on being committed and acknowledged, into a
file that no name leads to any more. So its name is looked at around every transaction.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from common.errors import Unavailable
from common.logs import get_logger
from coordinator.repository.database import damaged, prepare

_MAGIC: Final = b"SQLite format 3\0"

log = get_logger(__name__)


class Whereabouts:
    """Of the file below an engine; other databases are always where they were.

    Keeps a descriptor of the file of its own, and never closes it before the engine's connections: a process
    that closes any descriptor of a file loses all its locks on it (fcntl(2)), those of SQLite too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        name = engine.url.database if engine.dialect.name == "sqlite" else None
        self._path = Path(name) if name and name != ":memory:" else None
        self._descriptor = self._open()

    def settle(self) -> bool:
        """Before a transaction: turn to whatever has come in the file's place; true when something has.

        Raises as `database.connect` does.
        """
        if self._is_there():
            return False
        log.error("repository-replaced", path=self._path)
        self.close()
        prepare(self._engine)
        self._descriptor = self._open()
        return True

    def confirm(self) -> None:
        """After a transaction, before anybody relies on it: it is in the file that the next start will find.

        Raises Unavailable when it is not: it has to be done again. Corrupt when the file was overwritten.
        """
        if not self._is_there():
            raise Unavailable(f"the repository {self._path} was removed or replaced while in use")

    def close(self) -> None:
        """Release the database's connections, and then the file. Safe to call twice."""
        self._engine.dispose()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

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
        if self._descriptor is None:
            return False
        try:
            named, opened = os.stat(self._path), os.fstat(self._descriptor)
        except OSError:
            return False
        if not stat.S_ISREG(named.st_mode) or not os.path.samestat(named, opened):
            return False
        # Empty: nothing was moved from the log to the file yet.
        if os.pread(self._descriptor, len(_MAGIC), 0) not in (_MAGIC, b""):
            raise damaged(self._engine, "file is not a database")
        return True
