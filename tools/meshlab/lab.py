"""The lab: air, bus and daemons up together, down together.

    async with Lab(folder, count=12, topology=Topology.grid(4, 3, 0.1), seed=7) as lab:
        await lab.kill(3)

`folder` keeps what outlives a run: each daemon's storage and log, and `lab.json` while it runs. The sockets
live in a short folder of their own, since the path of a Unix socket has 107 bytes at most.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.errors import Misconfigured, TimedOut, Unavailable
from tools.meshlab import bus, programs, shim
from tools.meshlab.child import Child
from tools.meshlab.client import LOCK_FILE, READY_SECONDS, STATE_FILE, LabClient
from tools.meshlab.commands import Arguments, Handler, whole
from tools.meshlab.control import call_now, serving
from tools.meshlab.daemons import Daemons
from tools.meshlab.poll import listens, until
from tools.meshlab.topology import Topology

_ROOT = Path(__file__).resolve().parents[2]
_WATCH_SECONDS = 0.25
_SOCKET_PREFIX = "meshlab-"
_MAX_SOCKET_PATH = 107


class Lab(LabClient):
    """`count` daemons, nodes 0 to count-1 of `topology` (everybody hears everybody, unless given).

    A topology may have more nodes than there are daemons: the sockets of the others wait for another program.
    `seed` is that of the losses. Everything that `LabClient` can do, this can; one lab runs in a folder.
    """

    def __init__(
        self,
        folder: Path,
        count: int = 12,
        topology: Topology | None = None,
        seed: int = 1,
        *,
        debug: bool = False,
        cache: Path | None = None,
    ) -> None:
        super().__init__(folder)
        self._count = count
        self._topology = topology or Topology.full(count)
        self._seed = seed
        self._debug = debug
        self._cache = cache
        self._down = asyncio.Event()
        self._essential: list[Child] = []

    async def __aenter__(self) -> Lab:
        """Return when every daemon answers.

        Raises Misconfigured or NotSupported (something to install, a lab that runs here already), Unavailable
        (a process ended), TimedOut.
        """
        async with AsyncExitStack() as stack:
            await self._start(stack)
            await self.ready(range(self._count))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def essential(self) -> tuple[Child, ...]:
        """The processes that `run` watches over."""
        return tuple(self._essential)

    def watch(self, child: Child) -> None:
        """Let `run` watch over another process, too."""
        self._essential.append(child)

    def end(self) -> None:
        """Let `run` return."""
        self._down.set()

    async def run(self) -> None:
        """Watch over the processes that all nodes need, until `end`, or `down` from any process.

        Raises Unavailable when one of them, the air or the bus for instance, has ended.
        """
        while not self._down.is_set():
            for child in self._essential:
                if not child.alive:
                    raise Unavailable(f"{child.name} ended: {child.last_words()}")
            try:
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._down.wait()
            except TimeoutError:
                pass  # look again

    async def _start(self, stack: AsyncExitStack) -> None:
        found = programs.find()
        programs.check_version(found.meshd)
        library = shim.build(found.compiler, self._cache or shim.default_cache())
        self._check_size()
        stack.enter_context(_claimed(self.folder))
        self._sockets = stack.enter_context(_socket_folder(self._topology.nodes))
        environment = _environment(self._sockets, library)
        self._bus_process = bus.start(found.dbus_daemon, self._sockets, environment, self.folder / "bus.log")
        stack.push_async_callback(self._bus_process.stop)
        self._air_process = self._start_air()
        stack.push_async_callback(self._air_process.stop)
        self._essential = [self._air_process, self._bus_process]
        await self._listening(self._bus_process, self._sockets / "bus")
        await self._listening(self._air_process, self._sockets / "air")
        self._daemons = Daemons(
            found.meshd, self._count, self.folder, self._sockets, environment, self._debug
        )
        stack.push_async_callback(self._daemons.stop_all)
        for index in range(self._count):
            self._daemons.spawn(index)
        await stack.enter_async_context(serving(self._sockets / "lab", self._handlers()))
        self._write_state()
        stack.callback((self.folder / STATE_FILE).unlink, missing_ok=True)

    def _check_size(self) -> None:
        if not 1 <= self._count <= self._topology.nodes:
            raise Misconfigured(
                f"{self._count} daemons in a topology of {self._topology.nodes} nodes",
                "give the topology at least as many nodes",
            )

    def _start_air(self) -> Child:
        topology = self._sockets / "topology.json"
        topology.write_text(json.dumps(self._topology.to_json()))
        # -S: the air needs the standard library alone, and starts the faster.
        command = [sys.executable, "-S", "-m", "tools.meshlab.air", str(self._sockets)]
        command += ["--topology", str(topology), "--seed", str(self._seed)]
        return Child("air", command, {"PYTHONPATH": str(_ROOT)}, self.folder / "air.log", keep_stdin=True)

    async def _listening(self, child: Child, path: Path) -> None:
        """Return once `child` takes connections at `path`. Raises Unavailable if it ended, TimedOut."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await until(lambda: listens(path) or not child.alive)
        except TimeoutError as error:
            raise TimedOut(f"{child.name} does not answer; see {child.log}") from error
        if not child.alive:
            raise Unavailable(f"{child.name} ended: {child.last_words()}")

    def _handlers(self) -> dict[str, Handler]:
        return {
            "restart": lambda arguments: self._change(self._restart, arguments),
            "kill": lambda arguments: self._change(self._daemons.kill, arguments),
            "pause": lambda arguments: self._change(self._daemons.pause, arguments),
            "resume": lambda arguments: self._change(self._daemons.resume, arguments),
            "usage": lambda _: self._usage(),
            "down": lambda _: self.end(),
        }

    def _change(self, action: Callable[[int], None], arguments: Arguments) -> None:
        action(whole(arguments, "node"))
        self._write_state()

    def _restart(self, index: int) -> None:
        """In one go, and with the old name forgotten before a new daemon can tell its own."""
        self._daemons.kill(index)
        call_now(self._sockets / "air", "forget", node=index)
        self._daemons.spawn(index)

    def _usage(self) -> dict[str, Any]:
        nodes = self._daemons.usages()
        return {
            "air": asdict(self._air_process.usage()),
            "bus": asdict(self._bus_process.usage()),
            "nodes": [asdict(usage) if usage else None for usage in nodes],
        }

    def _write_state(self) -> None:
        state = {
            "pid": os.getpid(),
            "bus_address": bus.address(self._sockets),
            "sockets": str(self._sockets),
            "count": self._count,
            "seed": self._seed,
            "air_pid": self._air_process.pid,
            "bus_pid": self._bus_process.pid,
            "nodes": self._daemons.states(),
        }
        unfinished = self.folder / f"{STATE_FILE}.new"
        unfinished.write_text(json.dumps(state, indent=1) + "\n")
        unfinished.replace(self.folder / STATE_FILE)


