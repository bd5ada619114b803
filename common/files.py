"""Files that only their owner reads and that no crash leaves half written."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import Misconfigured

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


def make_folder(path: Path) -> Path:
    """Create `path` and its parents, or tighten an existing one, to mode 0700. Raises Misconfigured.

    For folders of our own; one that somebody named is for `claim_folder`.
    """
    try:
        path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        path.chmod(_FOLDER_MODE)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be made: {error.strerror}", "name another folder, or one that you own"
        ) from error
    return path


def claim_folder(path: Path, mark: str) -> Path:
    """Make `path` a folder of ours, mode 0700: one that is new, empty, or holds the file `mark`.

    Raises Misconfigured, with nothing changed, for a folder that is somebody's or open to everybody's
    writing: to tighten `/tmp` or a home would lock others out.
    """
    try:
        found = path.stat() if path.exists() else None
        if found is not None and found.st_mode & stat.S_IWOTH:
            raise Misconfigured(f"everybody may write to {path}", _CLAIM_FIX)
        if found is not None and not (path / mark).exists() and _is_used(path, mark):
            raise Misconfigured(f"{path} is not empty and holds no {mark}", _CLAIM_FIX)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be used: {error.strerror}", _CLAIM_FIX) from error
    return make_folder(path)


_CLAIM_FIX = "name an empty or a new folder"


def _is_used(path: Path, mark: str) -> bool:
    """Whether there is more than what a `write_file` of `mark` leaves when it is killed."""
    return any(not entry.name.startswith(f".{mark}.") for entry in path.iterdir())


def write_file(path: Path, content: bytes | str, mode: int = _FILE_MODE) -> None:
    """Replace `path` as a whole, born with `mode`: readers and crashes see the old content or the new one.

    Raises Misconfigured when the folder cannot be written or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_through(fresh, data, mode)
        fresh.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        # On a file system that became read-only even the removal of nothing fails.
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise Misconfigured(
            f"{path} cannot be written: {error.strerror}", "check owner, mode and free space of its folder"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` as a lock among processes; waits for the holder. The kernel frees it at any death."""
    with path.open("ab") as lock:
        os.fchmod(lock.fileno(), _FILE_MODE)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_through(path: Path, data: bytes, mode: int) -> None:
    # A leftover of a crashed process with this pid may have another mode: never reuse it.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        if mode != _FILE_MODE:
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
