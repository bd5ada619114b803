"""The one running broker of a state folder, told from a lock that dies with it.

The lock is an open file that mosquitto inherits, so that it is held exactly as long as the process lives,
however it ends; the process id inside the file is for signals.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

from common.errors import Misconfigured, TimedOut, Unavailable
from common.files import make_folder
from coordinator.broker.configuration import BrokerFiles
from coordinator.broker.persistence import set_aside_if_cut
from coordinator.config import StatePaths
from coordinator.service.handover import folder_of

_START_S = 15.0
_POLL_S = 0.01


def broker_pid(state: Path) -> int | None:
    """The process id of the running broker of `state`, or None."""
    path = BrokerFiles(StatePaths(state.absolute()).broker).pid
    deadline = time.monotonic() + 1.0
    while _is_held(path):
        if pid := _read_pid(path):
            return pid
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_S)
    return None


def reload_broker(state: Path) -> bool:
    """Let the running broker read access list and revocation list again; False when none runs here.

    Connected clients stay connected; what they may do changes at once. A broker with an account of its own
    was told already, when its files were handed over.
    """
    if (folder := folder_of(state)) is not None:
        return _is_held(BrokerFiles(StatePaths(folder).broker).pid)
    pid = broker_pid(state)
    if pid is None or not _await_handler(pid):
        return False
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise Misconfigured(
            f"the broker (process {pid}) runs as another user", "run this command as that user"
        ) from error
    return True


def take_lock(files: BrokerFiles) -> int:
    """The descriptor whose lock says that a broker runs; its file is empty until the pid is known.

    Raises Unavailable when a broker runs.
    """
    if not files.folder.is_dir():
        make_folder(files.folder)
    descriptor = os.open(files.pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, files.pid)
        os.ftruncate(descriptor, 0)
        set_aside_if_cut(files.data)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    # `_is_held` takes the lock for a moment: only a lock that stays is a broker.
    for _ in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(_POLL_S)
    raise Unavailable(f"a broker runs already: process {_read_pid(path) or 'unknown'}")


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _await_handler(pid: int) -> bool:
    """Wait until the process can take SIGHUP; False when it ended.

    A broker that is just starting has read its files but would die of the signal.
    """
    deadline = time.monotonic() + _START_S
    while not handles_reload(pid):
        if not Path(f"/proc/{pid}").exists():
            return False
        if time.monotonic() > deadline:
            raise TimedOut(f"the broker (process {pid}) does not come up within {_START_S} s")
        time.sleep(_POLL_S)
    return True


def handles_reload(pid: int) -> bool:
    """True once the process has its own handler for SIGHUP (`SigCgt` in proc(5): a bit per signal)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def write_pid(descriptor: int, pid: int) -> None:
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)


def _read_pid(path: Path) -> int | None:
    try:
        text = path.read_bytes()[:20].strip()
    except FileNotFoundError:
        return None
    # Of bytes, only ASCII digits are digits.
    return int(text) if text.isdigit() else None
