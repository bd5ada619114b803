"""Starting and stopping the broker's process: in place of this one, or as a child for tests and tools.

Writes no configuration; that there is only one is the business of `instance`.
"""

from __future__ import annotations

import asyncio
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
from coordinator.broker.instance import handles_reload, take_lock, write_pid
from coordinator.broker.trial import set_aside_if_refused
from coordinator.config import StatePaths, load_config
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
    lock = take_lock(files)
    set_aside_if_refused(command[0], files.data)
    write_pid(lock, os.getpid())
    os.set_inheritable(lock, True)
    os.execv(command[0], command)


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
        lock = take_lock(self._files)
        try:
            self._check_port()
            set_aside_if_refused(command[0], self._files.data)
            self._process = _spawn(command, self._files.log, lock)
            write_pid(lock, self._process.pid)
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
        # Listening alone is not enough: a signal before it has its handlers would just end it.
        if self._process is None or not handles_reload(self._process.pid):
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
