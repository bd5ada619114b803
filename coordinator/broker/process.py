"""The broker's process: at most one per state folder, told from a lock that dies with it.

The lock is an open file that mosquitto inherits, so that it is held exactly as long as the process lives;
the process id inside the file is for signals. Writes no configuration.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from common.errors import Misconfigured, TimedOut, Unavailable
from coordinator.broker.configuration import BrokerFiles
from coordinator.broker.persistence import set_aside_if_cut
from coordinator.config import StatePaths, load_config
from coordinator.identity.files import make_folder
from coordinator.identity.own import WILDCARDS

_START_S = 15.0
_STOP_S = 10.0
_POLL_S = 0.01
_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin"


def execute(state: Path) -> NoReturn:
    """Become the broker of `state`: replaces the calling process, logs to its standard error.

    Raises Unavailable when one runs already, Misconfigured when mosquitto is not installed.
    """
    files = BrokerFiles(StatePaths(state.absolute()).broker)
    command = _command(state)
    lock = _take_lock(files)
    _write_pid(lock, os.getpid())
    os.set_inheritable(lock, True)
    os.execv(command[0], command)


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

    Connected clients stay connected; what they may do changes at once.
    """
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


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now, outside the range that connections draw from."""
    for _ in range(200):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable("no free TCP port between 20000 and 32000")


class BrokerProcess:
    """A broker as a child of this process, for tests and tools; logs to `broker.log` of its folder.

    `with` starts it and stops it; `kill` and `start` in between play a crash.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._files = BrokerFiles(StatePaths(state.absolute()).broker)
        self._process: subprocess.Popen[bytes] | None = None
        broker = load_config(state).broker
        self.host = WILDCARDS.get(broker.host, broker.host)
        self.port = broker.port

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def log(self) -> str:
        """What the broker has said so far."""
        return self._files.log.read_text(errors="replace") if self._files.log.exists() else ""

    def start(self) -> None:
        """Start, and return once the broker accepts connections.

        Raises Unavailable (already running), Misconfigured (port taken, refused to start) or TimedOut.
        """
        command = _command(self._state)
        lock = _take_lock(self._files)
        try:
            self._check_port()
            self._process = _spawn(command, self._files.log, lock)
            _write_pid(lock, self._process.pid)
        finally:
            os.close(lock)
        try:
            self._await_listening()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask the broker to save and end; kill it after ten seconds. Safe to call twice."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would. Safe to call twice."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> BrokerProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _check_port(self) -> None:
        """Tell a taken port from an own broker that is up: both accept connections."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, self.port), family=family).close()
        except OSError as error:
            raise Misconfigured(
                f"{self.host}:{self.port} cannot be listened on: {error.strerror}",
                "set another broker.port in coordinator.toml",
            ) from error

    def _await_listening(self) -> None:
        deadline = time.monotonic() + _START_S
        while not self._accepts():
            if self._process is None or self._process.poll() is not None:
                last = " / ".join(self.log.splitlines()[-3:])
                raise Misconfigured(f"the broker does not start: {last}", f"see {self._files.log}")
            if time.monotonic() > deadline:
                raise TimedOut(f"the broker does not listen on {self.host}:{self.port} after {_START_S} s")
            time.sleep(_POLL_S)

    def _accepts(self) -> bool:
        if self._process is None or not _handles_reload(self._process.pid):
            return False
        try:
            with socket.create_connection((self.host, self.port), timeout=1.0):
                return True
        except OSError:
            return False


@asynccontextmanager
async def running_broker(state: Path) -> AsyncIterator[BrokerProcess]:
    """`async with running_broker(state) as broker:` — up inside the block, stopped after it."""
    broker = BrokerProcess(state)
    try:
        await asyncio.to_thread(broker.start)
        yield broker
    finally:
        await asyncio.to_thread(broker.stop)


def _command(state: Path) -> list[str]:
    binary = load_config(state).broker.binary
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_FOLDERS}"
    found = shutil.which(binary, path=path)
    if found is None:
        raise Misconfigured(
            f"the broker's program {binary!r} is not installed",
            "run: apt-get install mosquitto, or set broker.binary in coordinator.toml",
        )
    files = BrokerFiles(StatePaths(state.absolute()).broker)
    if not files.configuration.exists():
        raise Misconfigured(f"{files.configuration} is missing", f"run: coordinator init --state {state}")
    return [found, "-c", str(files.configuration)]


def _spawn(command: list[str], log: Path, lock: int) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output, pass_fds=(lock,))


def _take_lock(files: BrokerFiles) -> int:
    """The descriptor whose lock says that a broker runs; its file is empty until the pid is known."""
    make_folder(files.folder)
    descriptor = os.open(files.pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # `_is_held` takes the lock for a moment: only a lock that stays is a broker.
    for attempt in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S * (attempt < 9))
            continue
        os.ftruncate(descriptor, 0)
        set_aside_if_cut(files.data)
        return descriptor
    os.close(descriptor)
    raise Unavailable(f"a broker runs already: process {_read_pid(files.pid) or 'unknown'}")


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
    while not _handles_reload(pid):
        if not Path(f"/proc/{pid}").exists():
            return False
        if time.monotonic() > deadline:
            raise TimedOut(f"the broker (process {pid}) does not come up within {_START_S} s")
        time.sleep(_POLL_S)
    return True


def _handles_reload(pid: int) -> bool:
    """True once the process has its own handler for SIGHUP (`SigCgt` in proc(5): a bit per signal)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def _write_pid(descriptor: int, pid: int) -> None:
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)


def _read_pid(path: Path) -> int | None:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    return int(text) if text.strip().isdigit() else None