def _environment(sockets: Path, library: Path) -> dict[str, str]:
    # The loader splits LD_PRELOAD at spaces and colons, which the cache's path may have and this one has not.
    preload = sockets / "shim.so"
    preload.symlink_to(library)
    return {
        "DBUS_SESSION_BUS_ADDRESS": bus.address(sockets),
        "LD_PRELOAD": str(preload),
        "MESHLAB_PARENT": str(os.getpid()),
    }


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process. Clears what a lab that was killed left behind."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("wb")
    except OSError as error:
        raise Misconfigured(f"{folder}: {error.strerror}", "name a folder that can be written") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(
                f"a lab runs in {folder} already", f"python -m tools.meshlab down --folder {folder}"
            ) from error
        _clear_sockets_of_the_dead(folder)
        yield


def _clear_sockets_of_the_dead(folder: Path) -> None:
    state = folder / STATE_FILE
    try:
        left = Path(json.loads(state.read_text())["sockets"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if left.name.startswith(_SOCKET_PREFIX) and left.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(left, ignore_errors=True)
    state.unlink()


@contextmanager
def _socket_folder(nodes: int) -> Iterator[Path]:
    """A private folder for the sockets, removed with all it holds."""
    with tempfile.TemporaryDirectory(prefix=_SOCKET_PREFIX) as name:
        longest = f"{name}/node.{nodes}"
        if len(longest) > _MAX_SOCKET_PATH or not re.fullmatch(r"[-\w./]+", name, re.ASCII):
            raise Misconfigured(
                f"sockets cannot be made in {name}: too long a path, or one with special characters",
                "set TMPDIR to a short plain path such as /tmp",
            )
        yield Path(name)
