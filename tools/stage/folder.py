"""The demo's folder: held by a lock that the kernel frees at any death, so that the next demo can tell which
folders were left by one that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = "meshtwin-demo-"
SETTLED_S: Final = 600.0
"""A younger folder is let be: its demo may be about to take the lock."""


@contextmanager
def demo_folder() -> Iterator[Path]:
    """A new folder, removed at the end; those of dead demos of this user are removed at the beginning."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_abandoned(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    # Not inherited: what a killed demo started may live on for a moment.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder of ours that nobody holds."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # Not a folder, not ours to open, or just removed.
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(lock)
        if found.st_uid == os.geteuid() and time.time() - found.st_mtime > SETTLED_S:
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        # Another demo is being played.
        pass
    finally:
        os.close(lock)
